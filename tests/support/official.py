"""The official SDK and the API model that its command line ships: the witnesses that our code is checked against."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tencentcloud.common import credential  # noqa: TID251 - a witness, in tests only
from tencentcloud.common.credential import Credential  # noqa: TID251 - a witness, in tests only
from tencentcloud.common.exception import TencentCloudSDKException  # noqa: TID251 - as above
from tencentcloud.common.http.request import RequestInternal  # noqa: TID251 - as above
from tencentcloud.common.profile.client_profile import ClientProfile  # noqa: TID251 - as above
from tencentcloud.common.profile.http_profile import HttpProfile  # noqa: TID251 - as above
from tencentcloud.mps.v20190612 import models  # noqa: TID251 - as above
from tencentcloud.mps.v20190612.mps_client import MpsClient as OfficialClient  # noqa: TID251 - as above
from tencentcloud.mps.v20190612.mps_client_async import MpsClient as OfficialAsyncClient  # noqa: TID251 - as above

__all__ = [
    "Credential",
    "HttpProfile",
    "OfficialAsyncClient",
    "OfficialClient",
    "RequestInternal",
    "TencentCloudSDKException",
    "api_model",
    "credential",
    "examples",
    "international_examples",
    "models",
    "profile",
    "sts_model",
]


_SERVICE = "mps/v20190612"


def profile(netloc: str, method: str = "POST") -> ClientProfile:
    """What points the SDK at ``netloc`` on this machine."""
    return ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=netloc, reqMethod=method, reqTimeout=10))


@cache
def api_model() -> dict[str, Any]:
    """Tencent's own description of the API: actions, and the members of every object."""
    return _shipped_with_tccli("api.json")


@cache
def sts_model() -> dict[str, Any]:
    """The same of STS."""
    return _shipped_with_tccli("api.json", "sts/v20180813")


@cache
def examples() -> dict[str, list[Any]]:
    """The example answers of Tencent's documentation, by action: contents of ``Response``."""
    return _answers(_shipped_with_tccli("examples.json"))


@cache
def international_examples() -> dict[str, list[Any]] | None:
    """
    The same for international accounts, as tccli-intl-en ships them; None where it is not installed.

    Its package has the name of tccli's, so ``make`` puts it into a folder of its own beside the environment's.
    """
    file = Path(sys.prefix, "tccli-intl-en", "tccli", "services", _SERVICE, "examples.json")
    return _answers(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def _answers(shipped: Any) -> dict[str, list[Any]]:
    """Without the few that lost a comma or a bracket on their way into the documentation."""
    answers: dict[str, list[Any]] = {}
    for name, items in shipped["actions"].items():
        answers[name] = []
        for item in items:
            with contextlib.suppress(json.JSONDecodeError):
                answers[name].append(json.loads(item["output"])["Response"])
    return answers


def _shipped_with_tccli(name: str, service: str = _SERVICE) -> Any:
    spec = importlib.util.find_spec("tccli")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "services", service)
    return json.loads((folder / name).read_text(encoding="utf-8"))
