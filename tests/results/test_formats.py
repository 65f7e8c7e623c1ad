"""Subtitles in the formats of files: what was said is what a player shows, one cue for each sentence."""

from __future__ import annotations

import html
import re
from typing import Literal

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.errors import MpsConfigError, MpsResultTooLarge
from airflow_provider_mps.results.formats import SubtitleFormat
from airflow_provider_mps.results.segments import Segment, TextChoice, Word
from airflow_provider_mps.results.subtitles import Subtitle

_TIME = {"srt": r"(\d\d):(\d\d):(\d\d),(\d{3})", "vtt": r"(\d\d):(\d\d):(\d\d)\.(\d{3})"}
Format = Literal["srt", "vtt"]
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
# What parts a command in two, and what marks a line that runs from right to left: nobody sees them.
_UNSEEN = re.compile("[\u200c\u202b\u202c]")


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
    """What of a text can be seen: lines without blanks around them, no empty ones, no control characters."""
    lines = [line.strip() for line in _CONTROL.sub("", text).splitlines()]
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
    assert _UNSEEN.sub("", seen) == shown


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
        "{\\p1}",
        "{",
        "}",
        "-->",
        "--",
        ">",
        "<i>",
        "</i>",
        "< font color=red>",
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
        "\x00",
        "\x1b[0m",
        "مرحبا!",
        "שלום",
        "你好。",
        "\U0001f468\u200d\U0001f469",
        "\t",
    ]
)
texts = st.lists(pieces | st.text(max_size=6), max_size=8).map("".join)
seconds = st.floats(0, 300_000, allow_nan=False)


def _shown(start: float, end: float, following: list[float]) -> tuple[float, float]:
    """The times by the documented rule: what has no length lasts a second, or until the next one begins."""
    if round(end * 1000) > round(start * 1000):
        return start, end
    return start, min([start + 1, *(time for time in following if round(time * 1000) > round(start * 1000))])


def _expected(lines: list[tuple[float, float, str, str]]) -> list[tuple[float, float, str]]:
    lines = sorted(lines, key=lambda line: round(line[0] * 1000))
    seen = [
        (start, end, shown)
        for start, end, text, other in lines
        if (shown := _plain("\n".join(line for line in (text, other) if line)))
    ]
    starts = [start for start, _, _ in seen]
    return [(*_shown(start, end, starts), shown) for start, end, shown in seen]


@given(lines=st.lists(st.tuples(seconds, seconds, texts, texts), max_size=4))
@both_formats
def test_any_text_stays_one_cue(kind: Format, lines: list[tuple[float, float, str, str]]) -> None:
    """Whatever was recognised, each segment is one cue with its times and its visible text."""
    segments = [Segment(start=start, end=end, text=text, translation=other) for start, end, text, other in lines]
    cues = _read(_write(segments, kind), kind)
    expected = _expected(lines)
    assert len(cues) == len(expected)
    for (start, end, shown), (wanted_start, wanted_end, wanted) in zip(cues, expected, strict=True):
        assert start == pytest.approx(wanted_start, abs=0.001)
        assert end == pytest.approx(wanted_end, abs=0.001)
        assert _UNSEEN.sub("", shown) == _UNSEEN.sub("", wanted)


# pysubs2 takes any line with two times in it for the head of a cue, and a last line of digits for the next number.
texts_that_pysubs2_reads = texts.filter(
    lambda text: "00:00:01" not in text and not _plain(text).rpartition("\n")[2].strip().isdecimal()
)
hours = st.floats(0, 35_000, allow_nan=False)
TOLERANCE = {"srt": 1, "vtt": 1, "ttml": 1, "ass": 5}  # ms; ASS counts hundredths of a second


BRACES = str.maketrans("\uff5b\uff5d", "{}")


def _as_read(text: str, kind: str) -> str:
    """What pysubs2 read: it keeps the references of WebVTT and has a sign of its own for the end of a line."""
    text = text.replace("\\N", "\n")
    return _seen(html.unescape(text) if kind == "vtt" else text)


def _seen(text: str) -> str:
    """The visible text. ASS and TTML get wide braces, and runs of blanks are one in XML."""
    lines = (" ".join(line.split()) for line in _UNSEEN.sub("", text).translate(BRACES).splitlines())
    return "\n".join(line for line in lines if line)


@given(lines=st.lists(st.tuples(hours, st.floats(0.01, 9), texts_that_pysubs2_reads), max_size=4))
@pytest.mark.parametrize("kind", ["srt", "vtt", "ass", "ttml"])
def test_pysubs2_reads_back_the_same(kind: SubtitleFormat, lines: list[tuple[float, float, str]]) -> None:
    """
    A common reader sees the same texts at the same times: to a millisecond, and to 5 of them in ASS, which has no
    finer time.
    """
    segments = [Segment(start=start, end=start + length, text=text) for start, length, text in lines]
    read = pysubs2.SSAFile.from_string(Subtitle(segments=tuple(segments)).render(kind), kind)
    wanted = [(start, start + length, _plain(text)) for start, length, text in lines if _plain(text)]
    wanted.sort(key=lambda line: round(line[0] * 1000))
    assert len(read) == len(wanted)
    for event, (start, end, text) in zip(read, wanted, strict=True):
        assert abs(event.start - start * 1000) <= TOLERANCE[kind] + 0.5
        assert abs(event.end - end * 1000) <= TOLERANCE[kind] + 0.5
        assert _as_read(event.text, kind) == _seen(text)


def test_hundredths_of_ass() -> None:
    """The limit of ASS to the letter: rounded to the nearest hundredth, cues that met still meet, none vanishes."""
    segments = [
        Segment(start=1.774, end=2.425, text="a"),
        Segment(start=2.425, end=2.426, text="b"),
        Segment(start=3, end=4, text="c"),
    ]
    lines = [line for line in Subtitle(segments=tuple(segments)).to_ass().splitlines() if line.startswith("Dialogue")]
    assert [line.split(",")[1:3] for line in lines] == [
        ["0:00:01.77", "0:00:02.43"],
        ["0:00:02.43", "0:00:02.44"],
        ["0:00:03.00", "0:00:04.00"],
    ]


def test_what_ass_cannot_say_is_refused() -> None:
    """ASS has one digit for hours: a later segment is an error with a way out, not a wrong time."""
    late = Subtitle(segments=(Segment(start=36_001, end=36_002, text="late"),))
    with pytest.raises(MpsConfigError, match=r"10 hours.*srt"):
        late.to_ass()
    assert "10:00:01,000" in late.to_srt()


@both_formats
def test_times_of_no_length_and_overlaps(kind: Format) -> None:
    """What has no length lasts until the next one, at most a second; who speaks at once is shown at once."""
    segments = [
        Segment(start=5, end=9, text="long"),
        Segment(start=0, end=0, text="alone"),
        Segment(start=4.5, end=4.5, text="before the next"),
        Segment(start=6, end=7, text="meanwhile"),
        Segment(start=-1, end=-2, text="too early"),
    ]
    assert _read(_write(segments, kind), kind) == [
        (0, 1, "alone"),
        (0, 1, "too early"),
        (4.5, 5, "before the next"),
        (5, 9, "long"),
        (6, 7, "meanwhile"),
    ]


@pytest.mark.parametrize("kind", ["srt", "ass", "ttml"])
def test_right_to_left_lines_are_marked(kind: SubtitleFormat) -> None:
    """A line that begins from right to left is embedded as such, so that its full stop stands at its end."""
    subtitle = Subtitle(segments=(Segment(start=0, end=1, text="1. مرحبا world!", translation="Hello שלום."),))
    [event] = pysubs2.SSAFile.from_string(subtitle.render(kind), kind)
    assert event.plaintext == "\u202b1. مرحبا world!\u202c\nHello שלום."


@pytest.mark.parametrize("kind", ["vtt", "txt"])
def test_who_knows_directions_gets_no_marks(kind: SubtitleFormat) -> None:
    """Browsers and editors find the direction of each line by themselves."""
    assert not _UNSEEN.search(Subtitle(segments=(Segment(start=0, end=1, text="مرحبا"),)).render(kind))


SAID = Segment(
    start=1,
    end=3,
    text="Hello, wonderful world {of} <b>!",
    translation="你好",
    speaker="Bob, <1>",
    words=(Word("Hello", 1, 1.4), Word("wonderful", 1.5, 2), Word("wrld"), Word("other", 2, 2), Word("world", 2.25, 3)),
)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("srt", "Bob, <1>: Hello, wonderful world {of} <b>!"),
        ("vtt", "<v Bob, &lt;1&gt;>Hello, wonderful world {of} &lt;b&gt;!"),
        (
            "ass",
            "Dialogue: 0,0:00:01.00,0:00:03.00,Default,Bob  <1>,0,0,0,,Hello, wonderful world {of} <b>!\\N你好",
        ),
        ("txt", "Bob, <1>: Hello, wonderful world {of} <b>!"),
    ],
)
def test_speakers(kind: SubtitleFormat, line: str) -> None:
    """Named where the format has a place for a name, else before the text; only when asked for."""
    subtitle = Subtitle(segments=(SAID,))
    assert line in _UNSEEN.sub("", subtitle.render(kind, speakers=True)).translate(BRACES).splitlines()
    assert "Bob" not in subtitle.render(kind)


def test_words_in_webvtt() -> None:
    """A timestamp tag before each word that begins later than the cue; words that the text lacks are passed over."""
    rendered = Subtitle(segments=(SAID,)).render("vtt", word_timing=True)
    assert rendered.splitlines()[4:6] == [
        "Hello, <00:00:01.500>wonderful <00:00:02.250>world {of} &lt;b&gt;!",
        "你好",
    ]


def test_words_in_ass() -> None:
    """Karaoke: hundredths of a second for each piece, which sum up to the length of the cue."""
    rendered = Subtitle(segments=(SAID,)).render("ass", word_timing=True)
    text = rendered.splitlines()[-1].split(",", 9)[-1]
    assert text.translate(BRACES) == r"{\k50}Hello, {\k75}wonderful {\k75}world {of} <b>!\N你好"


words = st.lists(
    st.builds(Word, st.sampled_from(["a", "b", "<i>", "{", "\\", "你", "a b", ""]), st.none() | st.floats(-1, 12)),
    max_size=6,
).map(tuple)


@given(text=texts, words=words)
@pytest.mark.parametrize("kind", ["vtt", "ass"])
def test_word_timing_changes_no_text(kind: SubtitleFormat, text: str, words: tuple[Word, ...]) -> None:
    """Whatever the words are, the text is the same with and without their times, and times in a cue only grow."""
    subtitle = Subtitle(segments=(Segment(start=1, end=9, text=text, words=words),))
    timed = subtitle.render(kind, word_timing=True)
    without = re.sub(r"<\d\d:\d\d:\d\d\.\d{3}>|{\\k\d+}", "", timed)
    assert _UNSEEN.sub("", without) == _UNSEEN.sub("", subtitle.render(kind))
    if kind == "vtt":
        stamps = re.findall(r"<(\d\d:\d\d:\d\d\.\d{3})>", timed)
        assert stamps == sorted(set(stamps))
        assert all("00:00:01.000" < stamp < "00:00:09.000" for stamp in stamps)
    elif lengths := re.findall(r"{\\k(\d+)}", timed):
        assert sum(map(int, lengths)) == 800


def test_plain_text() -> None:
    """One line for each segment; with two languages an empty line between them."""
    segments = (Segment(start=1, end=2, text="b", translation="B"), Segment(start=0, end=1, text="a"))
    subtitle = Subtitle(segments=segments)
    assert subtitle.render("txt") == "a\n\nb\nB\n"
    assert subtitle.render("txt", text="original") == "a\nb\n"


def test_json_holds_everything() -> None:
    """Whatever the choice of text, JSON is the whole subtitle, and reads back as it."""
    subtitle = Subtitle(kind="asr", language="en", segment_count=1200, segments=(SAID,) * 1200)
    assert Subtitle.model_validate_json(subtitle.render("json", text="original")) == subtitle


def test_segments_that_were_left_out_are_not_an_empty_file() -> None:
    """A value that was made to fit XCom says so when it is asked for its text."""
    with pytest.raises(MpsResultTooLarge, match=r"2500 segments of W\.Task were left out.*exports"):
        Subtitle(source="W.Task", segment_count=2500).to_srt()


def test_json_comes_in_pieces() -> None:
    """Ten thousand segments are never one text in memory, and the pieces are the whole."""
    subtitle = Subtitle(language="en", segment_count=10_000, segments=(SAID,) * 10_000)
    pieces = list(subtitle.json_pieces())
    assert max(map(len, pieces)) < sum(map(len, pieces)) / 15
    assert Subtitle.model_validate_json("".join(pieces)) == subtitle
