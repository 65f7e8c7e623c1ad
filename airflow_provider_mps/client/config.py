"""The configuration of a client. It is checked once, without network access, before anything is sent."""

from __future__ import annotations

import hashlib
import math
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from airflow_provider_mps.client.credentials.assume_role import DEFAULT_SESSION_NAME, Sts
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials
from airflow_provider_mps.client.credentials.providers import provider_for
from airflow_provider_mps.errors import MpsConfigError

DEFAULT_HOST = "mps.tencentcloudapi.com"
_REGION = re.compile(r"[a-z]{2,3}(-[a-z0-9]+){1,3}")
_REGION_NAME = re.compile(r"(ap|na|sa|eu|me)-[a-z]+")
_ENDPOINT = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+])(:\d+)?", re.IGNORECASE)
_STANDARD_PORTS = {"https": ":443", "http": ":80"}
_LANGUAGES = ("en-US", "zh-CN")
_METADATA = "http://metadata.tencentyun.com"
_STS_HOST = re.compile(r"sts(\.[a-z0-9-]+)*\.tencentcloudapi\.com")
_PROFILE = re.compile(r"[\w.@-]{1,128}")
# The keys of a connection's extra that are read. Other keys are ignored.
EXTRAS = (
    "credential_source",
    "token",
    "role_arn",
    "role_session_name",
    "role_duration",
    "external_id",
    "profile",
    "sts_endpoint",
    "region",
    "language",
    "timeout",
    "proxy",
    "verify",
    "quota_share",
)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """
    Everything that a request depends on besides the action.

    :param credentials: the keys that sign it, or a provider of keys; None sends it unsigned.
    :param endpoint: ``https://host[:port]``; plain http is for a loopback host only (the emulator).
    :param region: ``X-TC-Region``, for example ``ap-guangzhou``; MPS does not require one.
    :param language: the language of MPS's messages, ``en-US`` or ``zh-CN``.
    :param timeout: seconds for one whole request, answer included.
    :param proxy: address of an HTTP proxy; "" goes direct; None takes it from the environment
        (``HTTPS_PROXY``, ``NO_PROXY``).
    :param ca_file: certificates to trust instead of the usual ones.
    :param reload: reads the configuration again when its keys are rejected, since the user may have replaced them. For
        :class:`AsyncMpsClient` it returns an awaitable. None, or an exception, means that there are no new keys.
    :param quota_share: fraction of MPS's documented requests per second that the polls of one process may use. Use more
        than 1 only if Tencent Cloud has raised the limits of the account.
    """

    credentials: CredentialProvider | None
    endpoint: str = f"https://{DEFAULT_HOST}"
    region: str | None = None
    language: str = "en-US"
    timeout: float = 30.0
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    quota_share: float = 0.5
    reload: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_endpoint(self.endpoint)
        if self.region is not None and not (isinstance(self.region, str) and _REGION.fullmatch(self.region)):
            raise MpsConfigError(f"The region {self.region!r:.40} of the MPS connection has not the form ap-guangzhou.")
        if self.language not in _LANGUAGES:
            raise MpsConfigError(f"The language of the MPS connection can be {' or '.join(_LANGUAGES)}.")
        if not (math.isfinite(self.timeout) and 0 < self.timeout <= 3600):
            raise MpsConfigError("The timeout of the MPS connection must be above 0 and at most 3600 seconds.")
        if not (math.isfinite(self.quota_share) and 0 < self.quota_share <= 10):
            raise MpsConfigError("The quota_share of the MPS connection must be above 0; 0.5 is half of the quota.")
        if self.proxy:
            _check_proxy(self.proxy, "The proxy of the MPS connection")
        if self.ca_file is not None and not os.path.isfile(self.ca_file):
            raise MpsConfigError(
                f"verify names {self.ca_file!r}, which is not a file on this machine; it has to be on all."
            )

    @classmethod
    def from_connection(
        cls,
        *,
        login: str | None,
        password: str | None,
        host: str | None,
        port: int | None,
        extra: Mapping[str, Any],
        region: str | None = None,
    ) -> ClientConfig:
        """
        Read the fields of an Airflow connection.

        :param region: overrides the connection's.
        :raises MpsConfigError: a field is missing or invalid; the text names the field and holds no secret.
        """
        given = {key: extra.get(key) for key in EXTRAS}
        text = {key: str(value).strip() for key, value in given.items() if value is not None and value != ""}
        endpoint, region = _endpoint(host, port), region or text.get("region")
        _check_endpoint(endpoint)
        return cls(
            credentials=_provider((login or "").strip(), (password or "").strip(), endpoint, region, text),
            endpoint=endpoint,
            region=region,
            language=text.get("language", "en-US"),
            timeout=_number(text, "timeout", 30.0),
            proxy=text.get("proxy"),
            ca_file=_ca_file(text.get("verify")),
            quota_share=_number(text, "quota_share", 0.5),
        )

    @property
    def account_key(self) -> str:
        """
        Identifies the account at this endpoint. All clients of an account share its rate limiters and pollers.

        It holds no secret, may be logged, and stays the same when temporary keys are renewed. Two configurations
        with the same account key may differ in proxy, region or timeout.
        """
        account = (self.endpoint, self.credentials.identity if self.credentials else None)
        return hashlib.sha256(repr(account).encode()).hexdigest()[:16]

    @property
    def connect_timeout(self) -> float:
        """Seconds to open a connection. A server that takes longer counts as unreachable."""
        return min(10.0, self.timeout)

    @property
    def host(self) -> str:
        """Host and port as in the ``Host`` header, which the signature covers."""
        return urlsplit(self.endpoint).netloc

    def resolve_proxy(self) -> str | None:
        """
        Return the proxy for the endpoint, with the usual meaning of ``NO_PROXY``; None means a direct connection.

        :raises MpsConfigError: the environment names an invalid proxy.
        """
        if self.proxy is not None:
            return self.proxy or None
        proxies = getproxies_environment()
        if proxy_bypass_environment(self.host, proxies):
            return None
        scheme = urlsplit(self.endpoint).scheme
        proxy = proxies.get(scheme) or proxies.get("all")
        if not proxy:
            return None
        proxy = proxy if "://" in proxy else f"http://{proxy}"  # as other programs read it
        _check_proxy(proxy, f"{scheme.upper()}_PROXY or ALL_PROXY of the environment")
        return proxy


@lru_cache(maxsize=8)
def tls_context(ca_file: str) -> ssl.SSLContext:
    """
    Return a context that trusts the certificates in a file. It is cached: reading a file blocks the event loop.

    :raises MpsConfigError: the file holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        reason = f"holds no certificates ({error.reason})"
        raise MpsConfigError(f"verify names {ca_file}, which {reason}; it takes a file in PEM format.") from None


def is_loopback(hostname: str) -> bool:
    """Whether a host name or address always means this machine."""
    if hostname == "localhost":
        return True
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return False


def _provider(
    login: str, password: str, endpoint: str, region: str | None, text: Mapping[str, str]
) -> CredentialProvider:
    profile, name = text.get("profile", "default"), text.get("credential_source")
    if not _PROFILE.fullmatch(profile):
        raise MpsConfigError(
            f"The profile {profile!r:.40} of the MPS connection is no name of a profile: letters, digits and _.@- only."
        )
    token = text.get("token")
    keys = Credentials(login, password, token) if login or password or token or name == "static" else None
    parts = urlsplit(endpoint)
    # The emulator answers for all three services; a test must not reach the real ones.
    local = endpoint if is_loopback(parts.hostname or "") else None
    sts = Sts(
        endpoint=_sts_endpoint(text.get("sts_endpoint"), local, parts.hostname or ""),
        region=region or "ap-guangzhou",
        session_name=text.get("role_session_name", DEFAULT_SESSION_NAME),
        duration=_whole_number(text.get("role_duration")),
    )
    return provider_for(
        keys,
        name=name,
        sts=sts,
        metadata_endpoint=local or _METADATA,
        profile=profile,
        role_arn=text.get("role_arn"),
        external_id=text.get("external_id"),
    )


def _sts_endpoint(given: str | None, local: str | None, hostname: str) -> str:
    """Return the STS endpoint for the kind of account. A token is sent to it: only Tencent Cloud's hosts are valid."""
    if given is None:
        intl = ".intl" if hostname.endswith(".intl.tencentcloudapi.com") else ""
        return local or f"https://sts{intl}.tencentcloudapi.com"
    endpoint = _endpoint(given, None)
    _check_endpoint(endpoint, "sts_endpoint")
    host = urlsplit(endpoint).hostname or ""
    if not (_STS_HOST.fullmatch(host) or is_loopback(host)):
        raise MpsConfigError("sts_endpoint must be a host of Tencent Cloud such as sts.tencentcloudapi.com.")
    return endpoint


def _whole_number(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isdecimal() and 0 < int(value) <= 43_200):
        raise MpsConfigError(f"role_duration is {value!r:.20}; it can be 1 to 43200 seconds.")
    return int(value)


def _endpoint(host: str | None, port: int | None) -> str:
    host = (host or "").strip().rstrip("/") or DEFAULT_HOST
    scheme, separator, rest = host.rpartition("://")
    netloc = rest.lower()
    if port and ":" not in netloc:
        netloc = f"{netloc}:{port}"
    scheme = scheme.lower() if separator else "https"
    # A client leaves the standard port out of the Host header, and the signature covers that header.
    return f"{scheme}://{netloc.removesuffix(_STANDARD_PORTS.get(scheme, ''))}"


def _check_endpoint(endpoint: str, name: str = "The API endpoint of the MPS connection") -> None:
    try:
        parts = urlsplit(endpoint)
        hostname, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        endpoint = ""
    if not _ENDPOINT.fullmatch(endpoint):
        raise MpsConfigError(f"{name} is not a host name such as {DEFAULT_HOST} (a port may follow).")
    if _REGION_NAME.fullmatch(hostname):
        raise MpsConfigError(f"{name} is {hostname}, a region. Put that into Region, and leave the endpoint empty.")
    if endpoint.endswith(_STANDARD_PORTS[parts.scheme]):
        raise MpsConfigError(f"Leave the standard port out of the endpoint {endpoint}.")
    if parts.scheme == "http" and not is_loopback(hostname):
        raise MpsConfigError(
            f"{name} uses http://, which is allowed for a loopback host only: requests would travel in the clear."
        )


def _number(text: Mapping[str, str], name: str, default: float) -> float:
    value = text.get(name)
    try:
        return default if value is None else float(value)
    except ValueError:
        raise MpsConfigError(f"The {name} of the MPS connection is {value!r:.20}, not a number.") from None


def _ca_file(value: str | None) -> str | None:
    if value is None or value.lower() == "true":
        return None
    if value.lower() == "false":
        raise MpsConfigError(
            "verify cannot be false: keys and media addresses could go to any server. "
            "Set it to the file with your certificate authority."
        )
    return value


def _check_proxy(address: str, name: str) -> None:
    """Reject an address that a library may read in another way; a password would then show in errors."""
    try:
        parts = urlsplit(address)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        known &= parts.port is None or parts.port > 0
        known &= "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:
        known = False
    if not known:
        raise MpsConfigError(
            f"{name} must be an http:// or https:// address, such as http://user:password@proxy.example:3128. "
            "Write / # ? @ and : in a password as %2F %23 %3F %40 and %3A."
        )
