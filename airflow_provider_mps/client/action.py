"""
The base class of actions. An action is a request to MPS as a value. The actions are in ``client/actions.py``.

Source: https://www.tencentcloud.com/document/product/1041/33625 (API overview, version 2019-06-12)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.task import SubmittedTask

ResultT = TypeVar("ResultT")
# The form of an id is up to MPS. Blanks and control characters, unrendered Jinja, or a list as text are no ids.
_NO_TASK_ID = re.compile(r"""[\s\x00-\x1f\x7f-\x9f]|\{[{%#]|^[\[({<'"]""")
_NO_VALUE = {"none", "null", "nan", "undefined"}
MAX_TASK_ID_LENGTH = 1000


def check_mps_task_id(value: Any) -> str:
    """
    Return a valid TaskId.

    :raises MpsConfigError: it is None, "", "None", an unrendered template or another value that cannot be an id.
    """
    is_id = isinstance(value, str) and 0 < len(value) <= MAX_TASK_ID_LENGTH and value.lower() not in _NO_VALUE
    if is_id and not _NO_TASK_ID.search(value):
        return str(value)
    raise MpsConfigError(
        f"mps_task_id is {value!r:.80}, which is no MPS TaskId. It has the form 240000-WorkflowTask-0123456789abcdef; "
        "check that the upstream task returns it."
    )


def _task_id(value: Any) -> str:
    try:
        return check_mps_task_id(value)
    except MpsConfigError as error:
        raise ValueError(str(error)) from None  # pydantic collects ValueErrors


TaskId = Annotated[str, BeforeValidator(_task_id)]


class Action(BaseModel, Generic[ResultT]):
    """
    A request as a value: the class is the action, its fields are the parameters, ``ResultT`` is its result.

    Fields are written in snake_case or as Tencent spells them; ``parameters`` holds Tencent's spelling.
    Unknown top-level parameters are rejected; nested objects are passed through as Tencent documents them.

    To add an action: (1) a class in ``client/actions.py``, its docstring with what it does and its page, its fields,
    ``idempotent``, ``requests_per_second`` and ``result``; (2) its handler in ``emulator/backend.py``; (3) a line in
    the table of ``tests/client/test_actions.py``, which compares it with the official SDK.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_pascal,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    service: ClassVar[str] = "mps"
    version: ClassVar[str] = "2019-06-12"
    requests_per_second: ClassVar[int]
    """The quota that MPS documents, per account."""
    polled: ClassVar[bool] = False
    """Whether it is a poll. Polls use only a share of that quota."""

    def __init__(self, **parameters: Any) -> None:
        try:
            super().__init__(**parameters)
        except ValidationError as error:
            raise MpsConfigError(self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        lines = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            name = ".".join(str(step) for step in problem["loc"])
            if problem["type"] == "extra_forbidden":
                guess = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {guess[0]}?" if guess else f"; it takes {', '.join(known)}"
                lines.append(f"{name} is not a parameter of {cls.__name__}{hint}")
            elif problem["type"] == "missing":
                lines.append(f"{name} is missing")
            else:
                lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        return f"{cls.__name__} cannot be sent: " + "; ".join(lines)

    @property
    def name(self) -> str:
        """The ``X-TC-Action``."""
        return type(self).__name__

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent again although it may have run already."""
        return True

    @property
    def parameters(self) -> dict[str, Any]:
        """The body, in Tencent's spelling."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def result(self, body: Mapping[str, Any]) -> ResultT:
        """Read the content of ``Response``."""
        raise TypeError(f"{type(self).__name__} cannot read {sorted(body)}: it has no result")


class SubmitAction(Action[SubmittedTask]):
    """An action that starts a job, and costs money each time it runs."""

    describe_action: ClassVar[str | None] = None
    """The action that polls its jobs; None if their TaskIds show it."""

    @property
    def deduplicated(self) -> bool:
        """Whether MPS rejects a repeated SessionId, so that a repeat does no harm."""
        return "session_id" in type(self).model_fields

    @property
    def own_session_id(self) -> str | None:
        """Its SessionId, if any; for MPS an empty one is none."""
        return getattr(self, "session_id", None) or None

    @property
    def marked(self) -> bool:
        """Whether it has a SessionContext. MPS repeats it in its answers, so that the job can be found."""
        return "session_context" in type(self).model_fields

    def tagged(self, session_id: str | None, session_context: str) -> Self:
        """Return a copy with this SessionId, if any, and this SessionContext, if it can have one and has none."""
        update = {"session_id": session_id} if session_id else {}
        if self.marked and not getattr(self, "session_context", None):
            update["session_context"] = session_context
        return self.model_copy(update=update)

    @property
    def idempotent(self) -> bool:
        return False

    def result(self, body: Mapping[str, Any]) -> SubmittedTask:
        return SubmittedTask.of(body)
