"""How a file in object storage is written as a URI, and named in lineage. Pure, and light enough for a DAG file."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit


def object_uri(scheme: str, bucket: str, key: str) -> str:
    """``cos://bucket/key``, percent-encoded. MPS writes paths with a leading slash, which object keys do not have."""
    return f"{scheme}://{bucket}/{quote(key.lstrip('/'), safe='/!$&()*+,;=:@~', errors='replace')}"


def dataset_of(uri: str) -> tuple[str, str]:
    """
    Namespace and name of the dataset that a URI stands for.

    The namespace is ``scheme://bucket`` and the name the key as it is, not encoded, as OpenLineage names objects of
    S3 and GCS; COS, VOD and web servers, which it does not list, are named likewise.

    Source: https://openlineage.io/docs/spec/naming
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    return f"{parts.scheme}://{parts.netloc}", unquote(parts.path).lstrip("/") or "/"
