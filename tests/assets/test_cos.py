"""``cos://bucket/key`` is an asset: registered, checked, and one dataset however it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.sdk import Asset
from airflow.sdk.lineage import HookLineageCollector
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_provider_mps.assets.cos import convert_asset_to_openlineage, create_asset
from airflow_provider_mps.results.outputs import Storage
from airflow_provider_mps.results.uris import dataset_of


@pytest.mark.parametrize(
    ("uri", "stored"),
    [
        ("cos://media-1250000000/web/talk.mp4", "cos://media-1250000000/web/talk.mp4"),
        ("cos://media-1250000000/web/", "cos://media-1250000000/web"),
        ("COS://media-1250000000/a.mp4", "cos://media-1250000000/a.mp4"),
        ("cos://media-1250000000", "cos://media-1250000000/"),
        ("cos://media-1250000000/why%3F.mp4", "cos://media-1250000000/why%3F.mp4"),
    ],
)
def test_a_cos_uri_is_an_asset(uri: str, stored: str) -> None:
    """Airflow takes it as it stands, by the handler that this provider registers."""
    assert Asset(uri=uri).uri == stored


def test_what_is_no_object_is_refused() -> None:
    """A mistake shows when the DAG is parsed, not as an event that nobody gets."""
    with pytest.raises(ValueError, match="names a bucket"):
        Asset(uri="cos:///talk.mp4")


@pytest.mark.parametrize("key", ["web/talk.mp4", "/web/talk.mp4", "视频 1.mp4", "why?#100%.mp4"])
def test_what_is_made_from_a_key_is_what_a_result_names(key: str) -> None:
    """The asset of a key and the URI of an output are the same, so that a schedule on one sees the other."""
    asset = create_asset(bucket="media-1250000000", key=key, extra={"a": 1})
    assert asset.uri == asset.name
    assert asset.extra == {"a": 1}
    assert dataset_of(asset.uri) == ("cos://media-1250000000", key.lstrip("/"))
    if "?" not in key:  # MPS writes no "?" into a path; what follows one is taken for a signature
        assert Storage(type="COS", bucket="media-1250000000").uri(key) == asset.uri


def test_airflow_makes_them_from_bucket_and_key() -> None:
    """The factory is registered: hook lineage of others can name COS objects too."""
    collector = HookLineageCollector()
    asset = collector.create_asset(scheme="cos", asset_kwargs={"bucket": "b-1250000000", "key": "a.mp4"})
    assert asset == Asset(uri="cos://b-1250000000/a.mp4")


def test_openlineage_knows_the_dataset() -> None:
    """The converter is registered, and names bucket and key."""
    runtime = ProvidersManagerTaskRuntime()
    assert runtime.asset_to_openlineage_converters["cos"] is convert_asset_to_openlineage
    dataset = convert_asset_to_openlineage(create_asset(bucket="b-1250000000", key="视频/a.mp4"), None)
    assert (dataset.namespace, dataset.name) == ("cos://b-1250000000", "视频/a.mp4")


def test_a_dag_file_with_assets_stays_light() -> None:
    """Making an asset loads neither the result models nor OpenLineage."""
    code = (
        "import sys; from airflow_provider_mps.assets.cos import create_asset;"
        "create_asset(bucket='b', key='k');"
        "print([name for name in ('airflow_provider_mps.results.outputs', 'openlineage')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
