"""
A local MPS for the tests of your own DAGs. pytest finds this module by itself; nothing else imports it.

A test that asks for ``local_mps`` gets a running MPS, and ``mps_default`` leads to it. See docs/testing.md.
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
    A local MPS of the test's own on loopback, to which the Airflow connection ``mps_default`` leads.

    Jobs have ended at the first look, whatever a DAG's intervals are; ``local_mps.backend.settings.state_looks = 1``
    lets them wait and run for a look each. ``local_mps.backend`` holds ``tasks``, ``calls`` and ``aborts``.
    """
    from airflow_provider_mps.emulator.server import LocalMps
    from airflow_provider_mps.emulator.state import Settings

    for name in ("NO_PROXY", "no_proxy"):  # a proxy of this machine has no business between a test and its own port
        monkeypatch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1"])))
    with LocalMps(Settings(state_looks=0)) as mps:
        monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
        yield mps


def airflow_connection(mps: LocalMps, **extra: Any) -> str:
    """
    A connection to a local MPS, as ``AIRFLOW_CONN_<ID>`` takes it: for a connection id of your own.

    :param extra: of the connection, for example ``region``.
    """
    fields = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": mps.secret_key, "host": mps.host}
    return json.dumps({**fields, "extra": {"region": "ap-guangzhou", **extra}})
