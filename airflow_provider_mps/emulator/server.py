"""The local MPS over HTTP: signed POST and GET at ``/``, a page for the browser, and a control endpoint for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_provider_mps.emulator.auth import verify
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.exceptions import ApiError
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import Account, Call, Settings
from airflow_provider_mps.emulator.ui import render

SECRET_ID = "AKIDemulator"  # noqa: S105 - as the key below
SECRET_KEY = "emulator-secret-key"  # noqa: S105 - opens nothing but the emulator
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_UNSIGNED_ACTION = "AssumeRoleWithWebIdentity"
_ROLES = "/latest/meta-data/cam/security-credentials/"
_MAX_BODY = 10 * 1024 * 1024


def default_accounts() -> dict[str, Account]:
    """Return the account that the emulator has if none is given."""
    return {SECRET_ID: Account(SECRET_KEY)}


def application(backend: LocalMpsBackend) -> web.Application:
    """Return an aiohttp application that serves ``backend``."""
    api = _Api(backend)
    control = _Control(backend)
    app = web.Application(client_max_size=_MAX_BODY)
    app.add_routes(
        [
            web.post("/", api.handle),
            web.get("/", api.handle_get),
            web.get(f"{_ROLES}{{role:.*}}", api.handle_metadata),
            web.post("/control/faults", control.add_fault),
            web.delete("/control/faults", control.clear_faults),
            web.post("/control/tasks", control.add_task),
            web.post("/control/clock", control.shift_clock),
            web.post("/control/settings", control.change_settings),
            web.post("/control/reset", control.reset),
            web.get("/control/state", control.state),
        ]
    )
    return app


class _Api:
    def __init__(self, backend: LocalMpsBackend) -> None:
        self.backend = backend

    async def handle_get(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(text=render(self.backend), content_type="text/html")
        return await self.handle(request)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        payload = await request.read()
        action = request.headers.get("X-TC-Action", "")
        if fault := self.backend.faults.take(action, "before"):
            self._note(action, f"fault {fault.kind}")
            return await self._play(fault, request, _envelope({}))
        try:
            body, code = self._answer(request, action, payload), ""
        except ApiError as error:
            body, code = {"Error": {"Code": error.code, "Message": error.message}}, error.code
        self._note(action, code)
        if fault := self.backend.faults.take(action, "after"):
            return await self._play(fault, request, _envelope(body))
        return self._json(_envelope(body))

    async def handle_metadata(self, request: web.Request) -> web.StreamResponse:
        """The metadata service of a CVM instance. Faults and counts know it as the action "metadata"."""
        sts, role = self.backend.sts, request.match_info["role"]
        body = sts.instance_role().encode()
        if role and role == sts.instance_role():
            body = json.dumps(sts.instance_keys()).encode()
        elif role or not body:
            raise web.HTTPNotFound
        if fault := self.backend.faults.take("metadata", "before"):
            self._note("metadata", f"fault {fault.kind}")
            return await self._play(fault, request, body)
        self._note("metadata", "")
        return web.Response(body=body, headers={"Content-Type": "text/plain", **self._date()})

    def _answer(self, request: web.Request, action: str, payload: bytes) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        service, version = self.backend.service_of(action)
        unsigned = action == _UNSIGNED_ACTION and headers.get("authorization") == "SKIP"
        caller = (
            ""
            if unsigned
            else verify(
                method=request.method,
                query=request.rel_url.raw_query_string,
                headers=headers,
                payload=payload,
                accounts=self.backend.accounts,
                now=self.backend.now(),
                service=service,
            )
        )
        if headers.get("x-tc-version") != version:
            raise ApiError("NoSuchVersion", "The API version does not exist.")
        return self.backend.answer(action, _parameters(request, payload), caller)

    def _note(self, action: str, code: str) -> None:
        self.backend.calls.append(Call(self.backend.now(), action, code))

    def _json(self, body: bytes, content_type: str = "application/json") -> web.Response:
        # Set as a header: aiohttp would add a charset, and the official SDK overlooks errors then.
        return web.Response(body=body, headers={"Content-Type": content_type, **self._date()})

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(self.backend.now(), usegmt=True)}

    async def _play(self, fault: Fault, request: web.Request, body: bytes) -> web.StreamResponse:
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        if fault.kind in {"hang", "reset"}:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault.kind in {"status", "html"}:
            status = fault.status if fault.kind == "status" else 200
            return web.Response(status=status, body=_PAGE, headers={"Content-Type": "text/html", **self._date()})
        if fault.kind == "cut":
            return self._json(body[: len(body) // 2])
        if fault.kind == "charset":
            return self._json(body, "application/json; charset=utf-8")
        if fault.kind in {"throttle", "error"}:
            code = "RequestLimitExceeded" if fault.kind == "throttle" else fault.code
            return self._json(_envelope({"Error": {"Code": code, "Message": fault.message}}))
        return await self._trickle(fault, request, body)

    async def _trickle(self, fault: Fault, request: web.Request, body: bytes) -> web.StreamResponse:
        """``broken`` stops after half of the announced bytes, ``slow`` sends byte by byte."""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self._date()}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        if fault.kind == "broken":
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        with contextlib.suppress(ConnectionResetError):  # the client has closed the connection
            for position in range(len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(1 / fault.bytes_per_second)
        return response


class _Control:
    """Not part of MPS: tests script and count here. It is bound to loopback, so requests are not signed."""

    def __init__(self, backend: LocalMpsBackend) -> None:
        self.backend = backend

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            self.backend.faults.add(Fault(**await request.json()))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({})

    async def clear_faults(self, _: web.Request) -> web.Response:
        self.backend.faults.clear()
        return web.json_response({})

    async def add_task(self, request: web.Request) -> web.Response:
        data = await request.json()
        if "seconds" in data:
            batch = bool(data.get("batch"))
            return web.json_response({"TaskIds": [self.backend.run_for(each, batch=batch) for each in data["seconds"]]})
        return web.json_response({"TaskId": self.backend.script(data["answers"], data.get("TaskId"))})

    async def shift_clock(self, request: web.Request) -> web.Response:
        self.backend.clock_offset = float((await request.json())["seconds"])
        return web.json_response({})

    async def change_settings(self, request: web.Request) -> web.Response:
        try:
            changed = replace(self.backend.settings, **await request.json())
        except TypeError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        vars(self.backend.settings).update(vars(changed))  # in place: STS holds the same object
        return web.json_response({})

    async def reset(self, _: web.Request) -> web.Response:
        self.backend.reset()
        return web.json_response({})

    async def state(self, _: web.Request) -> web.Response:
        backend = self.backend
        tasks = [
            {
                "TaskId": task.task_id,
                "Status": backend.status(task),
                "polls": task.polls,
                "aborted": task.aborted,
                "title": task.title,
            }
            for task in backend.tasks.values()
        ]
        return web.json_response(backend.counts() | {"tasks": tasks})


def _envelope(body: Mapping[str, Any]) -> bytes:
    return json.dumps({"Response": {**body, "RequestId": str(uuid.uuid4())}}, ensure_ascii=False).encode()


def _parameters(request: web.Request, payload: bytes) -> dict[str, Any]:
    if request.method == "GET":
        return _unflatten(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
    try:
        parameters = json.loads(payload or b"{}")
    except ValueError as error:
        raise ApiError("InvalidParameter", "The body is not JSON.") from error
    if not isinstance(parameters, dict):
        raise ApiError("InvalidParameter", "The body is not a JSON object.")
    return parameters


def _unflatten(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """``A.0.B=v`` of a GET request to ``{"A": [{"B": "v"}]}``."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        *steps, last = name.split(".")
        node = tree
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = value
    folded = _fold(tree)
    return folded if isinstance(folded, dict) else {}


def _fold(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(re.fullmatch(r"\d+", key) for key in node):
        return [_fold(node[key]) for key in sorted(node, key=int)]
    return {key: _fold(value) for key, value in node.items()}


class LocalMps:
    """
    A local MPS in its own thread, for tests::

        with LocalMps() as mps:
            hook = ...  # a connection with mps.host, mps.secret_id, mps.secret_key
            assert len(mps.backend.tasks) == 1

    :param port: 0 takes a free one.
    """

    secret_id = SECRET_ID
    secret_key = SECRET_KEY

    def __init__(
        self, settings: Settings | None = None, accounts: Mapping[str, Account] | None = None, port: int = 0
    ) -> None:
        self.backend = LocalMpsBackend(accounts or default_accounts(), settings)
        self.port = port
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="local-mps", daemon=True)
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None

    @property
    def host(self) -> str:
        """The host of a connection to this MPS."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("The local MPS did not start within 10 seconds.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join(10)

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        runner = web.AppRunner(application(self.backend), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await stopped.wait()
        finally:
            await runner.cleanup()  # asyncio.run then cancels requests that hang on purpose
