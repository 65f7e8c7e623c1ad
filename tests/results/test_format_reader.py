"""Subtitle files read back: the texts and times that they show, whatever their format and encoding."""

from __future__ import annotations

import pytest

from airflow_provider_mps.errors import MpsDownloadError
from airflow_provider_mps.results.formats import SubtitleFormat
from airflow_provider_mps.results.formats.reader import read_subtitle_file
from airflow_provider_mps.results.redaction import whole_addresses
from airflow_provider_mps.results.segments import Segment
from airflow_provider_mps.results.subtitles import Subtitle, SubtitleFile, missing_files, subtitle_of_file

SEGMENTS = (Segment(1.5, 2.25, "你好\nR&D <3 {of}"), Segment(3, 4, "שלם"))
VTT = "WEBVTT\n\n1\n00:00:01.500 --> 00:00:02.250\n你好\nR&amp;D &lt;3 of\n\n00:03.000 --> 00:04.000\nשלם\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_as_mps_writes_it(encoding: str, line_end: str) -> None:
    """WebVTT with references, in the encodings that a byte order mark tells apart, with either end of a line."""
    read = read_subtitle_file(VTT.replace("\n", line_end).encode(encoding), "/a.vtt")
    assert read == (Segment(1.5, 2.25, "你好\nR&D <3 of"), Segment(3, 4, "שלם"))


@pytest.mark.parametrize("format_", ["srt", "vtt", "ass", "ttml"])
def test_what_we_write_we_read(format_: SubtitleFormat) -> None:
    """Each of our own formats comes back, times included."""
    written = Subtitle(segments=(Segment(1.5, 2.25, "Hello\nR&D"), Segment(3, 4, "Bye"))).render(format_)
    assert read_subtitle_file(written.encode(), "/a") == (Segment(1.5, 2.25, "Hello\nR&D"), Segment(3, 4, "Bye"))


@pytest.mark.parametrize(
    "data", [b"", b"<html>403</html>", b"\xff\xfe\x00", b"\x80abc", b"http://www.w3.org/ns/ttml <"]
)
def test_what_is_no_subtitle_file(data: bytes) -> None:
    """One error that names the file, never a subtitle without cues."""
    with pytest.raises(MpsDownloadError, match=r"/a\.vtt.*no subtitle file"):
        read_subtitle_file(data, "/a.vtt?sign=1")


def test_which_files_are_missing() -> None:
    """Those of a subtitle without segments; what MPS could not write has no path."""
    files = (SubtitleFile(path="/a.vtt"), SubtitleFile(status="Error"))
    assert missing_files(Subtitle(files=files)) == files[:1]
    assert missing_files(Subtitle(files=files, segment_count=1, segments=SEGMENTS)) == ()


def test_the_language_of_a_file() -> None:
    """That of the file, where MPS names it; else that of the subtitle, where it has only one file."""
    named, unnamed = SubtitleFile(path="/en.vtt", language="en"), SubtitleFile(path="/a.vtt")
    one = Subtitle(language="zh", translation_language="en", files=(unnamed,))
    assert subtitle_of_file(one, unnamed, VTT.encode()).language == "zh"
    several = one.model_copy(update={"files": (unnamed, named)})
    read = [subtitle_of_file(several, file, VTT.encode()) for file in several.files]
    assert [(item.language, item.translation_language, item.segment_count) for item in read] == [
        (None, None, 2),
        ("en", None, 2),
    ]
    assert [item.files for item in read] == [(unnamed,), (named,)]


def test_whole_addresses() -> None:
    """What is left of an address leads to the whole one; texts that were recognised are no addresses."""
    signed = "https://m.invalid/a b.vtt?sign=1#x"
    body = {
        "Output": [{"Path": signed, "SegmentSet": [{"Text": "https://said.invalid/?"}]}],
        "Message": "see " + signed,
    }
    assert dict(whole_addresses(body)) == {"https://m.invalid/a b.vtt": signed}
