"""
A database for a local Airflow: of a PostgreSQL server that is named, of one that is started here, or none (SQLite).

PostgreSQL refuses to run as root, so root starts it as another user, in a folder that belongs to that user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dev.processes import Process, free_port

SERVER = "MPS_TEST_POSTGRES"
_UNPRIVILEGED = ("postgres", "nobody")
# The data is thrown away with the folder: nothing is gained by waiting for the disk.
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


@contextlib.contextmanager
def database() -> Iterator[str | None]:
    """
    The SQLAlchemy URL of an empty PostgreSQL database for as long as the ``with`` lasts; None without PostgreSQL.

    :raises RuntimeError: the server does not start.

    The environment variable ``MPS_TEST_POSTGRES`` (``postgresql://user:password@host:port/database``) names a server
    whose user may create databases; without it one is started, if the machine has the programs.
    """
    if named := os.environ.get(SERVER):
        with _new_database(named) as url:
            yield url
    elif (programs := _programs()) is None:
        yield None
    elif os.geteuid() == 0 and _user() is None:
        who = " nor ".join(_UNPRIVILEGED)
        print(f"PostgreSQL does not run as root, and there is no user {who} to run it as: SQLite.", file=sys.stderr)
        yield None
    else:
        with _server(programs) as server, _new_database(server) as url:
            yield url


def _programs() -> Path | None:
    """The folder with initdb and postgres: on the path, or where Debian puts the newest."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(places, key=lambda path: float(path.parent.name), default=None)


@contextlib.contextmanager
def _server(programs: Path) -> Iterator[str]:
    """A server on loopback with a password of its own, stopped by its id."""
    # Not below a folder of pytest's, which another user may not enter.
    with tempfile.TemporaryDirectory(prefix="mps-postgres-", ignore_cleanup_errors=True) as name:
        folder, password, user = Path(name), secrets.token_hex(16), _user()
        (folder / "password").write_text(password)
        (folder / "log").touch()
        if user:
            for path in (folder, folder / "password", folder / "log"):
                shutil.chown(path, user)
        arguments = ["-D", str(folder / "data"), "-U", "airflow", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
        command = [str(programs / "initdb"), *arguments, "--pwfile", str(folder / "password")]
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
        port = free_port()
        settings = {**_SETTINGS, "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        server = Process(
            [str(programs / "postgres"), "-D", str(folder / "data"), *options], os.environ, folder / "log", user=user
        )
        try:
            _wait_for(server, programs, port)
            yield f"postgresql://airflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.signal(signal.SIGINT)  # "fast": SIGTERM would wait for clients that somebody forgot
            server.stop()


def _user() -> str | None:
    """Whom root becomes; None for anybody else, who stays himself."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _UNPRIVILEGED if name in known), None)


def _wait_for(server: Process, programs: Path, port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if server.returncode is not None:
            raise RuntimeError(f"PostgreSQL did not start:\n{server.log.read_text(errors='replace')[-2000:]}")
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start within 30 seconds.")


@contextlib.contextmanager
def _new_database(server: str) -> Iterator[str]:
    """A database with a name of its own, dropped in the end."""
    from sqlalchemy import create_engine, make_url, text

    # Named, since SQLAlchemy's default driver has changed between its releases.
    url = make_url(server).set(drivername="postgresql+psycopg2")
    name = f"mps_test_{secrets.token_hex(6)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
