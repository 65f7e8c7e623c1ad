"""What is left behind when all runs are over. Named to run last."""

from __future__ import annotations

import pytest

from airflow_provider_mps.emulator.server import SECRET_KEY
from dev.local_airflow import LocalAirflow
from tests.e2e.conftest import CANARY

pytestmark = pytest.mark.e2e


@pytest.mark.fault("F55")
@pytest.mark.parametrize("secret", [SECRET_KEY, CANARY], ids=["SecretKey", "NotifyKey and token of NotifyUrl"])
def test_no_secret_is_left_anywhere(airflow: LocalAirflow, secret: str) -> None:
    """After all runs at DEBUG it is in no log, rendered field, XCom or trigger: in the database only encrypted."""
    for path in airflow.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    for table in ("rendered_task_instance_fields", "xcom"):
        assert airflow.rows(f"select count(*) from {table}")[0][0] > 0
