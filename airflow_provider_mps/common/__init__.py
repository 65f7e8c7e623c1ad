"""Helpers of operators and sensors for Airflow and for files, independent of any job."""
