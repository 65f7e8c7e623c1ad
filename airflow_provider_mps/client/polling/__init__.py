"""Waiting for many tasks at once: when to poll which task, and what an answer means for a wait."""
