"""Proxies and private certificates: which are used, and that a job is not paid for twice behind them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_mps.client.actions import DescribeTasks, ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsTransportError
from tests.conftest import Connect
from tests.support.recorder import Recorder
from tests.support.tls import Authority, TunnelProxy, private_authority

CREDENTIALS = Credentials("AKID", "key")
LIST = DescribeTasks(status="FINISH")
SUBMIT = ProcessMedia(input_info={"Type": "URL"})
MAINLAND = "https://mps.tencentcloudapi.com"


@pytest.mark.fault("F60")
@pytest.mark.parametrize(
    ("environment", "endpoint", "expected"),
    [
        ({}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1"}, MAINLAND, "http://p:1"),
        ({"https_proxy": "http://p:1"}, MAINLAND, "http://p:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, MAINLAND, "http://lower:1"),
        ({"HTTP_PROXY": "http://p:1"}, MAINLAND, None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.1:8089", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://127.0.0.1:8089", None),
        ({"ALL_PROXY": "http://p:1"}, MAINLAND, "http://p:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://https:1"}, MAINLAND, "http://https:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "mps.tencentcloudapi.com"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".tencentcloudapi.com"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "tencentcloudapi.com"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost, .tencentcloudapi.com"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "TencentCloudAPI.com"}, MAINLAND, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "cloudapi.com"}, MAINLAND, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "xmps.tencentcloudapi.com.cn"}, MAINLAND, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.internal:8443"}, "https://h.internal:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.internal:8444"}, "https://h.internal:8443", "http://p:1"),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str, expected: str | None
) -> None:
    """HTTPS_PROXY and NO_PROXY have their usual meaning: suffixes of whole names, not substrings; "*" for all."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ClientConfig(CREDENTIALS, endpoint=endpoint).resolve_proxy() == expected


@pytest.mark.fault("F60")
def test_the_connection_overrules_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the connection is used whatever NO_PROXY says; an empty one goes direct."""
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    assert ClientConfig(CREDENTIALS, proxy="").resolve_proxy() is None
    monkeypatch.setenv("NO_PROXY", "*")
    assert ClientConfig(CREDENTIALS, proxy="http://own:1").resolve_proxy() == "http://own:1"


@pytest.mark.fault("F59", "F60")
def test_plain_http_goes_through_the_proxy_it_is_told_to(
    recorder: Recorder, refusing: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both transports use the one decision above, and nothing else that their libraries know of the environment."""
    elsewhere = f"http://{refusing}"
    monkeypatch.setenv("HTTP_PROXY", f"http://{recorder.netloc}")
    connect(ClientConfig(CREDENTIALS, endpoint=elsewhere)).call(LIST)
    assert [(sent.target, sent.headers["host"]) for sent in recorder.sent] == [(f"{elsewhere}/", refusing)]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connect(ClientConfig(CREDENTIALS, endpoint=f"http://{recorder.netloc}")).call(LIST)
    assert recorder.sent[1].target == "/"


def test_a_job_is_not_sent_again_when_a_forwarding_proxy_loses_its_answer(
    recorder: Recorder, refusing: str, connect: Connect
) -> None:
    """The proxy passed the request on before it hung up: MPS may run the job."""
    recorder.hang_up()
    config = ClientConfig(CREDENTIALS, endpoint=f"http://{refusing}", proxy=f"http://{recorder.netloc}")
    with pytest.raises(MpsTransportError) as caught:
        connect(config, attempts=4).call(SUBMIT)
    assert caught.value.may_have_run
    assert len(recorder.sent) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private certificate authority."""
    return private_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def https(authority: Authority) -> Iterator[Recorder]:
    """A server with a certificate of that authority."""
    with Recorder(authority.server) as server:
        yield server


@pytest.fixture
def tunnel() -> Iterator[TunnelProxy]:
    """A proxy that tunnels."""
    with TunnelProxy() as proxy:
        yield proxy


@pytest.mark.fault("F56", "F59")
def test_a_private_authority_is_trusted_when_it_is_named(
    https: Recorder, authority: Authority, connect: Connect
) -> None:
    """The CA file of the connection holds in both halves of a task, worker and triggerer."""
    config = ClientConfig(CREDENTIALS, endpoint=f"https://{https.netloc}", ca_file=authority.ca_file)
    assert connect(config).call(LIST).request_id == "recorded"


@pytest.mark.fault("F59")
def test_an_unknown_authority_is_refused_for_good(https: Recorder, connect: Connect) -> None:
    """Keys are not shown to whoever answers; asking again cannot help, and the text says what does."""
    with pytest.raises(MpsTransportError, match=r"certificate is not trusted.*set verify") as caught:
        connect(ClientConfig(CREDENTIALS, endpoint=f"https://{https.netloc}"), attempts=4).call(LIST)
    assert caught.value.category is Category.PERMANENT
    assert https.sent == []


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, connect: Connect) -> None:
    """A trusted authority does not make every host ours."""
    other = private_authority(tmp_path, host="127.0.0.2")
    with Recorder(other.server) as server:
        config = ClientConfig(CREDENTIALS, endpoint=f"https://{server.netloc}", ca_file=other.ca_file)
        with pytest.raises(MpsTransportError, match="certificate is not trusted"):
            connect(config).call(LIST)
    assert server.sent == []


@pytest.mark.fault("F59", "F60")
def test_https_is_tunnelled(https: Recorder, tunnel: TunnelProxy, authority: Authority, connect: Connect) -> None:
    """The proxy sees where, never what: keys and parameters stay inside the tunnel; its password goes to it alone."""
    proxy = tunnel.url.replace("//", "//user:secret@")
    config = ClientConfig(CREDENTIALS, endpoint=f"https://{https.netloc}", ca_file=authority.ca_file, proxy=proxy)
    connect(config).call(LIST)
    [head] = tunnel.tunnels
    assert head.startswith(f"CONNECT {https.netloc} ")
    assert "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in head
    assert "TC3-HMAC" not in head
    assert not {"proxy-authorization", "via"} & set(https.sent[0].headers)


@pytest.mark.fault("F11")
def test_a_job_is_not_sent_again_when_a_tunnel_breaks(
    https: Recorder, tunnel: TunnelProxy, authority: Authority, connect: Connect
) -> None:
    """A connection that breaks after the request went through the tunnel is no "proxy away": the job may run."""
    https.hang_up()
    config = ClientConfig(CREDENTIALS, endpoint=f"https://{https.netloc}", ca_file=authority.ca_file, proxy=tunnel.url)
    with pytest.raises(MpsTransportError) as caught:
        connect(config, attempts=4).call(SUBMIT)
    assert caught.value.may_have_run
    assert len(https.sent) == 1


@pytest.mark.parametrize(
    ("refusal", "text", "category"),
    [
        ("407 Proxy Authentication Required", "wants a user name and a password", Category.PERMANENT),
        ("503 Service Unavailable", "503", Category.UNREACHABLE),
    ],
)
def test_a_tunnel_that_is_refused_never_ran(
    https: Recorder, connect: Connect, refusal: str, text: str, category: Category
) -> None:
    """MPS cannot have seen the request; a proxy that wants a password will want it again."""
    with TunnelProxy(refusal) as proxy:
        config = ClientConfig(CREDENTIALS, endpoint=f"https://{https.netloc}", proxy=proxy.url)
        with pytest.raises(MpsTransportError, match=text) as caught:
            connect(config).call(SUBMIT)
    assert caught.value.category is category
    assert https.sent == []


@pytest.mark.fault("F60")
def test_a_proxy_that_is_away_never_ran_and_keeps_its_password(refusing: str, connect: Connect) -> None:
    """The text names what could not be reached, without the login."""
    config = ClientConfig(CREDENTIALS, endpoint=MAINLAND, proxy=f"http://user:CANARY@{refusing}")
    with pytest.raises(MpsTransportError) as caught:
        connect(config).call(SUBMIT)
    assert caught.value.category is Category.UNREACHABLE
    assert "CANARY" not in f"{caught.value!s} {caught.value!r} {caught.value.__context__!r} {config!r}"


@pytest.mark.fault("F55", "F60")
@pytest.mark.parametrize("password", ["CANARY", "p%40CANARY", "p@CANARY"])
@pytest.mark.parametrize("of_environment", [False, True])
@pytest.mark.parametrize("way", ["away", "wants a login", "breaks", "works"])
def test_a_proxys_password_is_in_no_text(
    https: Recorder,
    authority: Authority,
    refusing: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    password: str,
    of_environment: bool,
    way: str,
) -> None:
    """Whatever becomes of the request, the logs at DEBUG, the error and the client show no trace of it."""
    caplog.set_level(logging.DEBUG)
    with TunnelProxy("407 Proxy Authentication Required" if way == "wants a login" else "") as tunnel:
        netloc = refusing if way == "away" else tunnel.url.removeprefix("http://")
        address = f"http://user:{password}@{netloc}"
        if of_environment:
            monkeypatch.setenv("HTTPS_PROXY", address)
        if way == "breaks":
            https.hang_up()
        config = ClientConfig(
            CREDENTIALS,
            endpoint=f"https://{https.netloc}",
            ca_file=authority.ca_file,
            proxy=None if of_environment else address,
        )
        caller = connect(config)
        seen = [repr(config), repr(caller.client)]
        with contextlib.nullcontext() if way == "works" else pytest.raises(MpsTransportError) as caught:
            caller.call(LIST)
        if caught is not None:
            seen += [str(caught.value), repr(caught.value), repr(caught.value.__cause__), repr(vars(caught.value))]
    assert all("CANARY" not in text for text in [*seen, caplog.text])
