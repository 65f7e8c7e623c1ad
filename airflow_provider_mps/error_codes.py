"""
The error codes of Tencent Cloud: the category of each, and the next step for the user.

A row also applies to its sub-codes, unless they have their own row. A code without a row is UNKNOWN.

Source: https://www.tencentcloud.com/document/product/1041/33691
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Category(Enum):
    """The kind of an error, by which :mod:`airflow_provider_mps.client.retry` decides."""

    THROTTLED = "too many requests per second; not executed"
    CAPACITY = "too many jobs of the account; not executed"
    SERVER = "a fault inside Tencent Cloud; may have been executed"
    UNREACHABLE = "no connection; not sent"
    NO_ANSWER = "sent, but no usable answer; may have been executed"
    CLOCK = "signed with a wrong time; not executed"
    KEYS = "the keys are rejected; not executed"
    DUPLICATE = "MPS has accepted this SessionId before"
    NOT_FOUND = "a value is wrong, or names something that does not exist (any more); not executed"
    FAILED = "it failed without effect; a later try may succeed"
    PERMANENT = "not executed; the same request fails until the user changes something"
    FINAL = "a decision of this package: no retry of the task changes it"
    UNKNOWN = "not documented; may have been executed"


class ErrorCode(NamedTuple):
    """A row: the kind of error, and the next step for the user."""

    category: Category
    next_step: str | None = None


_POLICY = "the CAM policy of this key does not allow the action; add it there"
_ADDRESS = "the CAM policy of this key does not allow the address of this machine"
_NOT_MPS = "the API endpoint does not know the action: it is not one of MPS"
_ROLE = "role_arn names a role that does not exist, or does not trust this caller"

ERROR_CODES: Mapping[str, ErrorCode] = {
    "RequestLimitExceeded": ErrorCode(
        Category.THROTTLED, "the account sends more requests per second than MPS allows; try again in a moment"
    ),
    "LimitExceeded.CreateTask": ErrorCode(Category.CAPACITY),
    "ResourceInsufficient": ErrorCode(Category.CAPACITY),
    "ResourceInUse": ErrorCode(Category.CAPACITY),
    "InternalError": ErrorCode(Category.SERVER),
    "ServiceUnavailable": ErrorCode(Category.SERVER),
    "ResourceUnavailable": ErrorCode(Category.SERVER),
    "FailedOperation.NetWorkError": ErrorCode(Category.SERVER),
    "AuthFailure.SignatureExpire": ErrorCode(
        Category.CLOCK, "the clock of this machine differs from Tencent Cloud's by more than 5 minutes"
    ),
    "AuthFailure.TokenFailure": ErrorCode(Category.KEYS, "the session token of the connection is wrong or has expired"),
    "AuthFailure.SecretIdNotFound": ErrorCode(
        Category.KEYS, "the SecretId (connection login) does not exist or is disabled"
    ),
    "AuthFailure.InvalidSecretId": ErrorCode(
        Category.KEYS, "the SecretId (connection login) is not a key of the TencentCloud API"
    ),
    "AuthFailure.SignatureFailure": ErrorCode(
        Category.KEYS, "the SecretKey (connection password) does not belong to the SecretId"
    ),
    "AuthFailure.AccessKeyIllegal": ErrorCode(Category.KEYS, "STS rejects this SecretId"),
    "InvalidParameterValue.SessionId": ErrorCode(Category.DUPLICATE),
    "InvalidParameterValue": ErrorCode(Category.NOT_FOUND),
    "ResourceNotFound": ErrorCode(Category.NOT_FOUND),
    "FailedOperation.TaskNotFound": ErrorCode(Category.NOT_FOUND),
    "LimitExceeded": ErrorCode(Category.FAILED),
    "FailedOperation": ErrorCode(Category.FAILED),
    "AuthFailure": ErrorCode(Category.PERMANENT),
    "AuthFailure.UnauthorizedOperation": ErrorCode(Category.PERMANENT, _POLICY),
    "AuthFailure.MFAFailure": ErrorCode(
        Category.PERMANENT,
        "the CAM user needs a second factor, which a program cannot give; use a role or another user",
    ),
    "UnauthorizedOperation": ErrorCode(Category.PERMANENT, _POLICY),
    "InvalidParameter": ErrorCode(Category.PERMANENT),
    "MissingParameter": ErrorCode(Category.PERMANENT),
    "UnknownParameter": ErrorCode(Category.PERMANENT),
    "InvalidParameterValue.NotProcessingTask": ErrorCode(Category.PERMANENT),
    "UnsupportedOperation": ErrorCode(Category.PERMANENT),
    "UnsupportedProtocol": ErrorCode(Category.PERMANENT),
    "UnsupportedRegion": ErrorCode(
        Category.PERMANENT, "MPS is not offered in the region of the connection; choose another or none"
    ),
    "NoSuchProduct": ErrorCode(Category.PERMANENT, _NOT_MPS),
    "NoSuchVersion": ErrorCode(Category.PERMANENT, _NOT_MPS),
    "InvalidAction": ErrorCode(Category.PERMANENT, _NOT_MPS),
    "ActionOffline": ErrorCode(Category.PERMANENT),
    "IpInBlacklist": ErrorCode(Category.PERMANENT, _ADDRESS),
    "IpNotInWhitelist": ErrorCode(Category.PERMANENT, _ADDRESS),
    "RequestSizeLimitExceeded": ErrorCode(Category.PERMANENT),
    "ResponseSizeLimitExceeded": ErrorCode(Category.PERMANENT),
    "FailedOperation.InvalidMpsUser": ErrorCode(
        Category.PERMANENT, "MPS is not activated for this account; activate it in the MPS console"
    ),
    "FailedOperation.UserArrears": ErrorCode(Category.PERMANENT, "the account is in arrears; top it up"),
    "FailedOperation.CosStatusInavlid": ErrorCode(Category.PERMANENT),
    # Of STS.
    "InternalError.IllegalRole": ErrorCode(Category.PERMANENT, _ROLE),
    "ResourceNotFound.RoleNotFound": ErrorCode(Category.PERMANENT, _ROLE),
    "InvalidParameter.WebIdentityTokenError": ErrorCode(
        Category.PERMANENT,
        "STS rejects the token of the pod; compare the identity provider (TKE_PROVIDER_ID) with the one in CAM",
    ),
    "InvalidParameter.OverTimeError": ErrorCode(Category.PERMANENT, "role_duration is longer than the role allows"),
    "FailedOperation.TempKeyNotAllowed": ErrorCode(Category.FAILED, "temporary keys may not assume this role"),
}


def look_up(code: str) -> ErrorCode:
    """Return the row of a code or of its nearest parent; UNKNOWN if there is none."""
    while code:
        if row := ERROR_CODES.get(code):
            return row
        code = code.rpartition(".")[0]
    return ErrorCode(Category.UNKNOWN)
