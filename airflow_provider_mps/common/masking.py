"""Airflow shows the rendered fields of every task. Secrets of a request are masked before the fields are stored."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseOperator


class MaskSecretsMixin(BaseOperator):
    """
    Base of operators with a template field that may hold secrets.

    :cvar masked_field: the name of that field.
    """

    masked_field: ClassVar[str]

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Not render_template_fields, which Airflow does not call on a mapped task.
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            mask_secrets_in(getattr(self, self.masked_field))


def mask_secrets_in(value: Any) -> None:
    """Have Airflow mask notification keys, S3 keys and signed query strings of a request, in fields and logs."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_mps.results.redaction import secrets_in

    for secret in secrets_in(value):
        mask_secret(secret)
