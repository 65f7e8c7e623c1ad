"""The hook: an Airflow connection as a client of MPS."""
