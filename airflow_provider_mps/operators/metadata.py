"""MpsMediaMetadataOperator: the metadata of a file, without a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.common.masking import MaskSecretsMixin

if TYPE_CHECKING:
    from airflow.sdk import Context


class MpsMediaMetadataOperator(MaskSecretsMixin):
    """
    Read the metadata of one media file: container, duration, resolution, codecs. No job is started.

    It returns plain JSON in the form of an item of a result's ``metadata``
    (:class:`airflow_provider_mps.results.media.MediaMetadata`); its ``source`` is ``MetaData``.

    :param input_info: the file, as in ``InputInfo`` of a job
        (see :mod:`airflow_provider_mps.inputs`). (templated)
    :param mode: ``slow`` gives MPS more time for a file that is slow to read. The ``timeout`` of the connection must be
        long enough as well.
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)

    :raises MpsConfigError: an argument or the connection is wrong; nothing was sent.
    :raises MpsApiError: MPS answered with an error: ``InvalidParameterValue.SrcFile`` if it cannot read the file.
    :raises MpsTransportError: no usable answer, or one without metadata.

    Source: https://www.tencentcloud.com/document/product/1041/37461
    """

    template_fields: Sequence[str] = ("input_info", "mps_conn_id", "region")
    template_fields_renderers: ClassVar[dict[str, str]] = {"input_info": "json"}
    masked_field = "input_info"
    ui_color = "#cfe8ff"

    def __init__(
        self,
        *,
        input_info: dict[str, Any],
        mode: Literal["slow"] | None = None,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_info = input_info
        self.mode = mode
        self.mps_conn_id = mps_conn_id
        self.region = region

    @fail_fast_on_permanent()
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow passes it
        from airflow_provider_mps.client.actions import DescribeMediaMetaData
        from airflow_provider_mps.hooks.mps import MpsHook

        action = DescribeMediaMetaData(input_info=self.input_info, mode=self.mode)
        metadata = MpsHook(self.mps_conn_id, region=self.region).call(action)
        self.log.info(
            "%s, %s seconds, %s x %s, %d video and %d audio streams",
            metadata.container,
            metadata.duration,
            metadata.width,
            metadata.height,
            len(metadata.video_streams),
            len(metadata.audio_streams),
        )
        return metadata.model_dump(mode="json")
