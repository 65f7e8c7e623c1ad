from tests.harness import airflow_mps
from tests.operators.killing import airflow_says

__all__ = ["airflow_mps", "airflow_says"]
