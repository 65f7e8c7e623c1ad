"""``cos://bucket/key`` as an Airflow asset. Loaded where DAGs are parsed, so it loads nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mps.results.uris import dataset_of, object_uri

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.sdk import Asset
    from openlineage.client.event_v2 import Dataset


def create_asset(*, bucket: str, key: str, extra: dict[str, Any] | None = None) -> Asset:
    """
    The asset for an object, named as the events of this provider name it.

    :param bucket: with its number, for example ``media-1250000000``.
    :param key: as it is in the bucket; characters that a URI does not take are encoded.
    """
    from airflow.sdk import Asset

    return Asset(uri=object_uri("cos", bucket, key), extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Refuse what cannot be an object of COS. A "?" or "#" in a key has to be encoded: Airflow cuts off what follows.

    :raises ValueError: there is no bucket.
    """
    if not uri.netloc:
        raise ValueError("A cos:// URI names a bucket: cos://media-1250000000/path/to/file")
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001 - OpenLineage passes it
    """The dataset that an asset stands for in lineage."""
    from openlineage.client.event_v2 import Dataset

    namespace, name = dataset_of(asset.uri)
    return Dataset(namespace=namespace, name=name)
