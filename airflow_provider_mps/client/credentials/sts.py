"""
The actions of STS, the service that issues temporary keys. Their results are keys.

Source: https://www.tencentcloud.com/document/product/1150/49443 (API category, version 2018-08-13)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from airflow_provider_mps.client.action import Action
from airflow_provider_mps.client.credentials.base import ExpiringCredentials


def _like(pattern: str, example: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"it does not have the form {example}")
        return value

    return AfterValidator(check)


RoleArn = Annotated[str, _like(r"qcs::cam::uin/\d+:role(Name)?/\S+", "qcs::cam::uin/100000000001:roleName/media")]
SessionName = Annotated[str, _like(r"[\w+=,.@-]{2,128}", "of 2 to 128 letters, digits and +=,.@_-")]
ExternalId = Annotated[str, _like(r"[\w+=,.@:/-]{2,128}", "of 2 to 128 letters, digits and +=,.@_:/-")]
# STS documents the upper bound only.
Duration = Annotated[int, Field(ge=1, le=43_200)]


class _StsAction(Action[ExpiringCredentials]):
    service = "sts"
    version = "2018-08-13"
    role_arn: RoleArn
    role_session_name: SessionName
    duration_seconds: Duration | None = None

    def result(self, body: Mapping[str, Any]) -> ExpiringCredentials:
        keys = body.get("Credentials")
        origin = f"the role {self.role_arn}"
        return ExpiringCredentials.from_answer(
            keys if isinstance(keys, Mapping) else {}, origin=origin, expires_at=body.get("ExpiredTime")
        )


class AssumeRole(_StsAction):
    """
    Temporary keys of a role, for a caller that may assume it.

    :param duration_seconds: their lifetime, 43200 at most. The default of STS is 7200.
    :param external_id: the value that the owner of the role requires from another account.

    Source: https://www.tencentcloud.com/document/product/1150/49456
    """

    requests_per_second = 600
    external_id: ExternalId | None = None


class AssumeRoleWithWebIdentity(_StsAction):
    """
    Temporary keys of a role, for a caller with a token of an identity provider. It is sent unsigned.

    Source: https://cloud.tencent.com/document/product/1312/73070
    """

    requests_per_second = 20
    provider_id: str
    web_identity_token: Annotated[str, Field(repr=False)]
