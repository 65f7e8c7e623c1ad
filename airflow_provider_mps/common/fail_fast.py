"""Fail a task at once if no retry can succeed. This applies where the exception leaves the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_mps.errors import MpsError


@contextmanager
def fail_fast_on_permanent(*also: type[MpsError], job_sent: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """
    Raise a final error as an error that Airflow does not retry. Also a decorator.

    Callbacks and handlers see the same class, text, attributes and traceback: the raised error is an instance of its
    class and of :class:`AirflowFailException`.

    :param also: errors that are final for this task, although not for every other.
    :param job_sent: whether a job of the task may run, see :func:`airflow_provider_mps.client.retry.is_final`.
    """
    try:
        yield
    except Exception as error:  # any: the classes are imported only after an error, for the sake of DAG parsing
        from airflow_provider_mps.client.retry import is_final
        from airflow_provider_mps.errors import MpsError

        if isinstance(error, MpsError) and (isinstance(error, also) or is_final(error, job_sent=job_sent())):
            raise without_retries(error).with_traceback(error.__traceback__) from error.__cause__
        raise


def without_retries(error: MpsError) -> MpsError:
    """Return the same error as one that Airflow does not retry."""
    kind = _final_class(type(error))  # type: ignore[arg-type]  # mypy takes the class for its instances
    final = kind.__new__(kind, *error.args)
    final.args = error.args
    final.__dict__.update(error.__dict__)
    return final


@cache
def _final_class(kind: type[MpsError]) -> type[MpsError]:
    if issubclass(kind, AirflowFailException):
        return kind

    def reduce(self: MpsError) -> tuple[Any, ...]:
        rebuild, (_, *state) = kind.__reduce__(self)
        return rebuild, (kind, *state)  # pickle cannot find the class below by its name

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind, AirflowFailException), {**names, "__reduce__": reduce})
