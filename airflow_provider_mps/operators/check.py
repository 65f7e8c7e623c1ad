"""MpsMediaCheckOperator: what came out has to be what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent

if TYPE_CHECKING:
    from airflow.sdk import Context


class MpsMediaCheckOperator(BaseOperator):
    """
    Fail unless the files of a task are as expected, and list everything that is not. It asks MPS nothing.

    It returns the addresses of the outputs that were checked.

    :param result: what :class:`MpsTaskResultOperator` or :class:`MpsMediaMetadataOperator` returned. (templated)
    :param expect: kind of output (``transcode``, ``edit``, ...), or ``input``, to
        :class:`~airflow_provider_mps.results.quality.MediaExpectation`: what each file of that kind has to be.
        (templated)

    :raises MpsQualityError: a file is not as expected. Airflow does not retry this: the files stay as they are.
    :raises MpsConfigError: ``expect`` or ``result`` makes no sense.
    """

    template_fields: Sequence[str] = ("result", "expect")
    template_fields_renderers: ClassVar[dict[str, str]] = {"result": "json", "expect": "json"}
    ui_color = "#cfe8ff"

    def __init__(self, *, result: dict[str, Any], expect: dict[str, dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result = result
        self.expect = expect

    @fail_fast_on_permanent()
    def execute(self, context: Context) -> list[str]:  # noqa: ARG002 - Airflow passes it
        from airflow_provider_mps.results.quality import check

        checked = check(self._whole(self.result), self.expect)
        self.log.info("As expected: %s", ", ".join(checked) or "the input")
        return checked

    def _whole(self, result: Any) -> Any:
        """The result with all of its files, also where some were too many for XCom."""
        if not isinstance(result, dict) or not {"outputs", "metadata"} & set(result.get("left_out") or ()):
            return result
        from airflow.sdk import ObjectStoragePath

        from airflow_provider_mps.results.result import MpsTaskResult

        return MpsTaskResult.model_validate_json(ObjectStoragePath(result["full_result"]).read_bytes())
