from tests.harness import airflow_mps

__all__ = ["airflow_mps"]
