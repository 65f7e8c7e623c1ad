"""Random schedules of faults over many tasks at once; the promises are checked after every run."""
