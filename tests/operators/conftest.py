from tests.harness import airflow_mps, fast_clock
from tests.operators.killing import airflow_says

__all__ = ["airflow_mps", "airflow_says", "fast_clock"]
