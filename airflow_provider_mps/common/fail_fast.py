"""What a retry by Airflow cannot mend is not retried; the error stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.errors import MpsError


@contextmanager
def fail_fast_on_permanent(*hopeless: type[MpsError]) -> Iterator[None]:
    """
    Have Airflow fail the task without a retry where an error is permanent. Also a decorator.

    The error keeps its class, text and attributes for callbacks and handlers, and becomes an
    :class:`AirflowFailException` besides.

    :param hopeless: errors that are permanent for this task, although not for every other.
    """
    try:
        yield
    except MpsError as error:
        if error.permanent or isinstance(error, hopeless):
            # In place: a new exception would tell everything twice, with two tracebacks.
            error.__class__ = _never_retried(type(error))  # type: ignore[arg-type]  # mypy takes the class for its instances
        raise


@cache
def _never_retried(kind: type[MpsError]) -> type[MpsError]:
    if issubclass(kind, AirflowFailException):
        return kind

    def reduce(self: MpsError) -> tuple[Any, ...]:
        rebuild, (_, *state) = kind.__reduce__(self)
        return rebuild, (kind, *state)  # the class below has no name of its own to be found by

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind, AirflowFailException), {**names, "__reduce__": reduce})
