"""What is left behind when all runs are over. Named to run last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.pool import NullPool

from airflow_provider_mps.client.actions import RawAction
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY
from airflow_provider_mps.errors import MpsApiError
from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.conftest import CANARY, SIGNATURE, TOKEN
from tests.e2e.scenario import Metrics

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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """All that Airflow, the local MPSs and the examples have written."""
    written = (path for path in tmp_path_factory.getbasetemp().rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in written}


@pytest.mark.fault("F55")
def test_the_secrets_were_there(mps: LocalMpsProcess, held: LocalMpsProcess) -> None:
    """A control: MPS got the NotifyKey and the signature of the runs, and takes no call without key and token."""
    keys = Credentials(SECRET_ID, SECRET_KEY)
    jobs = [job["TaskId"] for job in mps.state()["tasks"] if "mapped.talk.mp4" in job["title"]]
    with MpsClient(ClientConfig(keys, endpoint=mps.url)) as client:
        told = json.dumps([client.call(RawAction(action="DescribeTaskDetail", body={"TaskId": job})) for job in jobs])
    assert CANARY in told
    assert SIGNATURE in told
    for token, expected in ((None, "AuthFailure.TokenFailure"), ("another", "AuthFailure.TokenFailure"), (TOKEN, "")):
        with MpsClient(ClientConfig(replace(keys, token=token), endpoint=held.url)) as client:
            assert _refusal(client) == expected
    with MpsClient(ClientConfig(replace(keys, secret_key="another"), endpoint=mps.url)) as client:
        assert _refusal(client) == "AuthFailure.SignatureFailure"


def _refusal(client: MpsClient) -> str:
    try:
        client.call(RawAction(action="DescribeTasks", body={"Status": "WAITING"}))
    except MpsApiError as error:
        return error.code
    return ""


@pytest.mark.fault("F55")
def test_everything_was_logged(files: dict[Path, bytes]) -> None:
    """A control: requests are in the logs of worker and triggerer, with what is secret in them left out."""
    logs = {path: text for path, text in files.items() if path.suffix == ".log"}
    for wanted in (b"ProcessMedia to 127.0.0.1:", b"https://example.com/callback", b"DescribeTaskDetail answered with"):
        assert any(wanted in text for text in logs.values()), wanted
    assert any(b"DescribeTaskDetail to 127.0.0.1:" in text for path, text in logs.items() if "trigger" in path.name)
    assert [path for path in logs if path.name == "mps.log"]
    assert [path for path in files if path.suffix == ".srt"]  # of an example


@pytest.mark.fault("F55")
@_EACH
def test_no_secret_in_a_file(files: dict[Path, bytes], secret: str) -> None:
    """After all runs at DEBUG it is in no log, in no file of an example and in nothing else that was written."""
    assert [path for path, text in files.items() if secret.encode() in text] == []


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
def test_no_secret_in_trigger_arguments(airflow: LocalAirflow, observer: Metrics, secret: str) -> None:
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
def test_no_secret_in_what_a_task_resumes_with(observer: Metrics, secret: str) -> None:
    """What Airflow stored for the time after a deferral, the events of triggers included."""
    assert any("state" in stored for stored in observer.next_arguments)
    assert any("resume" in stored for stored in observer.next_arguments)
    assert [stored for stored in observer.next_arguments if secret in stored] == []


@pytest.mark.fault("F55")
@_EACH
def test_no_secret_on_a_page(mps: LocalMpsProcess, held: LocalMpsProcess, secret: str) -> None:
    """Nor on the pages of the local MPSs, which show the inputs of the jobs."""
    for url, job in ((mps.url, "mapped.talk.mp4"), (held.url, "many.0.mp4")):
        page = requests.get(url, timeout=10).text
        assert job in page
        assert secret not in page
