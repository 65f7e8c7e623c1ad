"""MpsMediaCheckOperator compares output files with what the user expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent

if TYPE_CHECKING:
    from airflow.sdk import Context


class MpsMediaCheckOperator(BaseOperator):
    """
    Fail unless the files of a task are as expected; the error lists every difference. It sends no request to MPS.

    It returns the addresses of the outputs that were checked.

    :param result: the return value of :class:`MpsTaskResultOperator` or :class:`MpsMediaMetadataOperator`. (templated)
    :param expect: kind of output (``transcode``, ``edit``, ...), or ``input``, to
        :class:`~airflow_provider_mps.results.quality.MediaExpectation`, the expected values of each such file.
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
        self.log.info("These files are as expected: %s", ", ".join(checked) or "the input")
        return checked

    def _whole(self, result: Any) -> Any:
        """Return the result with all of its files, also if XCom holds only some of them."""
        if not isinstance(result, dict) or not {"outputs", "metadata"} & set(result.get("left_out") or ()):
            return result
        from airflow.sdk import ObjectStoragePath

        from airflow_provider_mps.results.result import MpsTaskResult

        return MpsTaskResult.model_validate_json(ObjectStoragePath(result["full_result"]).read_bytes())
