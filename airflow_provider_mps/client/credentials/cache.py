"""
The keys of this process: each provider is asked once for all its users, and again well before its keys expire.

Providers are asked on a thread of their own, so that threads and event loops wait for one and the same answer and none
is blocked by it. As long as the cached keys are valid, nothing waits at all.
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

# After a failure the provider is not asked again for this long: hundreds of tasks may want its keys at once.
FETCH_BACKOFF = 5.0  # seconds
MAX_CACHES = 64


class CredentialCache:
    """
    The current keys of one provider.

    :param fetch: asks the provider; runs on a thread, and bounds its own requests in time.
    :param title: the provider in words, for messages.
    :param held: keys that are known already.
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
        """Where the cached keys came from, in words."""
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
        Valid keys; waits for the provider where it has to.

        :param seconds: how long to wait for the provider.
        :param rejected: keys that the service did not accept, so that others are fetched. The provider may give the
            same ones again: then there are no others.
        :raises MpsCredentialsError: there are none.
        """
        keys = self._held_or_pending(rejected)
        if isinstance(keys, ExpiringCredentials):
            return keys.credentials
        try:
            return keys.result(seconds).credentials
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except MpsCredentialsError as error:
            raise copy.copy(error) from None  # one instance for each of those that wait

    async def aget(self, seconds: float, rejected: Credentials | None = None) -> Credentials:
        """As :meth:`get`, without blocking the event loop; a cancelled task takes nothing from the others."""
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
        """The cached keys if they will do, else the answer that the provider is about to give."""
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
                threading.Thread(target=self._ask, args=(self._pending,), name="mps-keys", daemon=True).start()
            return self._pending if held is None else held

    def _ask(self, pending: Future[ExpiringCredentials]) -> None:
        failure: MpsCredentialsError | None = None
        try:
            fetched = self._fetch()
            if not _is_valid(fetched):
                failure = self._expired(fetched)
        except MpsCredentialsError as error:
            failure = error
        except BaseException as error:  # noqa: BLE001 - else what waits for this thread would wait for ever
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
            f"its keys had expired {ago:.0f} seconds before it gave them; see why it gives no newer ones",
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
    The cache that all clients of this process share which take their keys from the same provider in the same way.

    :param provider: the one of ``config``.
    :param fetch: asks the provider of a configuration; it makes no difference which of the clients passes it.
    """
    if isinstance(provider, Credentials):
        keys = ExpiringCredentials(provider, provider.title)
        return CredentialCache(lambda: keys, title=provider.title, held=keys)
    key = (provider, config.proxy, config.ca_file)
    with _caches_lock:
        if key not in _caches:
            while len(_caches) >= MAX_CACHES:  # keys that were rotated leave their cache behind
                del _caches[next(iter(_caches))]
            _caches[key] = CredentialCache(lambda: fetch(config), title=provider.title)
        return _caches[key]


def forget_all() -> None:
    """Start with no keys, as a new process does."""
    global _caches_lock  # after a fork another thread's lock would stay locked for ever
    _caches_lock = threading.Lock()
    _caches.clear()


os.register_at_fork(after_in_child=forget_all)
