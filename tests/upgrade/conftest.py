from tests.support.harness import airflow_mps

__all__ = ["airflow_mps"]
