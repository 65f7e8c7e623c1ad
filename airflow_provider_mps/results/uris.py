"""URIs of files in object storage, and their names in lineage. DAG files import this module, so it imports little."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

# Host names under which COS and S3 serve objects over HTTP; the group is the bucket.
_WEB_HOSTS = {
    "cos": re.compile(r"([a-z0-9][a-z0-9-]*-\d+)\.cos(?:-internal)?\.[a-z0-9-]+\.(?:myqcloud\.com|tencentcos\.cn)"),
    "s3": re.compile(r"([a-z0-9][a-z0-9.-]*)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?"),
}


def object_uri(scheme: str, bucket: str, key: str) -> str:
    """``cos://bucket/key``, percent-encoded. Paths of MPS begin with a slash, object keys do not."""
    return f"{scheme}://{bucket}/{quote(key.lstrip('/'), safe='/!$&()*+,;=:@~', errors='replace')}"


def store_uri(uri: str) -> str:
    """
    The URI of the object behind a web address of COS or S3. Any other URI is returned unchanged.

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
    Namespace and name of a dataset in OpenLineage, from its URI.

    The namespace is ``scheme://bucket``, the name is the key without percent-encoding, as OpenLineage names objects of
    S3 and GCS. It lists no names for COS, VOD and web servers; they are built the same way. The connection id that
    Airflow writes into a path of object storage (``s3://my_aws@bucket/key``) is in neither.

    Source: https://openlineage.io/docs/spec/naming
    """
    parts = urlsplit(store_uri(uri))
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", unquote(parts.path).lstrip("/") or "/"
