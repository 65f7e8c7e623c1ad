"""Subtitles as SubRip and WebVTT: what was said is what a player shows, one cue for each sentence."""

from __future__ import annotations

import html
import re
from typing import Literal

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.segments import Segment, TextChoice
from airflow_provider_mps.results.subtitles import Subtitle

_TIME = {"srt": r"(\d\d):(\d\d):(\d\d),(\d{3})", "vtt": r"(\d\d):(\d\d):(\d\d)\.(\d{3})"}
Format = Literal["srt", "vtt"]


def _write(segments: list[Segment], kind: Format, text: TextChoice = "bilingual") -> str:
    subtitle = Subtitle(segments=tuple(segments))
    return subtitle.to_srt(text) if kind == "srt" else subtitle.to_vtt(text)


def _read(content: str, kind: Format) -> list[tuple[float, float, str]]:
    """The cues by the letter of the format, without any library: number, times, lines, an empty line."""
    blocks = [block for block in re.split(r"\n{2,}", content.strip("\n")) if block]
    if kind == "vtt":
        assert blocks.pop(0) == "WEBVTT"
    cues = []
    for number, block in enumerate(blocks, 1):
        head, times, *lines = block.split("\n")
        assert head == str(number)
        found = re.fullmatch(f"{_TIME[kind]} --> {_TIME[kind]}", times)
        assert found
        h, m, s, ms, h2, m2, s2, ms2 = map(int, found.groups())
        shown = "\n".join(lines)
        if kind == "vtt":
            assert "<" not in shown
            assert "-->" not in shown
            shown = html.unescape(shown)
        cues.append((h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000, shown))
    return cues


def _plain(text: str) -> str:
    """What of a text can be seen: lines without blanks around them, no empty ones."""
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line)


both_formats = pytest.mark.parametrize("kind", ["srt", "vtt"])


def test_srt_to_the_letter() -> None:
    """Numbers from 1, commas in the times, the original above its translation."""
    segments = [
        Segment(start=1.774, end=2.424, text="走了", translation="Walking."),
        Segment(start=3661.5, end=3662, text="Ende"),
    ]
    assert _write(segments, "srt") == (
        "1\n00:00:01,774 --> 00:00:02,424\n走了\nWalking.\n\n2\n01:01:01,500 --> 01:01:02,000\nEnde\n\n"
    )


def test_vtt_to_the_letter() -> None:
    """A head, points in the times, character references for markup."""
    assert _write([Segment(start=0, end=1.5, text='a <b> & "c" --> d')], "vtt") == (
        'WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.500\na &lt;b&gt; &amp; "c" --&gt; d\n\n'
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("{not a tag} {\\i1}", "{not a tag} {\\i1}"),
        ("a --> b", "a --> b"),
        ("first\nsecond", "first\nsecond"),
        ("first\r\n\r\n\r\nsecond\n", "first\nsecond"),
        ("<b>bold?</b> <v Bob>", "<b>bold?</b> <v Bob>"),
        ("R&D &amp; &lt;", "R&D &amp; &lt;"),
        ("\U0001f600 emoji", "\U0001f600 emoji"),
        ("C:\\News\\hello\\new", "C:\\News\\hello\\new"),
        ("  blanks  ", "blanks"),
        ("a\u2028b", "a\nb"),
        ("مرحبا", "مرحبا"),
    ],
)
@both_formats
def test_what_was_said_is_what_is_shown(kind: Format, text: str, shown: str) -> None:
    """Braces, arrows, markup, backslashes and line breaks are text, not commands to the player or the library."""
    [(_, _, seen)] = _read(_write([Segment(start=1, end=2, text=text)], kind), kind)
    seen = seen.replace("\N{ZERO WIDTH NON-JOINER}", "")
    assert seen == (shown if kind == "vtt" else shown.replace("-->", "->"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("original", ["原文", "只有原文"]), ("translation", ["text", "only text"]), ("bilingual", None)],
)
@both_formats
def test_the_choice_of_text(kind: Format, text: TextChoice, shown: list[str] | None) -> None:
    """Segments with nothing to show are left out, and the numbers have no gap."""
    segments = [
        Segment(start=0, end=1, text="原文", translation="text"),
        Segment(start=1, end=2, text="只有原文"),
        Segment(start=2, end=3, text="", translation="only text"),
        Segment(start=3, end=4, text=" \n ", translation=""),
    ]
    cues = [line for _, _, line in _read(_write(segments, kind, text), kind)]
    assert cues == (shown or ["原文\ntext", "只有原文", "only text"])


@both_formats
def test_no_segments_give_an_empty_file(kind: Format) -> None:
    """A file without cues is still one of its format."""
    assert _read(_write([], kind), kind) == []


pieces = st.sampled_from(
    [
        "{\\an8}",
        "{",
        "}",
        "-->",
        "--",
        ">",
        "<i>",
        "</i>",
        "&",
        "&amp;",
        "\\N",
        "\\n",
        "\\h",
        "\\",
        "N",
        "\n",
        "\n\n",
        "\r",
        "1\n00:00:01,000 --> 00:00:02,000\n",
        "NOTE",
        "WEBVTT",
        "\u2028",
        "\x85",
        "\U0001f468\u200d\U0001f469",
        "\t",
    ]
)
texts = st.lists(pieces | st.text(max_size=6), max_size=8).map("".join)
seconds = st.floats(0, 300_000, allow_nan=False)


@given(lines=st.lists(st.tuples(seconds, seconds, texts, texts), max_size=4))
@both_formats
def test_any_text_stays_one_cue(kind: Format, lines: list[tuple[float, float, str, str]]) -> None:
    """Whatever was recognised, each segment is one cue with its times and its visible text."""
    lines = sorted(lines, key=lambda line: (round(line[0] * 1000), round(line[1] * 1000)))
    segments = [Segment(start=start, end=end, text=text, translation=other) for start, end, text, other in lines]
    cues = _read(_write(segments, kind), kind)
    expected = [
        (start, end, shown)
        for start, end, text, other in lines
        if (shown := _plain("\n".join(line for line in (text, other) if line)))
    ]
    assert len(cues) == len(expected)
    for (start, end, shown), (wanted_start, wanted_end, wanted) in zip(cues, expected, strict=True):
        assert start == pytest.approx(wanted_start, abs=0.001)
        assert end == pytest.approx(wanted_end, abs=0.001)
        wanted = wanted if kind == "vtt" else wanted.replace("-->", "->")
        assert shown.replace("\N{ZERO WIDTH NON-JOINER}", "") == wanted.replace("\N{ZERO WIDTH NON-JOINER}", "")


# pysubs2 takes any line with two times in it for the head of a cue.
texts_without_times = texts.filter(lambda text: "00:00:01" not in text)


@given(lines=st.lists(st.tuples(seconds, texts_without_times), max_size=4))
@both_formats
def test_pysubs2_reads_back_as_many_cues(kind: Format, lines: list[tuple[float, str]]) -> None:
    """A common reader sees the same cues at the same times."""
    segments = [Segment(start=start, end=start + 1, text=text) for start, text in lines]
    shown = sorted(round(start * 1000) for start, text in lines if _plain(text))
    read = pysubs2.SSAFile.from_string(_write(segments, kind), kind)
    assert sorted(event.start for event in read) == shown
