"""
The ``InputInfo`` that most requests need, in one line.

Source: https://www.tencentcloud.com/document/product/1041/33690 (MediaInputInfo)
"""

from __future__ import annotations

from typing import Any


def cos_input(bucket: str, region: str, key: str) -> dict[str, Any]:
    """
    A file in Tencent Cloud Object Storage.

    :param bucket: with its number, for example ``media-1250000000``.
    :param region: of the bucket, for example ``ap-guangzhou``.
    :param key: the object's key. MPS needs a leading slash, which is added if it is missing.
    """
    path = key if key.startswith("/") else f"/{key}"
    return {"Type": "COS", "CosInputInfo": {"Bucket": bucket, "Region": region, "Object": path}}


def url_input(url: str) -> dict[str, Any]:
    """
    A file that MPS can download.

    The request then needs an ``OutputStorage``, and the server must not answer in chunks.
    """
    return {"Type": "URL", "UrlInputInfo": {"Url": url}}
