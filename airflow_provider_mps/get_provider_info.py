"""The metadata of this provider for Airflow, with the connection form."""

from __future__ import annotations

from typing import Any

from airflow_provider_mps import __version__


def get_provider_info() -> dict[str, Any]:
    """Return the metadata of this provider. Airflow builds the connection form from it."""

    def field(
        label: str, description: str, *, type_: str = "string", default: Any = None, **schema: Any
    ) -> dict[str, Any]:
        value = {"type": [type_, "null"], **schema}
        return {"label": label, "description": description, "schema": value | ({"default": default} if default else {})}

    return {
        "package-name": "airflow-provider-mps",
        "name": "Tencent Cloud MPS",
        "description": (
            "Run media jobs on Tencent Cloud MPS (Media Processing Service), each once, and use their results."
        ),
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
                    "hidden-fields": ["schema"],
                    "relabeling": {"login": "SecretId", "password": "SecretKey", "host": "API endpoint"},
                    "placeholders": {
                        "login": "AKID... (empty: see Credential source)",
                        "host": "mps.tencentcloudapi.com (international: mps.intl.tencentcloudapi.com)",
                        "port": "443 (the test button of Airflow 3.3.2 requires a port)",
                    },
                },
                "conn-fields": {
                    "credential_source": field(
                        "Credential source",
                        "Where the keys come from. Empty: the two above; without them environment variables, a "
                        "credentials file, the TKE pod, the CVM instance, in this order.",
                        enum=["static", "environment", "profile", "tke_oidc", "cvm_role"],
                    ),
                    "token": field(
                        "Session token", "Only with temporary SecretId and SecretKey above.", format="password"
                    ),
                    "role_arn": field(
                        "Role to assume",
                        "With the keys from above or from the source: qcs::cam::uin/100000000001:roleName/media",
                    ),
                    "role_session_name": field(
                        "Role session name", "Shown in the audit of CAM. Default airflow-provider-mps.", maxLength=128
                    ),
                    "role_duration": field(
                        "Role duration (seconds)",
                        "Lifetime of the keys of a role; they are renewed before they expire. Default 7200.",
                        type_="integer",
                        minimum=1,
                        maximum=43_200,
                    ),
                    "external_id": field(
                        "External ID", "Required by some owners of roles.", minLength=2, maxLength=128
                    ),
                    "profile": field(
                        "Profile", "Section of ~/.tencentcloud/credentials, or profile of tccli. Default: default."
                    ),
                    "sts_endpoint": field(
                        "STS endpoint", "Empty: sts.tencentcloudapi.com, or sts.intl.tencentcloudapi.com."
                    ),
                    "region": field("Region", "For example ap-guangzhou. MPS itself does not require one."),
                    "language": field(
                        "Language of messages", "Language of the error messages of MPS.", enum=["en-US", "zh-CN"]
                    ),
                    "timeout": field(
                        "Timeout (seconds)",
                        "For one request, its answer included. Default 30.",
                        type_="number",
                        minimum=0.1,
                        maximum=3600,
                    ),
                    "proxy": field(
                        "Proxy",
                        "http://user:password@proxy:3128. Empty: HTTPS_PROXY and NO_PROXY of the environment.",
                    ),
                    "verify": field(
                        "CA file", "Certificates to trust: a file on workers and triggerers. Empty: the usual ones."
                    ),
                    "quota_share": field(
                        "Quota share",
                        "Fraction of the account's request quota that polling may use, per process. Default 0.5.",
                        type_="number",
                    ),
                },
            }
        ],
    }
