"""Airflow shows the rendered fields of every task: what is secret in a request is masked before they are stored."""

from __future__ import annotations

from typing import Any


def mask_secrets_in(value: Any) -> None:
    """Have Airflow mask notification keys, S3 keys and signed query strings of a request, in fields and logs."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_mps.results.redaction import secrets_in

    for secret in secrets_in(value):
        mask_secret(secret)
