"""
A local MPS for the tests of your own DAGs. pytest loads this module as a plugin.

The fixture ``local_mps`` starts a local MPS and points the connection ``mps_default`` at it. See docs/testing.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_mps.emulator.server import LocalMps

__all__ = ["airflow_connection", "local_mps"]


@pytest.fixture
def local_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalMps]:
    """
    A local MPS on loopback for one test; the Airflow connection ``mps_default`` points at it.

    A job has ended at the first poll, whatever the intervals of a DAG are. With
    ``local_mps.backend.settings.state_polls = 1`` it is WAITING for one poll and PROCESSING for one.
    ``local_mps.backend`` holds ``tasks``, ``calls`` and ``aborts``.
    """
    from airflow_provider_mps.emulator.models import Settings
    from airflow_provider_mps.emulator.server import LocalMps

    for name in ("NO_PROXY", "no_proxy"):  # a proxy cannot reach the port of the test
        monkeypatch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1"])))
    with LocalMps(Settings(state_polls=0)) as mps:
        monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
        yield mps


def airflow_connection(mps: LocalMps, **extra: Any) -> str:
    """
    Return a connection to a local MPS in the form of ``AIRFLOW_CONN_<ID>``, for your own connection id.

    :param extra: fields of the connection's extra, for example ``region``.
    """
    fields = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": mps.secret_key, "host": mps.host}
    return json.dumps({**fields, "extra": {"region": "ap-guangzhou", **extra}})
