"""What a client has to know: every mistake is one clear error, and nothing is sent."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.actions import DescribeTasks
from airflow_provider_mps.client.config import ClientConfig, is_loopback
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError
from tests.conftest import Connect

CANARY = "CANARY-7c1e"
GOOD: dict[str, Any] = {"login": "AKIDexample", "password": "key", "host": None, "port": None, "extra": {}}


def _connection(**fields: Any) -> ClientConfig:
    return ClientConfig.from_connection(**(GOOD | fields))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"login": None}, "The SecretId (login) of the MPS connection is empty."),
        ({"login": ""}, "The SecretId (login) of the MPS connection is empty."),
        ({"login": "  "}, "The SecretId (login) of the MPS connection is empty."),
        ({"password": None}, "The SecretKey (password) of the MPS connection is empty."),
        ({"password": "  \n"}, "The SecretKey (password) of the MPS connection is empty."),
        ({"login": "AKID\nexample"}, "The SecretId (login) of the MPS connection holds blanks, line breaks"),
        ({"password": f"{CANARY} x"}, "The SecretKey (password) of the MPS connection holds blanks, line breaks"),
        ({"password": f"{CANARY}\r\nX-Evil: 1"}, "The SecretKey (password) of the MPS connection holds blanks"),
        ({"password": f"{CANARY}密"}, "The SecretKey (password) of the MPS connection holds blanks"),
        ({"extra": {"token": f"{CANARY}\nx"}}, "The session token of the MPS connection holds blanks"),
        ({"host": "http://mps.tencentcloudapi.com"}, "uses http://, which is allowed for a loopback host only"),
        ({"host": "http://10.0.0.1:8089"}, "uses http://, which is allowed for a loopback host only"),
        ({"host": "http://127.0.0.1.evil.com"}, "uses http://, which is allowed for a loopback host only"),
        ({"host": "http://localhost.evil.com"}, "uses http://, which is allowed for a loopback host only"),
        ({"host": "mps.tencentcloudapi.com/path"}, "is not a host name such as mps.tencentcloudapi.com"),
        ({"host": "mps.tencentcloudapi.com?x=1"}, "is not a host name such as"),
        ({"host": f"user:{CANARY}@mps.tencentcloudapi.com"}, "is not a host name such as"),
        ({"host": "ftp://mps.tencentcloudapi.com"}, "is not a host name such as"),
        ({"host": "mps.tencentcloudapi.com:port"}, "is not a host name such as"),
        ({"host": "mps.tencentcloudapi.com:99999"}, "is not a host name such as"),
        ({"host": "https://"}, "is not a host name such as"),
        ({"host": "https://[::1"}, "is not a host name such as"),
        ({"host": "mps.tencentcloudapi.com:"}, "is not a host name such as"),
        ({"host": "mps tencentcloudapi.com"}, "is not a host name such as"),
        ({"host": "mps.tencentcloudapi.com\r\nX-Evil: 1"}, "is not a host name such as"),
        ({"host": "mps.tencentcloudapi.com\n.evil.com"}, "is not a host name such as"),
        ({"host": "mps.例子.com"}, "is not a host name such as"),
        ({"region": "Guangzhou"}, "The region 'Guangzhou' of the MPS connection has not the form ap-guangzhou."),
        ({"region": "ap_guangzhou"}, "has not the form ap-guangzhou"),
        ({"region": "ap-guangzhou\r\nX-Evil: 1"}, "has not the form ap-guangzhou"),
        ({"extra": {"region": "gz"}}, "has not the form ap-guangzhou"),
        ({"extra": {"language": "en"}}, "The language of the MPS connection can be en-US or zh-CN."),
        ({"extra": {"timeout": "soon"}}, "The timeout of the MPS connection is 'soon', not a number."),
        ({"extra": {"timeout": 0}}, "The timeout of the MPS connection must be above 0 and at most 3600 seconds."),
        ({"extra": {"timeout": -1}}, "must be above 0 and at most 3600 seconds"),
        ({"extra": {"timeout": 3601}}, "must be above 0 and at most 3600 seconds"),
        ({"extra": {"timeout": "nan"}}, "must be above 0 and at most 3600 seconds"),
        ({"extra": {"timeout": "inf"}}, "must be above 0 and at most 3600 seconds"),
        ({"extra": {"proxy": f"socks5://u:{CANARY}@p:1"}}, "must be an http:// or https:// address"),
        ({"extra": {"proxy": "p.internal:3128"}}, "must be an http:// or https:// address"),
        ({"extra": {"proxy": f"http://u:{CANARY}/b@p:1"}}, "Write / # ? @ and : in a password as"),
        ({"extra": {"proxy": f"http://u:{CANARY}#b@p:1"}}, "Write / # ? @ and : in a password as"),
        ({"extra": {"proxy": f"http://u:{CANARY}?b@p:1"}}, "Write / # ? @ and : in a password as"),
        ({"extra": {"verify": False}}, "verify cannot be false"),
        ({"extra": {"verify": "False"}}, "verify cannot be false"),
        ({"extra": {"verify": "/no/such/file.pem"}}, "verify names '/no/such/file.pem', which is not a file"),
    ],
    ids=lambda value: f"{value!r:.50}" if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_clear_error(fields: dict[str, Any], text: str) -> None:
    """The text says which field is wrong and what it should be; a key, token or password is never in it."""
    with pytest.raises(MpsConfigError) as caught:
        _connection(**fields)
    assert text in str(caught.value)
    assert CANARY not in f"{caught.value!s} {caught.value!r} {caught.value.__context__!r}"


def test_a_mistake_sends_nothing(mps: LocalMps, connect: Connect) -> None:
    """A connection to a live server that is wrong in one field is refused before the server hears of it."""
    for fields in ({"password": ""}, {"region": "x"}, {"extra": {"verify": "false"}}, {"extra": {"timeout": 0}}):
        with pytest.raises(MpsConfigError):
            connect(_connection(host=mps.host, **fields)).call(DescribeTasks(status="FINISH"))
    assert list(mps.backend.calls) == []


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        (None, None, "https://mps.tencentcloudapi.com"),
        ("", None, "https://mps.tencentcloudapi.com"),
        ("mps.intl.tencentcloudapi.com", None, "https://mps.intl.tencentcloudapi.com"),
        ("  MPS.intl.TencentCloudAPI.com/ ", None, "https://mps.intl.tencentcloudapi.com"),
        ("https://mps.ap-guangzhou.tencentcloudapi.com/", None, "https://mps.ap-guangzhou.tencentcloudapi.com"),
        ("HTTPS://mps.tencentcloudapi.com", None, "https://mps.tencentcloudapi.com"),
        ("gateway.internal", 8443, "https://gateway.internal:8443"),
        ("mps.tencentcloudapi.com:443", None, "https://mps.tencentcloudapi.com"),
        ("mps.tencentcloudapi.com", 443, "https://mps.tencentcloudapi.com"),
        (None, 443, "https://mps.tencentcloudapi.com"),
        ("http://127.0.0.1:80", None, "http://127.0.0.1"),
        ("gateway.internal:8443", None, "https://gateway.internal:8443"),
        ("http://127.0.0.1:8089", None, "http://127.0.0.1:8089"),
        ("http://127.0.0.1", 8089, "http://127.0.0.1:8089"),
        ("http://localhost:8089", None, "http://localhost:8089"),
        ("http://[::1]:8089", None, "http://[::1]:8089"),
        ("http://127.9.9.9:8089", None, "http://127.9.9.9:8089"),
    ],
)
def test_the_endpoint_of_a_connection(host: str | None, port: int | None, endpoint: str) -> None:
    """A host as people write it, with or without scheme, port and slash; plain http for this machine only."""
    assert _connection(host=host, port=port).endpoint == endpoint


def test_the_fields_of_a_connection(tmp_path: Path) -> None:
    """Each field arrives where it belongs, as text or as JSON wrote it; blanks around a pasted key are cut."""
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    extra = {
        "region": "ap-guangzhou",
        "token": " token ",
        "language": "zh-CN",
        "timeout": "12.5",
        "proxy": "http://p:3128",
        "verify": str(ca_file),
        "unknown": {"ignored": True},
    }
    config = _connection(login=" AKID ", password="key\n", extra=extra)
    assert config == ClientConfig(
        Credentials("AKID", "key", "token"),
        region="ap-guangzhou",
        language="zh-CN",
        timeout=12.5,
        proxy="http://p:3128",
        ca_file=str(ca_file),
    )
    assert _connection(extra=extra, region="ap-singapore").region == "ap-singapore"


@pytest.mark.parametrize("value", [None, "", "true", "True", True])
def test_a_form_left_empty_means_the_usual(value: Any) -> None:
    """The connection form writes null or "" for what nobody filled in; "verify: true" is what holds anyway."""
    extra = dict.fromkeys(("region", "token", "language", "timeout", "proxy"), None if value is True else "")
    assert _connection(extra=extra | {"verify": value}) == _connection()


@pytest.mark.parametrize(("timeout", "connect"), [(30, 10), (5, 5), (3600, 10)])
def test_connecting_has_a_bound_of_its_own(timeout: float, connect: float) -> None:
    """A server that cannot be reached is given up earlier than one that thinks."""
    assert ClientConfig(Credentials("AKID", "key"), timeout=timeout).connect_timeout == connect


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.evil.com", False),
        ("mps.tencentcloudapi.com", False),
        ("", False),
    ],
)
def test_what_only_this_machine_can_be(host: str, expected: bool) -> None:
    """A name that merely looks local is not."""
    assert is_loopback(host) is expected


@pytest.mark.fault("F55")
def test_no_secret_in_any_text_form() -> None:
    """Keys, token and the password of a proxy show in no repr, str or format, also after copying."""
    config = ClientConfig(
        Credentials(f"ID{CANARY}", f"KEY{CANARY}", f"TOKEN{CANARY}"), proxy=f"http://user:{CANARY}@proxy:3128"
    )
    copies = [config, copy.deepcopy(config), pickle.loads(pickle.dumps(config)), config.credentials]
    assert CANARY not in " ".join(f"{item!r} {item!s} {item}" for item in copies)
    assert copies[1:3] == [config, config]


@pytest.mark.parametrize(
    ("value", "proxy"),
    [("p.internal:3128", "http://p.internal:3128"), ("http://u:p@p.internal:3128", "http://u:p@p.internal:3128")],
)
def test_a_proxy_of_the_environment_may_lack_its_scheme(
    monkeypatch: pytest.MonkeyPatch, value: str, proxy: str
) -> None:
    """As other programs read it."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert ClientConfig(Credentials("a", "b")).resolve_proxy() == proxy


@pytest.mark.fault("F60")
def test_a_proxy_of_the_environment_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named by its variable; its password is not."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}/b@p:1")
    with pytest.raises(MpsConfigError, match="HTTPS_PROXY") as caught:
        ClientConfig(Credentials("a", "b")).resolve_proxy()
    assert CANARY not in str(caught.value)
