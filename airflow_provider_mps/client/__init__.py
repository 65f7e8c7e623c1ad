"""MPS without Airflow: requests, retries, rate limits, credentials, polling and the life of a job."""
