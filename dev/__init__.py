"""Tools for people who work on this package; not part of it."""
