"""
The keys of this process. All clients share the keys of a provider, which are renewed before they expire.

A separate thread fetches keys, so that threads and event loops wait for the same answer and no event loop is blocked.
While the cached keys are valid, no caller waits.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials, ExpiringCredentials
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsCredentialsError

log = logging.getLogger(__name__)

# After a failure no keys are fetched for this long: hundreds of tasks may need keys at once.
FETCH_BACKOFF = 5.0  # seconds
MAX_CACHES = 64


class CredentialCache:
    """
    The current keys of one provider.

    :param fetch: fetches keys from the provider. It runs on a thread; its requests have time limits.
    :param title: a description of the provider, for messages.
    :param held: the first keys, if they are known.
    """

    def __init__(
        self, fetch: Callable[[], ExpiringCredentials], *, title: str, held: ExpiringCredentials | None = None
    ) -> None:
        self._fetch = fetch
        self._title = title
        self._lock = threading.Lock()
        self._held = held
        self._pending: Future[ExpiringCredentials] | None = None
        self._failure: MpsCredentialsError | None = None
        self._backoff_until = 0.0  # monotonic

    @property
    def origin(self) -> str:
        """A description of the source of the cached keys."""
        return self._held.origin if self._held else self._title

    @property
    def is_fresh(self) -> bool:
        """Whether the cached keys are valid and need not be renewed yet."""
        held = self._held
        return held is not None and _is_valid(held) and not held.is_due(held.clock.now())

    def holds(self, credentials: Credentials) -> bool:
        """Whether these are the cached keys."""
        return self._held is not None and self._held.credentials == credentials

    def get(self, seconds: float, rejected: Credentials | None = None) -> Credentials:
        """
        Return valid keys; wait for the provider if necessary.

        :param seconds: how long to wait for the provider.
        :param rejected: keys that the service rejected, so that new keys are fetched. The provider may return the same
            keys: then it has no others.
        :raises MpsCredentialsError: there are no keys.
        """
        keys = self._held_or_pending(rejected)
        if isinstance(keys, ExpiringCredentials):
            return keys.credentials
        try:
            return keys.result(seconds).credentials
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except MpsCredentialsError as error:
            raise copy.copy(error) from None  # each caller gets its own instance

    async def aget(self, seconds: float, rejected: Credentials | None = None) -> Credentials:
        """As :meth:`get`, without blocking the event loop. A cancelled task does not affect the others."""
        keys = self._held_or_pending(rejected)
        if isinstance(keys, ExpiringCredentials):
            return keys.credentials
        try:
            async with asyncio.timeout(seconds):  # wait_for loses cancellations in Python 3.11
                return (await asyncio.shield(asyncio.wrap_future(keys))).credentials
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except MpsCredentialsError as error:
            raise copy.copy(error) from None

    def _held_or_pending(self, rejected: Credentials | None) -> ExpiringCredentials | Future[ExpiringCredentials]:
        """Return the cached keys if they are valid, else the pending answer of the provider."""
        with self._lock:
            held = self._held
            if held is not None and (held.credentials == rejected or not _is_valid(held)):
                held = None
            if held is not None and not held.is_due(held.clock.now()):
                return held
            if self._pending is None and self._failure is not None and time.monotonic() < self._backoff_until:
                if held is None:
                    raise copy.copy(self._failure)
                return held
            if self._pending is None:
                self._pending = Future()
                self._pending.set_running_or_notify_cancel()  # so that no cancelled task can cancel it
                threading.Thread(
                    target=self._fetch_pending, args=(self._pending,), name="mps-keys", daemon=True
                ).start()
            return self._pending if held is None else held

    def _fetch_pending(self, pending: Future[ExpiringCredentials]) -> None:
        failure: MpsCredentialsError | None = None
        try:
            fetched = self._fetch()
            if not _is_valid(fetched):
                failure = self._expired(fetched)
        except MpsCredentialsError as error:
            failure = error
        except BaseException as error:  # noqa: BLE001 - else the callers would wait for ever
            failure = MpsCredentialsError(f"{type(error).__name__}", source=self._title, category=Category.NO_ANSWER)
        with self._lock:
            self._pending = None
            self._failure = failure
            if failure is None:
                self._held = fetched
            else:
                self._backoff_until = time.monotonic() + FETCH_BACKOFF
            has_valid = self._held is not None and _is_valid(self._held)
        if failure is None:
            log.debug("New keys from %s.", fetched.origin)
            pending.set_result(fetched)
        else:
            if has_valid:
                log.warning("%s The cached keys are used while they are valid.", failure)
            pending.set_exception(failure)

    def _expired(self, fetched: ExpiringCredentials) -> MpsCredentialsError:
        ago = fetched.clock.now() - (fetched.expires_at or 0.0)
        return MpsCredentialsError(
            f"its keys had expired {ago:.0f} seconds before they were fetched; check why it gives no newer ones",
            source=fetched.origin,
            category=Category.NO_ANSWER,
        )

    def _too_slow(self, seconds: float) -> MpsCredentialsError:
        return MpsCredentialsError(
            f"no answer within {seconds:g} seconds", source=self._title, category=Category.NO_ANSWER
        )


def _is_valid(keys: ExpiringCredentials) -> bool:
    return keys.is_valid(keys.clock.now())


_caches: dict[Hashable, CredentialCache] = {}
_caches_lock = threading.Lock()


def credential_cache_for(
    provider: CredentialProvider, config: ClientConfig, fetch: Callable[[ClientConfig], ExpiringCredentials]
) -> CredentialCache:
    """
    Return the cache that all clients of this process with an equal provider, proxy and CA file share.

    :param provider: the provider of ``config``.
    :param fetch: fetches keys from the provider of a configuration.
    """
    if isinstance(provider, Credentials):
        keys = ExpiringCredentials(provider, provider.title)
        return CredentialCache(lambda: keys, title=provider.title, held=keys)
    key = (provider, config.proxy, config.ca_file)
    with _caches_lock:
        if key not in _caches:
            while len(_caches) >= MAX_CACHES:  # the caches of rotated keys are removed, the oldest first
                del _caches[next(iter(_caches))]
            _caches[key] = CredentialCache(lambda: fetch(config), title=provider.title)
        return _caches[key]


def forget_all() -> None:
    """Remove all keys, as in a new process."""
    global _caches_lock  # after a fork a lock of another thread would stay locked
    _caches_lock = threading.Lock()
    _caches.clear()


os.register_at_fork(after_in_child=forget_all)
