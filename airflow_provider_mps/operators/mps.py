"""All operators for MPS; import them from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.common.masking import MaskSecretsMixin
from airflow_provider_mps.links.mps import MpsTaskLink
from airflow_provider_mps.operators.check import MpsMediaCheckOperator
from airflow_provider_mps.operators.metadata import MpsMediaMetadataOperator
from airflow_provider_mps.operators.result import MpsTaskResultOperator
from airflow_provider_mps.operators.submit import (
    MpsBatchProcessMediaOperator,
    MpsEditMediaOperator,
    MpsProcessImageOperator,
    MpsProcessLiveStreamOperator,
    MpsProcessMediaOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "MpsAbortTaskOperator",
    "MpsActionOperator",
    "MpsBatchProcessMediaOperator",
    "MpsEditMediaOperator",
    "MpsMediaCheckOperator",
    "MpsMediaMetadataOperator",
    "MpsProcessImageOperator",
    "MpsProcessLiveStreamOperator",
    "MpsProcessMediaOperator",
    "MpsTaskResultOperator",
]


class MpsAbortTaskOperator(BaseOperator):
    """
    Abort an MPS task that is WAITING, or a live task at any time. It returns whether MPS aborted the task.

    If the task already runs or MPS does not know it, the operator returns False and logs the reason.

    :param mps_task_id: the TaskId. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)

    :raises MpsApiError: MPS answered with another error (wrong key, no permission).
    :raises MpsTransportError: no usable answer; the task may have been aborted.

    Source: https://www.tencentcloud.com/document/product/1041/37462
    """

    template_fields: Sequence[str] = ("mps_task_id", "mps_conn_id", "region")
    operator_extra_links = (MpsTaskLink(),)
    ui_color = "#cfe8ff"

    def __init__(
        self, *, mps_task_id: str, mps_conn_id: str = "mps_default", region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.region = region

    @fail_fast_on_permanent()
    def execute(self, context: Context) -> bool:
        from airflow_provider_mps.client.actions import ManageTask, check_mps_task_id
        from airflow_provider_mps.client.jobs.abort import abort_result
        from airflow_provider_mps.errors import MpsError
        from airflow_provider_mps.hooks.mps import MpsHook
        from airflow_provider_mps.lifecycle.cancel import log_result

        action = ManageTask(task_id=check_mps_task_id(self.mps_task_id))
        hook = MpsHook(self.mps_conn_id, region=self.region)
        MpsTaskLink.persist(context, hook, action=action.name, mps_task_id=self.mps_task_id)
        try:
            hook.call(action)
            result = abort_result(self.mps_task_id, None)
        except MpsError as error:
            result = abort_result(self.mps_task_id, error)
            if not result.denied:
                raise
        log_result(self.log, result)
        return result.aborted


class MpsActionOperator(MaskSecretsMixin):
    """
    Send any MPS action by its name. It returns the answer as a plain dict, without request echoes, keys and signed
    query strings.

    :param action: the ``X-TC-Action``, for example ``DescribeTranscodeTemplates``. (templated)
    :param parameters: its parameters, in Tencent's spelling. (templated)
    :param idempotent: a repeat does no harm, so that the action may be sent again if it is not known whether it ran.
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)

    :raises MpsConfigError: the action's name or the parameters cannot be sent.
    :raises MpsApiError: MPS answered with an error.
    :raises MpsTransportError: no usable answer; ``may_have_run`` says whether it may have taken effect.

    Source: https://www.tencentcloud.com/document/product/1041/33625 (all actions)
    """

    template_fields: Sequence[str] = ("action", "parameters", "mps_conn_id", "region")
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    masked_field = "parameters"
    operator_extra_links = (MpsTaskLink(),)
    ui_color = "#cfe8ff"

    def __init__(
        self,
        *,
        action: str,
        parameters: dict[str, Any] | None = None,
        idempotent: bool = False,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.parameters = parameters
        self.idempotent = idempotent
        self.mps_conn_id = mps_conn_id
        self.region = region

    @fail_fast_on_permanent()
    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mps.client.actions import RawAction
        from airflow_provider_mps.hooks.mps import MpsHook
        from airflow_provider_mps.results.redaction import without_secrets

        action = RawAction(action=self.action, body=self.parameters or {}, may_be_repeated=self.idempotent)
        hook = MpsHook(self.mps_conn_id, region=self.region)
        answer: dict[str, Any] = without_secrets(hook.call(action))
        if mps_task_id := answer.get("TaskId") or action.parameters.get("TaskId"):
            MpsTaskLink.persist(context, hook, action=action.name, mps_task_id=str(mps_task_id))
        self.log.info("MPS answered %s (RequestId %s)", self.action, answer.get("RequestId"))
        return answer
