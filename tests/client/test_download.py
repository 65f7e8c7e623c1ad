"""Fetching a file that an answer names: where it goes, how much it takes, and what it tells."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_mps.client import download as module
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.download import download, is_allowed
from airflow_provider_mps.client.retry import is_final, may_pass
from airflow_provider_mps.errors import MpsDownloadError
from tests.support.recorder import Recorder, answer
from tests.support.tls import TunnelProxy, private_authority

KEYS = Credentials("AKID", "key")
LOCAL = ClientConfig(KEYS, endpoint="http://127.0.0.1:1", timeout=2)
REAL = ClientConfig(KEYS, timeout=2)
SIGN = "q-signature=canary-5cfa3e"


@pytest.fixture
def server() -> Iterator[Recorder]:
    """A web server on this machine that has one file."""
    with Recorder() as recorder:
        recorder.reply(answer(b"WEBVTT\n"))
        yield recorder


@pytest.fixture(autouse=True)
def _tells_no_query(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, nothing that any library logs holds a query string."""
    caplog.set_level(logging.DEBUG)
    yield
    told = [record.getMessage() for record in caplog.get_records("call")]
    assert not [text for text in told if "canary-5cfa3e" in text]


def _refused(address: str, config: ClientConfig = REAL) -> str:
    with pytest.raises(MpsDownloadError) as caught:
        download(address, config)
    assert "canary-5cfa3e" not in str(caught.value) + repr(vars(caught.value))
    return str(caught.value)


def _redirect(location: str) -> bytes:
    return answer(b"", status="302 Found", headers=(f"Location: {location}",))


def test_a_file_comes_with_its_signature_and_nothing_of_ours(server: Recorder) -> None:
    """The query is sent as it stands; no key, no cookie, no leave to compress."""
    address = f"http://{server.netloc}/out/a%20b.vtt?{SIGN}&x=%2F+%3d"
    assert download(address, LOCAL) == b"WEBVTT\n"
    [sent] = server.sent
    assert (sent.method, sent.target) == ("GET", f"/out/a%20b.vtt?{SIGN}&x=%2F+%3d")
    assert sent.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-tc-action"} & set(sent.headers)


def test_redirections_are_followed_for_a_while(server: Recorder) -> None:
    """Relative ones too; a circle ends."""
    answers = iter([_redirect("/next?x=1"), _redirect(f"http://{server.netloc}/last"), answer(b"text")])
    server.reply(lambda stream: stream.write(next(answers)))
    assert download(f"http://{server.netloc}/first", LOCAL) == b"text"
    assert [sent.target for sent in server.sent] == ["/first", "/next?x=1", "/last"]
    server.reply(_redirect("/again"))
    assert "more than 3 redirections" in _refused(f"http://{server.netloc}/first?{SIGN}", LOCAL)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("http://media.example.com/a.vtt", "only https"),
        ("https://10.0.0.1/a.vtt", "not public"),
        ("https://169.254.0.23/latest/meta-data", "not public"),
        ("https://[fd00::1]/a.vtt", "not public"),
        ("https://[::ffff:10.0.0.1]/a.vtt", "not public"),
        ("ftp://127.0.0.1/a.vtt", "only https"),
        ("file:///etc/passwd", "no address"),
        ("https://inside.example.com/", "not public"),
    ],
)
def test_where_redirections_do_not_lead(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, location: str, text: str
) -> None:
    """Not to plain http, not into a private network, not to another protocol; nothing is sent there."""
    usual = socket.getaddrinfo

    def lookup(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        return usual("192.168.7.7" if host == "inside.example.com" else host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    server.reply(_redirect(f"{location}?{SIGN}"))
    assert text in _refused(f"http://{server.netloc}/a.vtt", LOCAL)
    assert len(server.sent) == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "localtest.example.com", "localhost."]
)
def test_this_machine_is_for_a_local_connection_only(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """A connection to the real MPS never makes the worker ask itself, however the address is written."""
    usual = socket.getaddrinfo

    def lookup(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        return usual("127.0.0.1" if host == "localtest.example.com" else host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    port = server.netloc.rpartition(":")[2]
    for scheme in ("http", "https"):
        assert "not public" in _refused(f"{scheme}://{host}:{port}/a.vtt?{SIGN}")
    assert server.open_connections == 0
    assert server.sent == []


@pytest.mark.parametrize(
    ("host", "address", "real", "local"),
    [
        ("media.example.com", "93.184.216.34", True, True),
        ("media.example.com", "2606:2800:220:1:248:1893:25c8:1946", True, True),
        ("media.example.com", "127.0.0.1", False, True),
        ("media.example.com", "::ffff:127.0.0.1", False, True),
        ("localhost", "127.0.0.1", False, True),
        ("localhost", "93.184.216.34", False, False),
        ("media.example.com", "10.1.2.3", False, False),
        ("media.example.com", "172.16.0.1", False, False),
        ("media.example.com", "192.168.0.1", False, False),
        ("media.example.com", "100.64.0.1", False, False),
        ("media.example.com", "169.254.169.254", False, False),
        ("media.example.com", "0.0.0.0", False, False),
        ("media.example.com", "224.0.0.1", False, False),
        ("media.example.com", "fe80::1%eth0", False, False),
        ("media.example.com", "fc00::1", False, False),
        ("media.example.com", "2002:0a00:0001::", False, False),
        ("media.example.com", "no address", False, False),
        ("b-1.cos.ap-nanjing.myqcloud.com", "169.254.0.47", True, True),
        ("b-1.cos.ap-nanjing.myqcloud.com", "127.0.0.1", False, True),
        ("myqcloud.com.example.com", "10.0.0.1", False, False),
        ("evilmyqcloud.com", "10.0.0.1", False, False),
        ("B-1.cos.ap-nanjing.MyQCloud.com.", "10.0.0.1", True, True),
    ],
)
def test_which_addresses_are_allowed(host: str, address: str, real: bool, local: bool) -> None:
    """Public addresses, this machine with a local connection, and Tencent's storage, which is private inside of it."""
    assert is_allowed(host, address, local=False) is real
    assert is_allowed(host, address, local=True) is local


def test_https_is_verified(tmp_path: Path) -> None:
    """Plain http to anywhere becomes https; a certificate that nobody vouches for ends it before the query is sent."""
    authority = private_authority(tmp_path)
    with Recorder(tls=authority.server) as recorder:
        recorder.reply(answer(b"text"))
        address = f"https://{recorder.netloc}/a.vtt?{SIGN}"
        assert "certificate of the server is not trusted" in _refused(address, LOCAL)
        assert recorder.sent == []
        trusting = ClientConfig(KEYS, endpoint=LOCAL.endpoint, timeout=2, ca_file=authority.ca_file)
        assert download(address, trusting) == b"text"


def test_http_is_asked_for_as_https(monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
    """MPS writes http addresses; nothing is fetched in the clear, so a server without TLS gets no request."""
    asked: list[str] = []

    async def get(self: Any, url: Any) -> bytes:
        asked.append(str(url))
        return b""

    monkeypatch.setattr(module._Download, "_get", get)
    download(f"http://b-1.cos.ap-nanjing.myqcloud.com/a.vtt?{SIGN}", REAL)
    assert asked == [f"https://b-1.cos.ap-nanjing.myqcloud.com/a.vtt?{SIGN}"]


def test_the_proxy_of_the_connection(tmp_path: Path) -> None:
    """A proxy is used as for MPS, and looks names up by itself."""
    authority = private_authority(tmp_path)
    with Recorder(tls=authority.server) as recorder, TunnelProxy() as proxy:
        recorder.reply(answer(b"text"))
        config = ClientConfig(KEYS, endpoint=LOCAL.endpoint, timeout=2, ca_file=authority.ca_file, proxy=proxy.url)
        assert download(f"https://{recorder.netloc}/a.vtt", config) == b"text"
        assert [head.split()[1] for head in proxy.tunnels] == [recorder.netloc]
        real = ClientConfig(KEYS, timeout=2, proxy=proxy.url)
        for host in ("localhost", "localhost.", "127.0.0.1", "10.0.0.1", "[::1]"):
            assert "not public" in _refused(f"https://{host}/a.vtt", real)
        assert len(proxy.tunnels) == 1


@pytest.mark.parametrize(
    ("reply", "text", "later"),
    [
        (answer(b"<Error/>", status="403 Forbidden"), "HTTP 403", False),
        (answer(b"", status="503 Slow Down"), "HTTP 503", True),
        (answer(b"", status="302 Found", headers=()), "HTTP 302", False),
        (answer(b"x", headers=("Content-Encoding: gzip",)), "compressed", False),
        (answer(b"half")[:-2], "ClientPayloadError", True),
        (b"no http at all\r\n\r\n", "ClientResponseError", True),
    ],
    ids=["refused", "busy", "redirected to nowhere", "compressed", "cut", "no HTTP"],
)
def test_what_does_not_come(server: Recorder, reply: bytes, text: str, later: bool) -> None:
    """One error that names the file, without its query, says why, and whether a retry can help."""

    def write(stream: BinaryIO) -> None:
        stream.write(reply)
        stream.close()

    server.reply(write)
    with pytest.raises(MpsDownloadError) as caught:
        download(f"http://{server.netloc}/a.vtt?{SIGN}", LOCAL)
    assert (may_pass(caught.value), is_final(caught.value)) == (later, not later)
    message = _refused(f"http://{server.netloc}/a.vtt?{SIGN}", LOCAL)
    assert f"http://{server.netloc}/a.vtt was not fetched: " in message
    assert text in message


def test_how_much_is_taken(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit ends it, whatever the server said of the size."""
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    server.reply(answer(b"x" * (1 << 20)))
    assert len(download(f"http://{server.netloc}/a.vtt", LOCAL)) == 1 << 20
    server.reply(answer(b"x" * ((1 << 20) + 1)))
    assert "larger than 1 MiB" in _refused(f"http://{server.netloc}/a.vtt", LOCAL)


def test_how_long_it_is_waited_for(server: Recorder) -> None:
    """The timeout of the connection is for the whole of it, also where it trickles in."""

    def trickle(stream: BinaryIO) -> None:
        stream.write(answer(b"x" * 100)[:-100])
        with suppress(OSError):  # the client hangs up
            for _ in range(100):
                stream.write(b"x")
                stream.flush()
                time.sleep(0.05)

    server.reply(trickle)
    started = time.monotonic()
    config = ClientConfig(KEYS, endpoint=LOCAL.endpoint, timeout=0.4)
    assert "not there after 0.4 seconds" in _refused(f"http://{server.netloc}/a.vtt?{SIGN}", config)
    assert time.monotonic() - started < 2


NO_ADDRESSES = ["", "nothing", "https://", "https://a:b:c/", "http://[", "javascript:1", "//x/y"]
NUMBERS = ["https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://u:p@media.example.com/a"]


@pytest.mark.parametrize(
    "address", ["", "nothing", "https://", "https://a:b:c/", "http://[", "javascript:1", "//x/y", *NUMBERS]
)
def test_what_is_no_address(address: str) -> None:
    """Is refused, and asked for nowhere."""
    _refused(f"{address}?{SIGN}" if address else "")


def test_nobody_there() -> None:
    """A server that does not answer is named, with the reason."""
    assert "http://127.0.0.1:1/a.vtt was not fetched: Conn" in _refused(f"http://127.0.0.1:1/a.vtt?{SIGN}", LOCAL)
