"""
Parse the answer to DescribeBatchTaskDetail with 2,500 bilingual subtitle segments, from bytes to usable results.

Ours looks for an error, judges the task and makes every segment a checked value. The SDK is measured twice: its model
alone, and as its client does it, which reads the JSON once for an error and once more for the model. Neither judges.
``json.loads`` alone gives the scale.
Memory is the peak that Python allocated while parsing, the result included, the bytes of the answer not.
"""

# ruff: noqa: TID251 - the official SDK is what is compared with

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from _measure import show, take_turns
from tencentcloud.mps.v20190612 import models, mps_client

from airflow_provider_mps.client.actions import DescribeBatchTaskDetail
from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.client.protocol import Response, decode
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.models import Settings
from airflow_provider_mps.results.subtitles import Subtitle

ROUNDS = 21
SEGMENTS = 2_500


def answer(*, words: bool, segments: int = SEGMENTS) -> bytes:
    """What MPS would send for a finished batch with one input."""
    backend = LocalMpsBackend({}, Settings(segment_count=segments))
    request = {
        "InputInfo": [{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}],
        "SmartSubtitlesTask": {
            "RawParameter": {"VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"},
            "UserExtPara": '{"need_wordlist": 1}' if words else "",
        },
    }
    task_id = backend.answer("BatchProcessMedia", request)["TaskId"]
    for _ in range(3):  # WAITING, PROCESSING, FINISH
        body = backend.answer("DescribeBatchTaskDetail", {"TaskId": task_id})
    return json.dumps({"Response": body | {"RequestId": "benchmark"}}, ensure_ascii=False).encode()


def ours(raw: bytes) -> tuple[Subtitle, ...]:
    detail = decode(DescribeBatchTaskDetail(task_id="benchmark"), Response(200, {}, raw), MpsClock())
    detail.raise_for_failure("benchmark")
    return detail.subtitles


def sdk(raw: bytes) -> Any:
    model = models.DescribeBatchTaskDetailResponse()
    model._deserialize(json.loads(raw)["Response"])
    return model


def sdk_client(raw: bytes) -> Any:
    """The part of ``AbstractClient`` that comes after the network."""
    response = SimpleNamespace(headers={"Content-Type": "application/json"}, content=raw)
    mps_client.MpsClient._check_error(None, response)
    return mps_client.MpsClient._process_response_json(response, models.DescribeBatchTaskDetailResponse)


def check(raw: bytes, *, words: bool) -> None:
    """Both must read the same segments, or the comparison is void."""
    own = ours(raw)[0].segments
    theirs = sdk(raw).BatchTaskResult.SmartSubtitlesTaskResult.Outputs[0].TransTextTask.SegmentSet
    same = [(item.text, item.translation, item.start, item.end, len(item.words)) for item in own] == [
        (item.Text, item.Trans, item.StartTimeOffset, item.EndTimeOffset, len(item.Wordlist)) for item in theirs
    ]
    if not same or len(own) != SEGMENTS or any(bool(item.words) is not words for item in own):
        raise SystemExit("broken: the two read different segments")


def peak(parse: Callable[[bytes], object], raw: bytes) -> float:
    """Megabytes."""
    gc.collect()
    tracemalloc.start()
    try:
        result = parse(raw)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
        del result


def compare(*, words: bool) -> None:
    raw = answer(words=words)
    check(raw, words=words)
    parsers = {
        "ours: verdict and subtitles": ours,
        "SDK: json.loads and its model": sdk,
        "SDK: as its client does it": sdk_client,
        "json.loads": json.loads,
    }
    name = next(iter(parsers))
    samples = take_turns({key: lambda parse=parse: parse(raw) for key, parse in parsers.items()}, rounds=ROUNDS)
    title = f"{SEGMENTS:,} segments {'with' if words else 'without'} word lists, {len(raw):,} bytes"
    show(f"{title}: CPU per answer", samples, ours=name)
    peaks = {key: peak(parse, raw) for key, parse in parsers.items()}
    print("  peak memory")
    for key, megabytes in peaks.items():
        print(f"  {key:46} {megabytes:10.2f} MB  x {megabytes / peaks[name]:.2f}")


def main() -> None:
    """Measure without and with word lists."""
    compare(words=False)
    compare(words=True)


if __name__ == "__main__":
    main()
