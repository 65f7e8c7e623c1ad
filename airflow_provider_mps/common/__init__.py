"""What operators and sensors need of Airflow and of files, independent of any job."""
