from tests.support.harness import airflow_mps, fast_clock

__all__ = ["airflow_mps", "fast_clock"]
