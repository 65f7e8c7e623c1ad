"""``cos://bucket/key`` as an Airflow asset. DAG parsing loads this module, so its imports are few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mps.results.uris import dataset_of, object_uri

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.sdk import Asset
    from openlineage.client.event_v2 import Dataset


def create_asset(*, bucket: str, key: str, extra: dict[str, Any] | None = None) -> Asset:
    """
    Return the asset for an object, with the URI that the events of this provider use.

    :param bucket: with its number, for example ``media-1250000000``.
    :param key: as it is in the bucket; characters that a URI cannot hold are encoded.
    """
    from airflow.sdk import Asset

    return Asset(uri=object_uri("cos", bucket, key), extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Check that a URI names a bucket. A "?" or "#" in a key must be encoded: Airflow cuts off the rest.

    :raises ValueError: there is no bucket.
    """
    if not uri.netloc:
        raise ValueError("A cos:// URI names a bucket: cos://media-1250000000/path/to/file")
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001 - OpenLineage passes it
    """Return the OpenLineage dataset of an asset."""
    from openlineage.client.event_v2 import Dataset

    namespace, name = dataset_of(asset.uri)
    return Dataset(namespace=namespace, name=name)
