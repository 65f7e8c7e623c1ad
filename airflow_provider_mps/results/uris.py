"""How a file in object storage is written as a URI, and named in lineage. Pure, and light enough for a DAG file."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

# The names under which the stores serve an object over HTTP, with the bucket in the host name.
_WEB_HOSTS = {
    "cos": re.compile(r"([a-z0-9][a-z0-9-]*-\d+)\.cos(?:-internal)?\.[a-z0-9-]+\.(?:myqcloud\.com|tencentcos\.cn)"),
    "s3": re.compile(r"([a-z0-9][a-z0-9.-]*)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?"),
}


def object_uri(scheme: str, bucket: str, key: str) -> str:
    """``cos://bucket/key``, percent-encoded. MPS writes paths with a leading slash, which object keys do not have."""
    return f"{scheme}://{bucket}/{quote(key.lstrip('/'), safe='/!$&()*+,;=:@~', errors='replace')}"


def store_uri(uri: str) -> str:
    """
    The URI of the object that a web address of COS or S3 leads to; any other URI as it is.

    Sources: https://www.tencentcloud.com/document/product/436/6224 (COS),
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        for scheme, pattern in _WEB_HOSTS.items():
            if found := pattern.fullmatch(parts.netloc):
                return object_uri(scheme, found[1], unquote(parts.path))
    return uri


def dataset_of(uri: str) -> tuple[str, str]:
    """
    Namespace and name of the dataset that a URI stands for.

    The namespace is ``scheme://bucket`` and the name the key as it is, not encoded, as OpenLineage names objects of
    S3 and GCS; COS, VOD and web servers, which it does not list, are named likewise. The connection id that Airflow
    writes into a path of object storage (``s3://my_aws@bucket/key``) is no part of either.

    Source: https://openlineage.io/docs/spec/naming
    """
    parts = urlsplit(store_uri(uri))
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", unquote(parts.path).lstrip("/") or "/"
