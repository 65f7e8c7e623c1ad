"""What is left behind when all runs are over. Named to run last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.pool import NullPool

from airflow_provider_mps.emulator.server import SECRET_KEY
from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.conftest import CANARY, SIGNATURE, TOKEN
from tests.e2e.scenario import Observer

pytestmark = pytest.mark.e2e
_SECRETS = {
    "SecretKey": SECRET_KEY,
    "token": TOKEN,
    "NotifyKey and token of NotifyUrl": CANARY,
    "signature of an input's address": SIGNATURE,
}
_EACH = pytest.mark.parametrize("secret", _SECRETS.values(), ids=_SECRETS.keys())


def _cells(airflow: LocalAirflow) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of the metadata database, with its table and column."""
    engine, tables = create_engine(airflow.database, poolclass=NullPool), MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for column, value in row.items():
                    yield f"{table.name}.{column}", value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.fault("F55")
@_EACH
def test_no_secret_in_a_file(airflow: LocalAirflow, secret: str) -> None:
    """After all runs at DEBUG it is in no log and in nothing else that Airflow has written."""
    found = [path for path in airflow.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []


@pytest.mark.fault("F55")
def test_no_secret_in_the_database(airflow: LocalAirflow) -> None:
    """No cell of any table holds one in clear, rendered fields, XCom and events included."""
    seen: dict[str, int] = {}
    for where, value in _cells(airflow):
        seen[where] = seen.get(where, 0) + 1
        for name, secret in _SECRETS.items():
            assert secret.encode() not in value, f"{name} is in {where}"
    for column in ("rendered_task_instance_fields.rendered_fields", "xcom.value", "log.extra", "connection.password"):
        assert seen[column] > 0


@pytest.mark.fault("F55")
@_EACH
def test_no_secret_in_trigger_arguments(airflow: LocalAirflow, observer: Observer, secret: str) -> None:
    """What Airflow stored of the triggers while they ran, decrypted."""
    fernet = Fernet(airflow.env["AIRFLOW__CORE__FERNET_KEY"])
    assert len(observer.trigger_arguments) > 3
    for stored in observer.trigger_arguments:
        assert secret not in stored
        try:
            assert secret.encode() not in fernet.decrypt(stored)
        except InvalidToken:
            assert "mps_task_id" in stored  # Airflow has stored it in clear


@pytest.mark.fault("F55")
@_EACH
def test_no_secret_on_the_page(mps: LocalMpsProcess, secret: str) -> None:
    """Nor on the page of the local MPS, which shows the inputs of the jobs."""
    page = requests.get(mps.url, timeout=10).text
    assert "mapped.talk.mp4" in page
    assert secret not in page
