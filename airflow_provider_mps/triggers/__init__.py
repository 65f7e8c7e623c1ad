"""The trigger: it waits in the triggerer."""
