"""
The keys of this process: each source is asked once for all who need it, and again well before its keys expire.

Sources are asked on a thread of their own, so that threads and event loops wait for one and the same answer and none
is blocked by it. Nobody waits at all while the keys at hand are still valid.
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
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials, Lease
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsCredentialsError

log = logging.getLogger(__name__)

# After a failure the source is left alone for so long: hundreds of tasks may want its keys at once.
PAUSE_AFTER_FAILURE = 5.0
_MOST_KEYRINGS = 64


class CredentialCache:
    """
    The current keys of one source.

    :param fetch: asks the source; runs on a thread, and bounds its own requests in time.
    :param title: the source in words, for messages.
    :param lease: keys that are at hand already.
    """

    def __init__(self, fetch: Callable[[], Lease], *, title: str, lease: Lease | None = None) -> None:
        self._fetch = fetch
        self._title = title
        self._lock = threading.Lock()
        self._lease = lease
        self._asking: Future[Lease] | None = None
        self._failure: MpsCredentialsError | None = None
        self._leave_alone_until = 0.0

    @property
    def origin(self) -> str:
        """Where the keys at hand came from, in words."""
        return self._lease.origin if self._lease else self._title

    @property
    def is_fresh(self) -> bool:
        """Whether the keys at hand are valid and need not be renewed yet."""
        lease, now = self._lease, time.time()
        return lease is not None and lease.is_valid(now) and not lease.is_due(now)

    def holds(self, credentials: Credentials) -> bool:
        """Whether these are the keys at hand."""
        return self._lease is not None and self._lease.credentials == credentials

    def get(self, seconds: float, refused: Credentials | None = None) -> Credentials:
        """
        Keys that are valid; waits for the source where it has to.

        :param seconds: how long to wait for the source.
        :param refused: keys that the service did not take, so that only others will do. The source may give the
            same once more: then they are all there is.
        :raises MpsCredentialsError: there are none.
        """
        lease = self._lease_or_answer(refused)
        if isinstance(lease, Lease):
            return lease.credentials
        try:
            return lease.result(seconds).credentials
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except MpsCredentialsError as error:
            raise copy.copy(error) from None  # one instance each: others raise it too

    async def aget(self, seconds: float, refused: Credentials | None = None) -> Credentials:
        """As :meth:`get`, without holding the event loop; who stops waiting takes nothing from the others."""
        lease = self._lease_or_answer(refused)
        if isinstance(lease, Lease):
            return lease.credentials
        try:
            async with asyncio.timeout(seconds):  # wait_for loses cancellations in Python 3.11
                return (await asyncio.shield(asyncio.wrap_future(lease))).credentials
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except MpsCredentialsError as error:
            raise copy.copy(error) from None

    def _lease_or_answer(self, refused: Credentials | None) -> Lease | Future[Lease]:
        with self._lock:
            now = time.time()
            lease = self._lease
            if lease is not None and (lease.credentials == refused or not lease.is_valid(now)):
                lease = None
            if lease is not None and not lease.is_due(now):
                return lease
            if self._asking is None and now < self._leave_alone_until and self._failure is not None:
                if lease is None:
                    raise copy.copy(self._failure)
                return lease
            if self._asking is None:
                self._asking = Future()
                self._asking.set_running_or_notify_cancel()  # so that a waiter who is cancelled cannot cancel it
                threading.Thread(target=self._ask, args=(self._asking,), name="mps-keys", daemon=True).start()
            return self._asking if lease is None else lease

    def _ask(self, answer: Future[Lease]) -> None:
        failure: MpsCredentialsError | None = None
        lease: Lease | None = None
        try:
            lease = self._fetch()
        except MpsCredentialsError as error:
            failure = error
        except BaseException as error:  # noqa: BLE001 - a thread that dies in silence leaves its waiters waiting
            failure = MpsCredentialsError(f"{type(error).__name__}", source=self._title, category=Category.NO_ANSWER)
        with self._lock:
            self._asking = None
            self._failure = failure
            if lease is not None:
                self._lease = lease
            else:
                self._leave_alone_until = time.time() + PAUSE_AFTER_FAILURE
                held = self._lease is not None and self._lease.is_valid(time.time())
        if lease is not None:
            log.debug("New keys from %s.", lease.origin)
            answer.set_result(lease)
        elif failure is not None:
            if held:
                log.warning("%s The keys at hand are used while they are valid.", failure)
            answer.set_exception(failure)

    def _too_slow(self, seconds: float) -> MpsCredentialsError:
        return MpsCredentialsError(
            f"no answer within {seconds:g} seconds", source=self._title, category=Category.NO_ANSWER
        )


_keyrings: dict[Hashable, CredentialCache] = {}
_keyrings_lock = threading.Lock()


def credential_cache_for(
    source: CredentialProvider, config: ClientConfig, fetch: Callable[[ClientConfig], Lease]
) -> CredentialCache:
    """
    The keyring that all clients of this process share which take their keys from the same source in the same way.

    :param source: the one of ``config``.
    :param fetch: asks the source of a configuration; which of the clients passes it makes no difference.
    """
    if isinstance(source, Credentials):
        return CredentialCache(
            lambda: Lease(source, source.title), title=source.title, lease=Lease(source, source.title)
        )
    key = (source, config.proxy, config.ca_file)
    with _keyrings_lock:
        if key not in _keyrings:
            while len(_keyrings) >= _MOST_KEYRINGS:  # keys that were rotated leave their keyring behind
                del _keyrings[next(iter(_keyrings))]
            _keyrings[key] = CredentialCache(lambda: fetch(config), title=source.title)
        return _keyrings[key]


def forget_all() -> None:
    """Start with no keys, as a new process does."""
    global _keyrings_lock  # after a fork another thread's lock would stay locked for ever
    _keyrings_lock = threading.Lock()
    _keyrings.clear()


os.register_at_fork(after_in_child=forget_all)
