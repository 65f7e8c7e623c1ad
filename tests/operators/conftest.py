from tests.support.harness import airflow_mps, fast_clock
from tests.support.killing import airflow_says

__all__ = ["airflow_mps", "airflow_says", "fast_clock"]
