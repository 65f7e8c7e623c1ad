"""What the two transports do with a connection: the same, and nothing behind our back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import gzip
import socket
import time
import warnings
from collections.abc import Callable
from typing import BinaryIO

import pytest

from airflow_provider_mps.client.actions import RawAction
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.protocol import MAX_RESPONSE_BYTES
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.errors import MpsTransportError
from tests.conftest import Connect
from tests.support.recorder import Recorder, answer
from tests.support.transports import OverAiohttp, OverRequests

RAW = RawAction(action="DescribeMediaMetaData")
LARGE = b'{"Response": {"Text": "' + b"word " * 100_000 + b'", "RequestId": "r"}}'


@pytest.fixture
def config(recorder: Recorder) -> ClientConfig:
    """What points at the recorder."""
    return ClientConfig(Credentials("AKID", "key"), endpoint=f"http://{recorder.netloc}", timeout=10)


def _in_chunks(stream: BinaryIO) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(LARGE), 9_999):
        piece = LARGE[start : start + 9_999]
        stream.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        stream.flush()
    stream.write(b"0\r\n\r\n")


def _zipped_in_pieces(stream: BinaryIO) -> None:
    whole = answer(gzip.compress(LARGE), headers=("Content-Type: application/json", "Content-Encoding: gzip"))
    for start in range(0, len(whole), 11):
        stream.write(whole[start : start + 11])
        stream.flush()


@pytest.mark.parametrize("reply", [answer(LARGE), _in_chunks, _zipped_in_pieces], ids=["whole", "chunked", "gzip"])
def test_a_long_answer_arrives_whole(recorder: Recorder, config: ClientConfig, connect: Connect, reply: object) -> None:
    """Length, chunks and compression are the transport's business, however the bytes are cut on the way."""
    recorder.reply(reply)
    assert len(connect(config).call(RAW)["Text"]) == 500_000


def _half_of_the_chunks(stream: BinaryIO) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n8\r\n")
    stream.write(b'{"Respon')
    stream.flush()
    stream.close()


def _broken_zip(stream: BinaryIO) -> None:
    stream.write(answer(b"\x1f\x8b not really", headers=("Content-Encoding: gzip",)))


def _endless(stream: BinaryIO) -> None:
    stream.write(f"HTTP/1.1 200 OK\r\nContent-Length: {2 * MAX_RESPONSE_BYTES}\r\n\r\n".encode())
    try:
        for _ in range(2 * MAX_RESPONSE_BYTES // 2**20):
            stream.write(bytes(2**20))
    except (BrokenPipeError, ConnectionResetError):
        return  # the client has had enough


@pytest.mark.parametrize(
    "reply",
    [b"not HTTP\r\n\r\n", _half_of_the_chunks, _broken_zip],
    ids=["no HTTP", "half of the chunks", "broken gzip"],
)
def test_what_is_no_http_answer_is_a_transport_error(
    recorder: Recorder, config: ClientConfig, connect: Connect, reply: object
) -> None:
    """No exception of the library gets out, and the request counts as one that may have run."""
    recorder.reply(reply)
    with pytest.raises(MpsTransportError) as caught:
        connect(config).call(RAW)
    assert caught.value.may_have_run


def test_an_endless_answer_is_given_up(recorder: Recorder, config: ClientConfig, connect: Connect) -> None:
    """MPS documents 50 MB; what goes on beyond that does not fill the memory of a worker."""
    recorder.reply(_endless)
    with pytest.raises(MpsTransportError, match="larger than MPS ever answers") as caught:
        connect(config).call(RAW)
    assert caught.value.may_have_run


def test_a_redirect_is_not_followed(recorder: Recorder, config: ClientConfig, connect: Connect) -> None:
    """The Authorization of one host must not be shown to another."""
    elsewhere = f"Location: http://{recorder.netloc}/elsewhere"
    recorder.reply(answer(b"", status="307 Temporary Redirect", headers=(elsewhere,)))
    with pytest.raises(MpsTransportError, match="HTTP 307"):
        connect(config, attempts=4).call(RAW)
    assert [sent.target for sent in recorder.sent] == ["/"]


def test_cookies_are_not_kept(recorder: Recorder, config: ClientConfig, connect: Connect) -> None:
    """A request depends on its action and the configuration, not on what a gateway answered before."""
    recorder.reply(answer(headers=("Set-Cookie: session=1; Path=/",)))
    caller = connect(config)
    caller.call(RAW)
    caller.call(RAW)
    assert ["cookie" in sent.headers for sent in recorder.sent] == [False, False]


def test_one_connection_serves_many_calls(recorder: Recorder, config: ClientConfig, connect: Connect) -> None:
    """A poll every few seconds needs no new handshake each time."""
    caller = connect(config)
    for _ in range(3):
        caller.call(RAW)
    assert recorder.open_connections == 1


def test_close_closes_the_connection(
    recorder: Recorder, config: ClientConfig, transport: type[OverRequests] | type[OverAiohttp]
) -> None:
    """After close nothing is left open: not here (no ResourceWarning) and not at the server."""
    caller = transport(config, attempts=1)
    caller.call(RAW)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        caller.close()
        del caller
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
    assert recorder.all_closed()


def test_a_with_block_closes_the_client(recorder: Recorder, config: ClientConfig) -> None:
    """Leaving the with closes the connection, in both clients."""
    with MpsClient(config) as client:
        client.call(RAW)
    assert recorder.all_closed()

    async def call() -> None:
        async with AsyncMpsClient(config) as client:
            await client.call(RAW)

    asyncio.run(call())
    assert recorder.all_closed()


@pytest.mark.parametrize("client_type", [MpsClient, AsyncMpsClient])
def test_a_constructor_opens_nothing(
    recorder: Recorder, config: ClientConfig, client_type: type[MpsClient] | type[AsyncMpsClient]
) -> None:
    """A client that is never used needs neither an event loop nor a close."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        client_type(config)
        gc.collect()
    assert recorder.open_connections == 0


def test_a_closed_client_can_be_used_again(recorder: Recorder, config: ClientConfig, connect: Connect) -> None:
    """Closing gives the connection back, not the client."""
    caller = connect(config)
    caller.call(RAW)
    caller.disconnect()
    assert recorder.all_closed()
    assert caller.call(RAW)["RequestId"] == "recorded"


def _headers_byte_by_byte(stream: BinaryIO) -> None:
    try:
        for byte in answer():
            stream.write(bytes([byte]))
            stream.flush()
            time.sleep(0.05)
    except (BrokenPipeError, ConnectionResetError):
        return  # the client has had enough


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
def test_nobody_is_held_by_headers_that_trickle_in(
    recorder: Recorder, config: ClientConfig, connect: Connect, refusing: str, proxied: bool
) -> None:
    """The timeout bounds the whole answer, headers included, although every single byte is on time."""
    recorder.reply(_headers_byte_by_byte)
    if proxied:
        config = dataclasses.replace(config, endpoint=f"http://{refusing}", proxy=f"http://{recorder.netloc}")
    caller = connect(dataclasses.replace(config, timeout=0.3))
    began = time.monotonic()
    with pytest.raises(MpsTransportError, match="timed out"):
        caller.call(RAW)
    assert time.monotonic() - began < 2


def _after(seconds: float) -> Callable[[BinaryIO], None]:
    def write(stream: BinaryIO) -> None:
        time.sleep(seconds)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.write(answer())

    return write


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
def test_an_answer_may_take_longer_than_a_connection(
    recorder: Recorder,
    config: ClientConfig,
    connect: Connect,
    refusing: str,
    monkeypatch: pytest.MonkeyPatch,
    proxied: bool,
) -> None:
    """A server that cannot be reached is given up soon; one that works on an answer has the whole timeout."""
    monkeypatch.setattr(ClientConfig, "connect_timeout", 0.3)
    recorder.reply(_after(0.8))
    if proxied:
        config = dataclasses.replace(config, endpoint=f"http://{refusing}", proxy=f"http://{recorder.netloc}")
    assert connect(config).call(RAW)["RequestId"] == "recorded"


def test_a_server_that_takes_no_connection_is_given_up_soon(
    config: ClientConfig, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request was never sent, and the timeout of an answer does not count for it."""
    monkeypatch.setattr(ClientConfig, "connect_timeout", 0.3)
    with socket.socket() as listening, contextlib.ExitStack() as others:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):  # the system completes so many by itself; none after these
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listening.getsockname())
        time.sleep(0.1)
        began = time.monotonic()
        busy = dataclasses.replace(config, endpoint=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(MpsTransportError, match="timed out while connecting") as caught:
            connect(busy).call(RAW)
    assert time.monotonic() - began < 4
    assert not caught.value.may_have_run
