"""The life of one job: submit it once, find it again, abort it."""
