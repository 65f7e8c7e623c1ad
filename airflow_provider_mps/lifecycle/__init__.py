"""What sensor and operators share: wait for a job, judge its end, cancel it, remember it."""
