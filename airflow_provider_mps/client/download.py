"""
Downloads a file that MPS wrote, from its public or signed address.

A download sends no key, and uses https and public addresses only, also after a redirect. It never shows a query string:
the query of a signed address is a secret. Besides the two transports only this module uses the network.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from airflow_provider_mps.client.config import ClientConfig, is_loopback
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsConfigError, MpsDownloadError

MAX_BYTES = 32 * 1024 * 1024
_MAX_REDIRECTS = 3
_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Inside Tencent Cloud its storage has private addresses. Its certificate proves its identity.
_MAY_BE_PRIVATE = (".myqcloud.com",)


def download(address: str, config: ClientConfig) -> bytes:
    """
    Fetch a file of at most :data:`MAX_BYTES` within the ``timeout`` of the connection, through its proxy.

    ``http://`` is replaced by ``https://``. If the connection's own host is a loopback host (the local MPS), loopback
    addresses are allowed, also with plain http.

    :raises MpsDownloadError: the download failed, or the address is not allowed.
    """
    return asyncio.run(_Download(config).fetch(address))


class _Download:
    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._local = is_loopback(URL(config.endpoint).host or "")

    async def fetch(self, address: str) -> bytes:
        url = _parse(address)
        if url.scheme == "http" and not self._is_plain_allowed(url):
            url = url.with_scheme("https")
        try:
            async with asyncio.timeout(self._config.timeout):
                for _ in range(_MAX_REDIRECTS + 1):
                    answer = await self._get(url)
                    if isinstance(answer, bytes):
                        return answer
                    url = answer
        except TimeoutError:
            text = f"not there after {self._config.timeout:g} seconds"
            raise MpsDownloadError(text, address=address, category=Category.NO_ANSWER) from None
        raise MpsDownloadError(f"more than {_MAX_REDIRECTS} redirections", address=address)

    async def _get(self, url: URL) -> bytes | URL:
        """Return the file, or the target of a redirect."""
        proxy = self._proxy(url)
        try:
            async with (
                self._session(proxy) as session,
                session.get(url, proxy=proxy, allow_redirects=False) as answer,
            ):
                if answer.status in _REDIRECTS and (target := answer.headers.get("Location")):
                    return _parse(str(url.join(URL(target, encoded=True))))
                if answer.status != 200:
                    later = answer.status >= 500 or answer.status in {408, 425, 429}
                    category = Category.NO_ANSWER if later else Category.PERMANENT
                    raise MpsDownloadError(f"HTTP {answer.status}", address=str(url), category=category)
                return await _read(answer, url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            # The text of the error is not used: it may hold the whole address.
            reason = getattr(error, "strerror", None) or type(error).__name__
            if untrusted := isinstance(error, aiohttp.ClientConnectorCertificateError):
                reason = "the certificate of the server is not trusted"
            category = Category.PERMANENT if untrusted else Category.NO_ANSWER
            raise MpsDownloadError(str(reason), address=str(url), category=category) from None

    def _proxy(self, url: URL) -> str | None:
        """Check that an address is allowed, and return the proxy for it."""
        if not (url.scheme == "https" or (url.scheme == "http" and self._is_plain_allowed(url))):
            raise MpsDownloadError("only https is fetched", address=str(url))
        host = (url.host or "").rstrip(".").lower()
        if _as_ip(host) is not None or is_loopback(host):
            self.check(
                host, "127.0.0.1" if is_loopback(host) else host
            )  # an IP address is not resolved, so the resolver cannot check it
        try:
            return replace(self._config, endpoint=str(url.origin())).resolve_proxy()
        except MpsConfigError:
            raise MpsDownloadError("that is no address", address=str(url)) from None

    def _session(self, proxy: str | None) -> aiohttp.ClientSession:
        ca_file = self._config.ca_file
        # A proxy resolves names itself, and its own address may be private.
        resolver = None if proxy else _CheckedResolver(self)
        connector = aiohttp.TCPConnector(
            resolver=resolver, ssl=ssl.create_default_context(cafile=ca_file) if ca_file else True
        )
        return aiohttp.ClientSession(
            connector=connector,
            # A small compressed answer could become a very large file.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.connect_timeout),
            trust_env=False,
        )

    def _is_plain_allowed(self, url: URL) -> bool:
        return self._local and is_loopback(url.host or "")

    def check(self, host: str, address: str) -> None:
        if not is_allowed(host, address, local=self._local):
            raise MpsDownloadError(f"{host} is at an address that is not public", address=f"https://{host}")


def is_allowed(host: str, address: str, *, local: bool) -> bool:
    """
    Whether a file may be fetched from ``host`` at the IP address that its name stands for.

    :param local: loopback addresses are allowed.
    """
    ip, host = _as_ip(address), host.rstrip(".").lower()
    if ip is None or ip.is_loopback or is_loopback(host):
        return ip is not None and ip.is_loopback and local
    return (ip.is_global and not ip.is_multicast) or host.endswith(_MAY_BE_PRIVATE)


class _CheckedResolver(AbstractResolver):
    """Resolves names as usual and checks the result. aiohttp connects only to the addresses that it returns."""

    def __init__(self, download: _Download) -> None:
        self._download = download
        self._usual = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._usual.resolve(host, port, family)
        for result in found:
            self._download.check(host, result["host"])
        return found

    async def close(self) -> None:
        await self._usual.close()


def _parse(address: str) -> URL:
    """Parse an address without encoding it again, which would break its signature."""
    try:
        url = URL(address, encoded=True)
        # Reading host and port checks them. A host that ends in a number must be an IP address.
        if url.host and url.port != 0 and url.user is None and (_as_ip(url.host) or not _NUMBER.search(url.host)):
            return url
    except ValueError:
        pass
    raise MpsDownloadError("that is no address", address=address)


async def _read(answer: aiohttp.ClientResponse, url: URL) -> bytes:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MpsDownloadError("it is compressed, although the request does not allow that", address=str(url))
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > MAX_BYTES:
            raise MpsDownloadError(f"larger than {MAX_BYTES // 2**20} MiB", address=str(url))
    return bytes(data)


def _as_ip(text: str) -> Any:
    """Return an IP address, or the IPv4 address inside of an IPv6 one; None for a name."""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip
