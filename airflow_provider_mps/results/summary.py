"""The summary of an ended task, for its log: outcome, times, files, and the seconds of media that MPS bills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from airflow_provider_mps.results.files import FileGroup, facts_of, find_sources, written_files
from airflow_provider_mps.results.task import TaskDetail

_MAX_LISTED_FILES = 5  # of one kind in one folder; more are counted
_MAX_LINES = 30


def summarize(detail: TaskDetail, mps_task_id: str) -> list[str]:
    """The lines of the summary; the first one names the task."""
    sources = [
        (source.uri or source.path, facts_of(source.metadata)) for source in find_sources(detail.body, detail.metadata)
    ]
    wrote = written_files(detail.outputs, detail.metadata, max_files=_MAX_LISTED_FILES)
    lines = [
        # A line of its own: Airflow shows about a hundred characters without scrolling, and a TaskId is long.
        f"MPS task {mps_task_id} has ended (RequestId {detail.request_id})",
        f"  {', '.join(_outcome(detail))}",
        *(f"  in   {_line(address, '', facts)}" for address, facts in sources),
        *(f"  out  {_line(file.address, _kind(file), file.facts)}" for file in wrote),
        *(f"  text {text.kind}, {len(text.text)} characters" for text in detail.texts),
    ]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"  ... and {len(lines) - _MAX_LINES} lines more"]
    # MPS bills most jobs by the duration of their input or output.
    totals = {
        "in": sum(facts.get("duration") or 0 for _, facts in sources),
        "out": sum(file.seconds for file in wrote),
    }
    if media := ", ".join(f"{_seconds(total)} {way}" for way, total in totals.items() if total):
        lines.append(f"  media: {media}")
    return lines


def _line(address: str, kind: str, facts: Mapping[str, Any]) -> str:
    codecs = "/".join(facts[name] for name in ("video_codec", "audio_codec") if facts.get(name))
    picture = f"{facts['width']}x{facts['height']}" if facts.get("width") and facts.get("height") else ""
    size = _size(facts["size"]) if facts.get("size") else ""
    length = _seconds(facts["duration"]) if facts.get("duration") else ""
    return "  ".join(note for note in (unquote(address), kind, length, picture, codecs, size) if note)


def _kind(file: FileGroup) -> str:
    return file.kind if file.number == 1 else f"{file.number} files of kind {file.kind}"


def _outcome(detail: TaskDetail) -> Iterator[str]:
    verdict = detail.verdict
    yield f"{verdict.succeeded} of {verdict.parts} parts succeeded" if verdict.parts else "no part to judge"
    if verdict.failures:
        yield f"{len(verdict.failures)} failed"
    created, begun, ended = detail.create_time, detail.begin_process_time, detail.finish_time
    if created and begun and begun >= created:
        yield f"{_duration((begun - created).total_seconds())} in the queue"
    if begun and ended and ended >= begun:
        yield f"{_duration((ended - begun).total_seconds())} at work"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
