"""The inputs that most requests need are those of Tencent's API model."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.inputs import cos_input, url_input
from tests.support.official import models


@pytest.mark.parametrize("key", ["in/talk.mp4", "/in/talk.mp4"])
def test_a_file_in_cos(key: str) -> None:
    """The key gets its leading slash once, however it was written."""
    assert cos_input("media-1250000000", "ap-guangzhou", key) == {
        "Type": "COS",
        "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-guangzhou", "Object": "/in/talk.mp4"},
    }


@pytest.mark.parametrize("value", [cos_input("b", "r", "k"), url_input("https://media.invalid/a.mp4?sign=1")])
def test_the_official_model_knows_every_field(value: dict[str, Any]) -> None:
    """Read into the SDK's MediaInputInfo and written again, nothing is lost."""
    model = models.MediaInputInfo()
    model._deserialize(value)
    assert model._serialize(allow_none=False) == value
