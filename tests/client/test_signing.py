"""Signatures: Tencent's published vectors, and the official SDK for everything between them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_mps.client.signing import authorization, canonical_request, signing_key, string_to_sign
from tests.support.official import Credential, OfficialClient, RequestInternal

UNNAMED = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
ENGLISH = b'{"Limit": 1, "Filters": [{"Values": ["unnamed"], "Name": "instance-name"}]}'
TIMESTAMP = 1551113065
DAY = 86_400


@dataclass(frozen=True)
class Vector:
    """One published example with its intermediate results; "" where none was published."""

    secret_id: str
    secret_key: str
    service: str
    headers: dict[str, str]
    body: bytes
    payload: str
    canonical: str
    to_sign: str
    key_of_day: str
    key_of_service: str
    key: str
    signature: str


def _cvm(**more: str) -> dict[str, str]:
    return {"Content-Type": "application/json; charset=utf-8", "Host": "cvm.tencentcloudapi.com", **more}


OLDER = ("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE")
STARS = ("AKID" + 32 * "*", 32 * "*")
KEYS_OF_STARS = (
    "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0",
    "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f",
    "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
)
VECTORS = {
    "A, older documentation": Vector(
        *OLDER,
        "cvm",
        _cvm(),
        UNNAMED,
        "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
        "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        "5681c3e6255eff37b6012b94bdd82bc0307394e2f8721fdb3c69b76a0f54a17a",
        "d1308c81fe71cfd4e06437bbc067b2b8a3d2d8c0e375d547f15c41d5214b395a",
        "3c7cb7c7795393edc14fd2e0e6434a518564b4504b88e94f5d11bf59ba3e7050",
        "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1",
        "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
    ),
    "B, mainland, signs x-tc-action": Vector(
        *STARS,
        "cvm",
        _cvm(**{"X-TC-Action": "DescribeInstances"}),
        UNNAMED,
        "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
        "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
        "6c0079147931b5f3fde10cf19bf12e7230b2cfa6607e3912d592594999c9db86",
        *KEYS_OF_STARS,
        "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
    ),
    "C, international": Vector(
        *STARS,
        "cvm",
        _cvm(),
        ENGLISH,
        "99d58dfbc6745f6747f36bfca17dee5e6881dc0428a0a36f96199342bc5b4907",
        "2815843035062fffda5fd6f2a44ea8a34818b0dc46f024b8b3786976a3adda7a",
        "f583f79c6c5f8b6bed09947b5cc0f09adc56f27af55bf375d2bfdfe9742f05d8",
        *KEYS_OF_STARS,
        "a7b8551448762bd123d6f79e81815e31a92013640a6cef36a08ad4b292a4d2f2",
    ),
    "in the form of MPS": Vector(
        *OLDER,
        "mps",
        {"Content-Type": "application/json", "Host": "mps.tencentcloudapi.com"},
        b'{"TaskId": "24xxxx-BatchTask-6b24c23ee5xxxxxx"}',
        "7fde985c06d58145314d85bdd721c910921a6b8ccfbc2c771238d5e6159454b0",
        "fb5b059a78c9c88fac78d3c265e8bc8c89cf9462c3d191b68ba7f90ef98ec2f7",
        "",
        "",
        "",
        "",
        "c8ae3eae148c578bf8a974210769cbad097d8373db1ab42bb8cc32c49641cd9f",
    ),
}


@pytest.fixture(params=VECTORS.values(), ids=VECTORS.keys())
def vector(request: pytest.FixtureRequest) -> Vector:
    """Each published example in turn."""
    chosen: Vector = request.param
    return chosen


def _signed_headers(vector: Vector) -> list[str]:
    return sorted(name.lower() for name in vector.headers)


def test_every_intermediate_result_of_the_documentation(vector: Vector) -> None:
    """Each step gives the value that Tencent publishes for it, so that a wrong signature shows where it went wrong."""
    scope = f"2019-02-25/{vector.service}/tc3_request"
    request = canonical_request(
        method="POST",
        query="",
        headers=vector.headers,
        signed_headers=_signed_headers(vector),
        payload=vector.body,
    )
    text = string_to_sign(timestamp=TIMESTAMP, scope=scope, canonical_request=request)
    seen = {
        "payload": hashlib.sha256(vector.body).hexdigest(),
        "canonical": hashlib.sha256(request.encode()).hexdigest(),
        "to_sign": hashlib.sha256(text.encode()).hexdigest(),
        "key_of_day": signing_key(vector.secret_key, "2019-02-25").hex(),
        "key_of_service": signing_key(vector.secret_key, f"2019-02-25/{vector.service}").hex(),
        "key": signing_key(vector.secret_key, scope).hex(),
    }
    published = {name: value for name in seen if (value := getattr(vector, name))}
    assert {name: seen[name] for name in published} == published


def test_authorization_of_the_documentation(vector: Vector) -> None:
    """The whole header is the published one, whatever headers the example signs."""
    header = authorization(
        secret_id=vector.secret_id,
        secret_key=vector.secret_key,
        service=vector.service,
        timestamp=TIMESTAMP,
        headers=vector.headers,
        payload=vector.body,
        signed_headers=_signed_headers(vector),
    )
    assert header == (
        f"TC3-HMAC-SHA256 Credential={vector.secret_id}/2019-02-25/{vector.service}/tc3_request, "
        f"SignedHeaders={';'.join(_signed_headers(vector))}, Signature={vector.signature}"
    )


def _official(
    *, secret_id: str, secret_key: str, timestamp: int, host: str, content_type: str, method: str, data: bytes | str
) -> str:
    """What the official SDK makes of the same request."""
    date = time.strftime("%Y-%m-%d", time.gmtime(timestamp))
    client = OfficialClient(Credential(secret_id, secret_key), None)
    header = {"Content-Type": content_type, "Host": host, "X-TC-Timestamp": str(timestamp)}
    request = RequestInternal(host, method, "/", header, data)
    signature = client._get_tc3_signature({}, request, date, "mps", secret_key)
    return (
        f"TC3-HMAC-SHA256 Credential={secret_id}/{date}/mps/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}"
    )


keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
hosts = st.builds(
    lambda name, port: name if port is None else f"{name}:{port}",
    st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True),
    st.none() | st.integers(1, 65535),
)
moments = st.integers(0, 2**32) | st.builds(
    lambda day, seconds: day * DAY + seconds, st.integers(1, 40_000), st.integers(-2, 2)
)
bodies = st.binary() | st.text().map(str.encode)


@given(secret_id=keys, secret_key=keys, timestamp=moments, host=hosts, body=bodies, token=st.none() | keys)
@example("AKID", "key", 17_897 * DAY, "mps.tencentcloudapi.com", b"", None)
@example("AKID", "key", 17_897 * DAY - 1, "127.0.0.1:8089", bytes(2**20), "token")
def test_posts_are_signed_as_the_official_sdk_signs_them(
    secret_id: str, secret_key: str, timestamp: int, host: str, body: bytes, token: str | None
) -> None:
    """Any body, key, host (with port or without) and second of the day gives the official signature."""
    headers = {"Host": host, "Content-Type": "application/json"} | ({"X-TC-Token": token} if token else {})
    ours = authorization(
        secret_id=secret_id,
        secret_key=secret_key,
        service="mps",
        timestamp=timestamp,
        headers=headers,
        payload=body,
    )
    assert ours == _official(
        secret_id=secret_id,
        secret_key=secret_key,
        timestamp=timestamp,
        host=host,
        content_type="application/json",
        method="POST",
        data=body,
    )


@given(timestamp=moments, query=st.text(st.sampled_from("abcXYZ019=&%.-_"), max_size=80))
def test_gets_are_signed_as_the_official_sdk_signs_them(timestamp: int, query: str) -> None:
    """A GET signs its query in place of a body, which the local MPS has to be able to check."""
    ours = authorization(
        secret_id="AKID",
        secret_key="key",
        service="mps",
        timestamp=timestamp,
        headers={"host": "h", "content-type": "application/x-www-form-urlencoded"},
        payload=b"",
        method="GET",
        query=query,
    )
    theirs = _official(
        secret_id="AKID",
        secret_key="key",
        timestamp=timestamp,
        host="h",
        content_type="application/x-www-form-urlencoded",
        method="GET",
        data=query,
    )
    assert ours == theirs


def test_a_changed_byte_changes_the_signature() -> None:
    """Nothing that is signed can be altered on the way unnoticed."""
    request = {
        "secret_id": "AKID",
        "secret_key": "key",
        "service": "mps",
        "timestamp": TIMESTAMP,
        "headers": {"Host": "h", "Content-Type": "application/json"},
        "payload": b"{}",
    }
    changes = [
        {"secret_key": "kez"},
        {"service": "sts"},
        {"timestamp": TIMESTAMP + 1},
        {"headers": {"Host": "i", "Content-Type": "application/json"}},
        {"headers": {"Host": "h", "Content-Type": "application/json; charset=utf-8"}},
        {"payload": b"{ }"},
        {"method": "GET"},
        {"query": "a=b"},
    ]
    headers = [authorization(**(request | change)) for change in [{}, *changes]]
    assert len({header.rpartition("=")[2] for header in headers}) == len(headers)


@pytest.mark.fault("F57")
def test_the_scope_is_the_utc_day_of_the_timestamp() -> None:
    """One second before midnight in UTC belongs to the day before, wherever the machine stands."""
    days = [
        authorization(
            secret_id="AKID",
            secret_key="key",
            service="mps",
            timestamp=timestamp,
            headers={"Host": "h", "Content-Type": "application/json"},
            payload=b"",
        ).split("/")[1]
        for timestamp in (17_897 * DAY - 1, 17_897 * DAY)
    ]
    assert days == ["2018-12-31", "2019-01-01"]
