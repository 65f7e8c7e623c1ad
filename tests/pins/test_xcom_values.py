"""Every published answer gives the next task the value that it gave before."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from airflow_provider_mps.client.actions import DescribeMediaMetaData
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsError, MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from airflow_provider_mps.results.notification import Notification
from airflow_provider_mps.results.result import MpsTaskResult
from tests.pins.record import pinned, recorded
from tests.support.answers import DATA, Place, changed, image_places, image_success, places, sample, successes
from tests.support.harness import airflow_mps, new_context, run_operator
from tests.support.official import examples, international_examples

__all__ = ["airflow_mps"]

FILE = "xcom_values.json"
_LARGE = 2000  # bytes of JSON from which on a value is recorded by its hash
_DESCRIBE = {
    "DescribeTaskDetail": "1250000000-WorkflowTask-1",
    "DescribeBatchTaskDetail": "1250000000-BatchTask-1",
    "DescribeImageTaskDetail": "1250000000-WorkflowTask-2",
}
_EDITIONS = {"mainland": examples(), "international": international_examples() or {}}
_SAMPLES = sorted(path.stem for path in DATA.glob("*.json"))


def _published(*actions: str) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        f"{edition} {action} {number}": (action, body)
        for edition, answers in _EDITIONS.items()
        for action in actions
        for number, body in enumerate(answers.get(action, []))
    }


def _of_samples(prefix: str, action: str) -> dict[str, tuple[str, dict[str, Any]]]:
    return {f"sample {name}": (action, sample(name)) for name in _SAMPLES if name.startswith(prefix)}


def _describe_of(name: str) -> str:
    return "DescribeBatchTaskDetail" if name == "BatchTaskResult" else "DescribeTaskDetail"


def _with_a_failed_part(body: dict[str, Any], parts: list[Place]) -> dict[str, Any]:
    """The last part that has a status of its own, and is not the whole task, has failed."""
    path = [part.path for part in parts if "Status" in part.fields and "." in part.path][-1:]
    return changed(body, path[0], Status="FAIL", ErrCode=30010, ErrCodeExt="CodecError") if path else body


_IMAGE = image_success()
_WHOLE = {name: (_describe_of(name), body) for name, body in successes().items()}
_BROKEN = {name: (action, _with_a_failed_part(body, places(name, body))) for name, (action, body) in _WHOLE.items()}
_BROKEN["image"] = ("DescribeImageTaskDetail", _with_a_failed_part(_IMAGE, image_places(_IMAGE)))
PARTIAL = {f"a failed part of {name}": case for name, case in _BROKEN.items() if case not in _WHOLE.values()}
ANSWERS = (
    _published(*_DESCRIBE)
    | _of_samples("describe_task_detail", "DescribeTaskDetail")
    | _of_samples("describe_batch_task_detail", "DescribeBatchTaskDetail")
    | _of_samples("describe_image_task_detail", "DescribeImageTaskDetail")
    | _of_samples("vod_sibling", "DescribeTaskDetail")
    | {f"every part of {name}": case for name, case in _WHOLE.items()}
    | {"every part of image": ("DescribeImageTaskDetail", _IMAGE)}
    | PARTIAL
)
PROBES = _published("DescribeMediaMetaData") | _of_samples("describe_media_meta_data", "DescribeMediaMetaData")
NOTIFICATIONS = _published("ParseNotification", "ParseLiveStreamProcessNotification") | _of_samples("callback.", "")


def _small(value: Any) -> Any:
    """The value, in which what is large is its hash and its size."""
    text = json.dumps(value, sort_keys=True)
    if isinstance(value, dict) and any(isinstance(inner, (dict, list)) for inner in value.values()):
        return {name: _small(inner) for name, inner in value.items()}
    if len(text) <= _LARGE:
        return value
    keys = sorted({key for item in value for key in item if isinstance(item, dict)})
    shape = f"{type(value).__name__} of {len(value)}"
    return {"shape": shape, "keys": keys, "sha256": hashlib.sha256(text.encode()).hexdigest()[:24]}


def _xcom(mps: LocalMps, action: str, body: dict[str, Any], **arguments: Any) -> Any:
    """What the operator returns and pushes, or which error it raises."""
    task_id = mps.backend.script([body], _DESCRIBE[action])
    context = new_context()
    describe = {"describe_action": action} if "Image" in action else {}
    options = {"mps_task_id": task_id, "max_xcom_bytes": 10**9, "settle_grace": 0.0, **describe, **arguments}
    try:
        value = run_operator(lambda: MpsTaskResultOperator(task_id="result", **options), context)
    except MpsError as error:
        failures = error.failures if isinstance(error, MpsTaskFailed) else ()
        return {"raises": type(error).__name__, "failures": [[found.path, found.code] for found in failures]}
    assert value.pop("request_id")  # the local MPS makes a new one for each answer
    pushed = {key: context["ti"].xcoms[key] == value[key] for key in ("metadata", "subtitles", "outputs")}
    return {"returns": _small(value), "pushed as returned": pushed}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_result_stays_what_it_is(airflow_mps: LocalMps, name: str) -> None:
    """The operator returns the same value, or raises the same error."""
    pinned(FILE, name, _xcom(airflow_mps, *ANSWERS[name]))


@pytest.mark.parametrize("name", PARTIAL)
def test_a_partial_result_stays_what_it_is(airflow_mps: LocalMps, name: str) -> None:
    """So it does where parts may fail."""
    pinned(FILE, f"{name}, allowed", _xcom(airflow_mps, *PARTIAL[name], allow_partial=True))


@pytest.mark.parametrize("name", PROBES)
def test_metadata_of_a_probe_stay_what_they_are(name: str) -> None:
    """What MpsMediaMetadataOperator returns."""
    metadata = DescribeMediaMetaData(input_info={}).result(PROBES[name][1])
    pinned(FILE, name, _small(metadata.model_dump(mode="json")))


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_what_a_notification_tells_stays_what_it_is(name: str) -> None:
    """Its own fields, and the result of the task in it."""
    told = Notification.of(NOTIFICATIONS[name][1])
    result = MpsTaskResult.of(told.task, told.mps_task_id).as_json()
    pinned(FILE, name, {"notification": told.model_dump(mode="json"), "result": _small(result)})


def test_every_record_is_compared() -> None:
    """A case that is gone leaves no record behind; the international examples may not be installed."""
    whole = {*ANSWERS, *(f"{name}, allowed" for name in PARTIAL), *PROBES, *NOTIFICATIONS}
    assert {name for name in recorded(FILE) if _EDITIONS["international"] or "international" not in name} == whole
