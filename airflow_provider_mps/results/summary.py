"""The end of a task in a few lines for its log: what came out, how long it took, what the bill goes by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from airflow_provider_mps.results.files import facts_of, find_sources, media_of
from airflow_provider_mps.results.task import TaskDetail

# More files of one kind than this are counted, not listed.
_LISTED = 5
_MOST_LINES = 30


def summarize(detail: TaskDetail, mps_task_id: str) -> list[str]:
    """The lines of the summary; the first names the task, the others are about it."""
    sources = find_sources(detail.body, detail.metadata)
    read = [_Line(source.uri or source.path, facts_of(source.metadata)) for source in sources]
    wrote = [
        _Line(file.uri or file.path, facts_of(media_of(file, detail.metadata)), file.kind) for file in detail.outputs
    ]
    lines = [
        f"MPS task {mps_task_id} ended: {', '.join(_outcome(detail))} (RequestId {detail.request_id})",
        *(f"  in   {line.text}" for line in read),
        *(f"  out  {text}" for text in _grouped(wrote)),
    ]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"  ... and {len(lines) - _MOST_LINES} lines more"]
    # MPS bills most of its work by the seconds of media that went in or came out.
    totals = {"in": sum(line.seconds for line in read), "out": sum(line.seconds for line in wrote)}
    if media := ", ".join(f"{_seconds(total)} {way}" for way, total in totals.items() if total):
        lines.append(f"  media: {media}")
    return lines


class _Line(NamedTuple):
    address: str
    facts: dict[str, Any]
    kind: str = ""

    @property
    def seconds(self) -> float:
        return float(self.facts.get("duration") or 0)

    @property
    def folder(self) -> str:
        return self.address.rpartition("/")[0] + "/"

    @property
    def text(self) -> str:
        facts = self.facts
        codecs = "/".join(facts[name] for name in ("video_codec", "audio_codec") if facts.get(name))
        picture = f"{facts['width']}x{facts['height']}" if facts.get("width") and facts.get("height") else ""
        size = _size(facts["size"]) if facts.get("size") else ""
        length = _seconds(self.seconds) if self.seconds else ""
        return "  ".join(note for note in (self.address, self.kind, length, picture, codecs, size) if note)


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


def _grouped(lines: Sequence[_Line]) -> Iterator[str]:
    """One line for each file, and for a folder with many of one kind one in all."""
    for (folder, kind), group in groupby(lines, key=lambda line: (line.folder, line.kind)):
        files = list(group)
        if len(files) > _LISTED:
            yield f"{folder}  {len(files)} files of kind {kind}"
        else:
            yield from (line.text for line in files)


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
