"""Airflow provider for Tencent Cloud MPS (Media Processing Service)."""

from __future__ import annotations

from typing import Any

__all__ = ["__version__", "get_provider_info"]

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """What Airflow wants to know of a provider; the connection form is built from this alone."""

    def field(
        label: str, description: str, *, type_: str = "string", default: Any = None, **schema: Any
    ) -> dict[str, Any]:
        value = {"type": [type_, "null"], **schema}
        return {"label": label, "description": description, "schema": value | ({"default": default} if default else {})}

    return {
        "package-name": "airflow-provider-mps",
        "name": "Tencent Cloud MPS",
        "description": "Wait for and use jobs of Tencent Cloud MPS (Media Processing Service).",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Tencent Cloud MPS",
                "external-doc-url": "https://www.tencentcloud.com/document/product/1041",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Tencent Cloud MPS", "python-modules": ["airflow_provider_mps.hooks.mps"]}],
        "triggers": [
            {"integration-name": "Tencent Cloud MPS", "python-modules": ["airflow_provider_mps.triggers.mps"]}
        ],
        "sensors": [{"integration-name": "Tencent Cloud MPS", "python-modules": ["airflow_provider_mps.sensors.mps"]}],
        "operators": [
            {"integration-name": "Tencent Cloud MPS", "python-modules": ["airflow_provider_mps.operators.mps"]}
        ],
        "asset-uris": [
            {
                "schemes": ["cos"],
                "handler": "airflow_provider_mps.assets.cos.sanitize_uri",
                "factory": "airflow_provider_mps.assets.cos.create_asset",
                "to_openlineage_converter": "airflow_provider_mps.assets.cos.convert_asset_to_openlineage",
            }
        ],
        "extra-links": ["airflow_provider_mps.links.mps.MpsTaskLink"],
        "connection-types": [
            {
                "connection-type": "tencentcloud_mps",
                "hook-class-name": "airflow_provider_mps.hooks.mps.MpsHook",
                "hook-name": "Tencent Cloud MPS",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"login": "SecretId", "password": "SecretKey", "host": "API endpoint"},
                    "placeholders": {
                        "login": "AKID...",
                        "host": "mps.tencentcloudapi.com (international: mps.intl.tencentcloudapi.com)",
                    },
                },
                "conn-fields": {
                    "region": field("Region", "For example ap-guangzhou. MPS itself does not require one."),
                    "token": field(
                        "Session token", "Only with temporary credentials of Tencent Cloud STS.", format="password"
                    ),
                    "language": field(
                        "Language of messages", "Of the texts that MPS answers with.", enum=["en-US", "zh-CN"]
                    ),
                    "timeout": field(
                        "Timeout (seconds)", "For one request, its answer included. Default 30.", type_="number"
                    ),
                    "proxy": field(
                        "Proxy", "Address of an HTTP proxy. Empty: HTTPS_PROXY and NO_PROXY of the environment."
                    ),
                    "verify": field(
                        "CA file", "Certificates to trust: a file on workers and triggerers. Empty: the usual ones."
                    ),
                    "quota_share": field(
                        "Quota share",
                        "Part of the account's requests per second that waiting may use in one process. Default 0.5.",
                        type_="number",
                    ),
                },
            }
        ],
    }
