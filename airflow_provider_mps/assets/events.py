"""Asset events for the files that a job wrote, if the task has ``outlets``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow.sdk import Asset, AssetAlias

from airflow_provider_mps.results.uris import store_uri

if TYPE_CHECKING:
    from airflow_provider_mps.results.files import FileGroup

_OBJECT_STORES = ("cos://", "s3://")


def announce(
    outlet_events: Any, outlets: Sequence[Any], wrote: Sequence[FileGroup], mps_task_id: str, log: Any
) -> None:
    """
    Fill the events of a task's outlets.

    An :class:`AssetAlias` gets an event for each file. An :class:`Asset` of object storage gets the facts of its file,
    or the number of files in its folder; its event is Airflow's own. ``extra`` holds ``mps_task_id``, ``kind``,
    ``files`` and the facts that MPS answers for the file.

    :param outlet_events: ``outlet_events`` of the task's context.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            _add_all(outlet_events[outlet], wrote, mps_task_id, log)
        elif isinstance(outlet, Asset) and outlet.uri.startswith(_OBJECT_STORES):
            if not (files := [file for file in wrote if _holds(outlet.uri, file.uri)]):
                log.warning("MPS task %s did not write %s, which is an outlet of this task.", mps_task_id, outlet.uri)
            elif len(files) == 1:
                outlet_events[outlet].extra.update(_extra(files[0], mps_task_id))
            else:
                outlet_events[outlet].extra.update(
                    {"mps_task_id": mps_task_id, "files": sum(file.number for file in files)}
                )


def _add_all(accessor: Any, wrote: Sequence[FileGroup], mps_task_id: str, log: Any) -> None:
    for file in wrote:
        if file.uri is None:
            continue
        try:
            asset = Asset(uri=store_uri(file.uri))
        except ValueError as error:  # Airflow takes 1500 characters
            log.warning("No asset event for %s: %s", file.uri, error)
        else:
            accessor.add(asset, extra=_extra(file, mps_task_id))


def _extra(file: FileGroup, mps_task_id: str) -> dict[str, Any]:
    return {"mps_task_id": mps_task_id, "kind": file.kind, "files": file.number, **file.facts}


def _holds(uri: str, file: str | None) -> bool:
    """Whether a URI is that of a file or of a folder above it, in any encoding."""
    folder = f"{unquote(uri).rstrip('/')}/"
    return file is not None and f"{unquote(store_uri(file)).rstrip('/')}/".startswith(folder)
