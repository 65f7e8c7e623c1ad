"""The database of a local Airflow: PostgreSQL where it can run, else SQLite, and a word about why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dev import local_postgres


def test_root_without_another_user_takes_sqlite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """PostgreSQL refuses root; where nobody else is there to run it, that is said and no error."""
    monkeypatch.delenv(local_postgres.SERVER, raising=False)
    monkeypatch.setattr(local_postgres, "_programs", lambda: tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(local_postgres, "_UNPRIVILEGED", ("no-such-user",))
    with local_postgres.database() as url:
        assert url is None
    assert "no user no-such-user to run it as: SQLite" in capsys.readouterr().err
