"""What the result operator writes: subtitle files, and the whole result where XCom is too small for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pysubs2
import pytest

from airflow_provider_mps.client.actions import BatchProcessMedia, describe
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsResultTooLarge
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from airflow_provider_mps.results.formats import SUBTITLE_FORMATS
from airflow_provider_mps.results.result import MpsTaskResult
from tests.support.harness import answer, as_json, new_context, part


def _subtitle_task() -> str:
    source = {"Type": "COS", "CosInputInfo": {"Bucket": "b-1", "Region": "ap-nanjing", "Object": "/talk.mp4"}}
    wanted = {"RawParameter": {"VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"}}
    hook = MpsHook()
    task_id = hook.call(BatchProcessMedia(InputInfo=[source], SmartSubtitlesTask=wanted)).mps_task_id
    while not hook.call(describe(task_id)).is_finished:
        pass  # the local MPS goes on by looks
    return task_id


def _run(task_id: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    context = new_context()
    value = MpsTaskResultOperator(task_id="result", mps_task_id=task_id, **arguments).execute(context)
    return as_json(value), context["ti"].xcoms


def _local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def test_every_format(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Each format gets a file below a folder of the MPS task; the result names them, and a reader reads them."""
    task_id = _subtitle_task()
    value, xcoms = _run(task_id, output_path=f"file://{tmp_path}/out", subtitle_formats=list(SUBTITLE_FORMATS))
    exports = value["subtitles"][0]["exports"]
    assert exports == xcoms["subtitles"][0]["exports"]
    assert list(exports) == list(SUBTITLE_FORMATS)
    assert {_local(uri).parent for uri in exports.values()} == {tmp_path / "out" / task_id}
    assert sorted(path.name for path in (tmp_path / "out" / task_id).iterdir()) == [
        f"00-translation-zh-en.{format_}" for format_ in sorted(SUBTITLE_FORMATS)
    ]
    for format_ in ("srt", "vtt", "ass", "ttml"):
        events = pysubs2.load(str(_local(exports[format_])), encoding="utf-8")
        assert len(events) == 120
        assert events[0].plaintext == "欢迎收看今天的节目。\nWelcome to today's programme."
        assert (events[1].start, events[1].end) == (3000, 5400)
    stored = json.loads(_local(exports["json"]).read_text(encoding="utf-8"))
    assert stored["segments"] == value["subtitles"][0]["segments"]
    assert _local(exports["txt"]).read_text(encoding="utf-8").count("\n") == 120 * 3 - 1
    assert (value["full_result"], value["left_out"]) == (None, {})


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("original", "00-translation-zh.srt", "欢迎收看今天的节目。"),
        ("translation", "00-translation-en.srt", "Welcome to today's programme."),
    ],
)
def test_the_choice_of_text(airflow_mps: LocalMps, tmp_path: Path, text: str, name: str, shown: str) -> None:
    """One language, and a name that says which."""
    value, _ = _run(_subtitle_task(), output_path=str(tmp_path), subtitle_formats=["srt"], subtitle_text=text)
    file = _local(value["subtitles"][0]["exports"]["srt"])
    assert file.name == name
    assert pysubs2.load(str(file), encoding="utf-8")[0].plaintext == shown


def test_nothing_to_show_is_no_file(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """A subtitle without a translation gets no file where only translations are wanted."""
    lines = [{"StartTimeOffset": 0, "EndTimeOffset": 1, "Text": "original only", "Trans": " "}]
    task = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"SegmentSet": lines}}
    body = answer(SmartSubtitlesTaskResult=[{"AsrFullTextTask": task}])
    value, _ = _run(
        airflow_mps.backend.script([body]),
        output_path=str(tmp_path),
        subtitle_formats=["vtt"],
        subtitle_text="translation",
    )
    assert (value["subtitles"][0]["exports"], list(tmp_path.rglob("*.vtt"))) == ({}, [])


def _several_languages() -> dict[str, Any]:
    def translation(language: str, texts: list[str]) -> dict[str, Any]:
        lines = [
            {
                "StartTimeOffset": 2 * number,
                "EndTimeOffset": 2 * number + 1.5,
                "Text": f"原文{number}",
                "Trans": text,
                "SpeakerId": "Li",
                "Wordlist": [{"Word": "文", "Start": 2 * number + 1, "End": 2 * number + 1.5}],
            }
            for number, text in enumerate(texts)
        ]
        output = {"SegmentSet": lines, "SubtitleResults": [{"TransSrc": "zh", "TransDst": language, "Path": "/a"}]}
        return {"TransTextTask": {"Status": "SUCCESS", "ErrCode": 0, "Output": output}}

    return answer(SmartSubtitlesTaskResult=[translation("en", ["one", "two"]), translation("ja", ["一つ", "二つ"])])


def test_several_languages_in_one_track(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Merged, the subtitles of one input share their files; speakers and words are named on request."""
    value, _ = _run(
        airflow_mps.backend.script([_several_languages()]),
        output_path=str(tmp_path),
        subtitle_formats=["vtt", "srt"],
        merge_languages=True,
        speakers=True,
        word_timing=True,
    )
    first, second = value["subtitles"]
    assert first["exports"] == second["exports"]
    assert _local(first["exports"]["vtt"]).name == "00-merged-zh_en_ja.vtt"
    assert _local(first["exports"]["vtt"]).read_text(encoding="utf-8").splitlines()[4:7] == [
        "<v Li>原<00:00:01.000>文0",
        "one",
        "一つ",
    ]
    assert "Li: 原文1\ntwo\n二つ" in _local(first["exports"]["srt"]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "shown"), [("translation", "one\n一つ"), ("original", "原文0"), ("bilingual", "原文0\none\n一つ")]
)
def test_merging_the_chosen_text(airflow_mps: LocalMps, tmp_path: Path, text: str, shown: str) -> None:
    """Each subtitle contributes what was chosen."""
    value, _ = _run(
        airflow_mps.backend.script([_several_languages()]),
        output_path=str(tmp_path),
        subtitle_formats=["srt"],
        subtitle_text=text,
        merge_languages=True,
    )
    assert pysubs2.load(str(_local(value["subtitles"][1]["exports"]["srt"])))[0].plaintext == shown


def test_a_retry_writes_the_same(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Names and contents depend on the MPS task alone: a second run finds its files and leaves the same ones."""
    arguments: dict[str, Any] = {"output_path": str(tmp_path), "subtitle_formats": ["srt", "json"], "save_result": True}
    task_id = _subtitle_task()
    before, _ = _run(task_id, **arguments)
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    after, _ = _run(task_id, **arguments)
    assert set(tmp_path.rglob("*.*")) == set(contents)
    assert before["subtitles"] == after["subtitles"]
    for path, content in contents.items():
        if path.name != "result.json":  # its RequestId is of the look
            assert path.read_bytes() == content


@pytest.mark.fault("F42")
def test_a_large_result_goes_to_a_file(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Past max_xcom_bytes the segments are in the file only; every XCom value stays below the limit and says so."""
    airflow_mps.backend.settings.segment_count = 2500
    value, xcoms = _run(_subtitle_task(), output_path=str(tmp_path), subtitle_formats=["srt"])
    assert value["subtitles"][0]["segments"] == []
    assert (value["subtitles"][0]["segment_count"], value["left_out"]) == (2500, {"segments": 2500})
    assert all(len(json.dumps(item)) <= 48_000 for item in (value, *xcoms.values()))
    full = MpsTaskResult.model_validate_json(_local(value["full_result"]).read_text(encoding="utf-8"))
    assert len(full.subtitles[0].segments) == 2500
    assert full.left_out == {}
    assert full.subtitles[0].to_srt() == _local(value["subtitles"][0]["exports"]["srt"]).read_text(encoding="utf-8")
    with pytest.raises(MpsResultTooLarge, match=r"2500 segments.*were left out"):
        MpsTaskResult.model_validate(value).subtitles[0].to_srt()


def test_very_many_files_are_counted(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Where the segments are not what is large, the longest list is shortened, and the value counts what is missing."""
    snapshots = [f"/snapshot/{number:05d}.jpg" for number in range(3000)]
    task = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"ImagePathSet": snapshots}}
    body = answer(part(), {"Type": "SampleSnapshot", "SampleSnapshotTask": task})
    value, xcoms = _run(airflow_mps.backend.script([body]), output_path=str(tmp_path), save_result=True)
    assert all(len(json.dumps(item)) <= 48_000 for item in (value, *xcoms.values()))
    assert len(value["outputs"]) + value["left_out"]["outputs"] == 3001
    assert value["outputs"][0]["path"] == "/a.mp4"
    assert len(json.loads(_local(value["full_result"]).read_text())["outputs"]) == 3001


def test_a_small_result_is_saved_on_request(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """save_result writes what XCom gets as well."""
    value, _ = _run(airflow_mps.backend.script([answer(part())]), output_path=str(tmp_path), save_result=True)
    assert json.loads(_local(value["full_result"]).read_text()) == value
    assert _local(value["full_result"]).name == "result.json"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"subtitle_formats": ["srt", "doc"], "output_path": "/x"}, r"\['doc'\]; there are srt, vtt, ass"),
        ({"subtitle_formats": "srt", "output_path": "/x"}, "must be a list"),
        ({"subtitle_formats": ["srt"]}, "need an output_path"),
        ({"save_result": True}, "need an output_path"),
        ({"output_path": "/x"}, "output_path alone writes nothing"),
        ({"output_path": 5, "save_result": True}, "must be a folder such as"),
        ({"output_path": "nosuch://x/y", "save_result": True}, "nosuch"),
        ({"output_path": "sftp://user:pass@host/y", "save_result": True}, "holds a password"),
        ({"max_xcom_bytes": 0}, "whole number above 0"),
        ({"max_xcom_bytes": "48000"}, "whole number above 0"),
        ({"subtitle_text": "both"}, "can be original, translation, bilingual"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_arguments_send_nothing(airflow_mps: LocalMps, arguments: dict[str, Any], text: str) -> None:
    """What cannot be done is said before MPS is asked."""
    with pytest.raises(MpsConfigError, match=text) as caught:
        _run("240000-WorkflowTask-0123456789abcdef", **arguments)
    assert "pass@" not in str(caught.value)
    assert not airflow_mps.backend.calls
