"""
A long answer from bytes to files: DescribeBatchTaskDetail with 10,000 bilingual segments and their words.

First the reading, beside ``json.loads`` and the official SDK's model. Then the writing of each format, and of the whole
result, from the segments that were read, in milliseconds of CPU and in bytes of memory beyond those segments.
Memory is the peak that Python allocated, as a share of the answer's bytes, which are not counted themselves.
"""

from __future__ import annotations

import gc
import io
import json
import tracemalloc
from collections.abc import Callable

from _measure import show, take_turns
from parse import answer, ours, sdk

from airflow_provider_mps.results.formats import SUBTITLE_FORMATS
from airflow_provider_mps.results.formats.base import CueStyle
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.subtitles import Subtitle
from airflow_provider_mps.results.xcom_size import fits

ROUNDS = 5
SEGMENTS = 10_000
STYLE = CueStyle(speakers=True, word_timing=True)


class Counter(io.TextIOBase):
    """A file that keeps nothing, so that only the writer's memory is measured."""

    size = 0

    def write(self, text: str) -> int:
        self.size += len(text.encode())
        return len(text)


def peak(run: Callable[[], object]) -> int:
    """Bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        del kept


def write(subtitle: Subtitle, format_: str) -> int:
    file = Counter()
    subtitle.write(file, format_, STYLE)  # type: ignore[arg-type]
    return file.size


def main() -> None:
    """Measure reading, then writing."""
    raw = answer(words=True, segments=SEGMENTS)
    words = sum(len(segment.words) for segment in ours(raw)[0].segments)
    readers = {
        "ours: verdict and subtitles": lambda: ours(raw),
        "SDK: json.loads and its model": lambda: sdk(raw),
        "json.loads": lambda: json.loads(raw),
    }
    title = f"{SEGMENTS:,} segments, {words:,} words, {len(raw) / 1e6:.1f} MB"
    show(f"{title}: CPU to read", take_turns(readers, rounds=ROUNDS), ours=next(iter(readers)))
    print("  peak memory")
    for name, read in readers.items():
        print(f"  {name:46} {(size := peak(read)) / 1e6:10.1f} MB  x {size / len(raw):.2f} of the answer's bytes")

    [subtitle] = ours(raw)
    result = MpsTaskResult(mps_task_id="benchmark", subtitles=(subtitle,))
    writers: dict[str, Callable[[], int]] = {
        format_: lambda format_=format_: write(subtitle, format_) for format_ in SUBTITLE_FORMATS
    }
    writers["result.json"] = lambda: sum(len(piece.encode()) for piece in result.json_pieces())
    samples = take_turns(writers, rounds=ROUNDS)
    show(f"{title}: CPU to write", samples, ours="srt")
    print("  peak memory beyond the segments")
    for name, run in writers.items():
        size = peak(run)
        print(f"  {name:20} file of {run() / 1e6:5.2f} MB {size / 1e6:10.2f} MB  x {size / len(raw):.2f}")
    print(f"\n  to find that it does not fit into XCom: {peak(lambda: fits(result, 48_000)) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
