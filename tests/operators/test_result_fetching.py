"""Subtitle files of which an answer holds no segments: fetched only when asked for, and without telling a secret."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsDownloadError
from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from tests.support.harness import answer as task
from tests.support.harness import as_json, new_context
from tests.support.recorder import Recorder
from tests.support.recorder import answer as http

SIGN = "q-signature=canary-5cfa3e"
VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n你好\nHello\n".encode()


def _answer(*paths: str, **output: Any) -> dict[str, Any]:
    """A translation of a subtitle file: results with paths, and no segments."""
    results = [
        {"Status": "Success", "TransSrc": "zh", "TransDst": f"l{n}", "Path": path} for n, path in enumerate(paths)
    ]
    part = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"SubtitleResults": results, **output}}
    return task(SmartSubtitlesTaskResult=[{"PureSubtitleTransTask": part}])


def _run(mps: LocalMps, body: dict[str, Any], **arguments: Any) -> tuple[dict[str, Any], str]:
    context = new_context()
    operator = MpsTaskResultOperator(task_id="result", mps_task_id=mps.backend.script([body]), **arguments)
    value = operator.execute(context)
    return as_json(value), json.dumps(context["ti"].xcoms)


def test_a_signed_address(airflow_mps: LocalMps, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file is asked for with its signature; its cues are segments then, and go to files; the query is nowhere."""
    caplog.set_level(logging.DEBUG)
    with Recorder() as server:
        server.reply(http(VTT))
        value, pushed = _run(
            airflow_mps,
            _answer(f"http://{server.netloc}/a.vtt?{SIGN}"),
            fetch_subtitles="https",
            output_path=str(tmp_path),
            subtitle_formats=["srt"],
            save_result=True,
        )
        assert [sent.target for sent in server.sent] == [f"/a.vtt?{SIGN}"]
    [subtitle] = value["subtitles"]
    assert [(one["start"], one["text"]) for one in subtitle["segments"]] == [(1.0, "你好\nHello")]
    assert (subtitle["language"], subtitle["segment_count"]) == ("l0", 1)
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*"))
    assert "你好\nHello" in written
    assert "canary-5cfa3e" not in json.dumps(value) + pushed + written + caplog.text


def test_it_is_off(airflow_mps: LocalMps) -> None:
    """Without being asked, nothing is fetched."""
    with Recorder() as server:
        value, _ = _run(airflow_mps, _answer(f"http://{server.netloc}/a.vtt"))
        assert server.sent == []
    assert value["subtitles"][0]["segment_count"] == 0


def test_segments_are_not_fetched_again(airflow_mps: LocalMps) -> None:
    """What the answer holds is what is used."""
    line = {"StartTimeOffset": 0, "EndTimeOffset": 1, "Text": "held"}
    with Recorder() as server:
        body = _answer(f"http://{server.netloc}/a.vtt", SegmentSet=[line])
        value, _ = _run(airflow_mps, body, fetch_subtitles="https")
        assert server.sent == []
    assert value["subtitles"][0]["segments"][0]["text"] == "held"


def test_a_folder_in_which_the_paths_begin(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Paths and addresses are looked up in it; several files are several subtitles, which can be one track."""
    (tmp_path / "out").mkdir()
    for name in ("a b.vtt", "b.vtt"):
        (tmp_path / "out" / name).write_bytes(VTT)
    body = _answer("/out/a b.vtt", f"https://b-1.cos.ap-nanjing.myqcloud.com/out/b.vtt?{SIGN}")
    value, _ = _run(
        airflow_mps,
        body,
        fetch_subtitles=f"file://{tmp_path}",
        output_path=f"file://{tmp_path}/written",
        subtitle_formats=["srt"],
        merge_languages=True,
    )
    assert [subtitle["language"] for subtitle in value["subtitles"]] == ["l0", "l1"]
    assert {subtitle["exports"]["srt"] for subtitle in value["subtitles"]} == {
        f"file://{tmp_path}/written/{value['mps_task_id']}/00-merged-l0_l1.srt"
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [("/out/none.vtt", "there is no such file"), ("/../x", "out of the folder"), ("https://x/%2e%2e/y", "out of the")],
)
def test_what_the_folder_does_not_give(airflow_mps: LocalMps, tmp_path: Path, path: str, text: str) -> None:
    """A file that is not there, and a path that leads elsewhere."""
    with pytest.raises(MpsDownloadError, match=text):
        _run(airflow_mps, _answer(path), fetch_subtitles=f"file://{tmp_path}/in")


def test_the_address_of_a_public_bucket(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in COS has the default address of its bucket; without a bucket there is none, and the error says so."""
    from airflow_provider_mps.client import download as module

    asked: list[str] = []

    def download(address: str, config: Any) -> bytes:
        asked.append(address)
        return VTT

    monkeypatch.setattr(module, "download", download)
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-1", "Region": "ap-nanjing"}}
    _run(airflow_mps, _answer("/out/a b.vtt", OutputStorage=storage), fetch_subtitles="https")
    assert asked == ["https://b-1.cos.ap-nanjing.myqcloud.com/out/a%20b.vtt"]
    with pytest.raises(MpsDownloadError, match=r"names no address.*set fetch_subtitles to the folder"):
        _run(airflow_mps, _answer("/out/a.vtt"), fetch_subtitles="https")


@pytest.mark.parametrize("value", ["http", "yes", True, 5, "ftp", "sftp://u:secret@host/x", "nosuch://x"])
def test_what_is_no_source(airflow_mps: LocalMps, value: Any) -> None:
    """Refused before MPS is asked."""
    with pytest.raises(MpsConfigError, match="fetch_subtitles") as caught:
        _run(airflow_mps, _answer("/a.vtt"), fetch_subtitles=value)
    assert "secret" not in str(caught.value)
    assert not airflow_mps.backend.calls
