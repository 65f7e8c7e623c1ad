"""Airflow provider for Tencent Cloud MPS (Media Processing Service)."""

__version__ = "0.1.0"
