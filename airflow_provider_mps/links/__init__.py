"""Links from a task in the UI to the MPS console."""
