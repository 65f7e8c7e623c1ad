"""The keys that sign requests: their sources, their renewal, their cache."""
