"""Several languages in one track: nothing that was said is lost, and nothing is said twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.merging import merge
from airflow_provider_mps.results.segments import Segment, TextChoice, Word
from airflow_provider_mps.results.subtitles import Subtitle, SubtitleFile


def _subtitle(language: str, translation: str | None, *segments: Segment) -> Subtitle:
    return Subtitle(
        kind="translation",
        language=language,
        translation_language=translation,
        segment_count=len(segments),
        segments=segments,
        files=(SubtitleFile(path=f"/{translation}.vtt"),),
    )


EN = _subtitle("zh", "en", Segment(0, 2, "你好", "Hello"), Segment(2, 4, "再见", "Bye"))
JA = _subtitle("zh", "ja", Segment(0, 2, "你好", "こんにちは"), Segment(2.01, 3.98, "再见", "さようなら"))


@pytest.mark.parametrize(
    ("text", "texts", "language"),
    [
        ("bilingual", ["你好\nHello\nこんにちは", "再见\nBye\nさようなら"], "zh+en+ja"),
        ("translation", ["Hello\nこんにちは", "Bye\nさようなら"], "en+ja"),
        ("original", ["你好", "再见"], "zh"),
    ],
)
def test_two_translations_of_one_text(text: TextChoice, texts: list[str], language: str) -> None:
    """The original stands once above its translations; times that differ a little are one cue."""
    merged = merge([EN, JA], text)
    assert [segment.text for segment in merged.segments] == texts
    assert (merged.language, merged.translation_language, merged.segment_count) == (language, None, 2)
    assert [file.path for file in merged.files] == ["/en.vtt", "/ja.vtt"]


def test_other_cuts() -> None:
    """What is cut otherwise goes to the segment that it shares most time with; what shares none stands alone."""
    other = _subtitle(
        "de",
        None,
        Segment(0, 1, "Guten"),
        Segment(1, 2.4, "Tag"),
        Segment(6, 7, "Ende"),
        Segment(4, 5, "Pause"),
        Segment(2.5, 2.5, "!"),
    )
    merged = merge([EN, other])
    assert [(segment.start, segment.text) for segment in merged.segments] == [
        (0, "你好\nHello\nGuten\nTag"),
        (2, "再见\nBye\n!"),
        (4, "Pause"),
        (6, "Ende"),
    ]


def test_a_long_segment_stays_open() -> None:
    """Segments that overlap are found although later ones began in between; the one of like length is preferred."""
    first = _subtitle("a", None, Segment(0, 100, "long"), Segment(1, 2, "short"), Segment(3, 4, "short too"))
    merged = merge([first, _subtitle("b", None, Segment(50, 60, "late"), Segment(1.2, 1.9, "brief"))])
    assert [segment.text for segment in merged.segments] == ["long\nlate", "short\nbrief", "short too"]


def test_words_and_speaker_of_the_first() -> None:
    """Word times belong to the original, so they go where it goes."""
    spoken = Segment(0, 1, "hi", "你好", speaker="Bob", words=(Word("hi", 0, 1),))
    subtitle = _subtitle("en", "zh", spoken)
    [merged] = merge([subtitle, EN]).segments[:1]
    assert (merged.speaker, merged.words) == ("Bob", spoken.words)
    assert merge([subtitle], "translation").segments[0].words == ()


def test_nothing_to_merge() -> None:
    """No subtitle is no track."""
    with pytest.raises(MpsConfigError, match="no subtitles"):
        merge([])


times = st.integers(0, 20).map(lambda number: number / 4)
tracks = st.lists(st.tuples(times, times, st.text("abc", min_size=1, max_size=3)), max_size=6)


@given(first=tracks, second=tracks)
def test_nothing_is_lost(first: list[tuple[float, float, str]], second: list[tuple[float, float, str]]) -> None:
    """Every line of every track is in the merged one, whose segments stand in order."""
    tracks = [_subtitle("x", None, *(Segment(*line) for line in lines)) for lines in (first, second)]
    merged = merge(tracks).segments
    assert {line for segment in merged for line in segment.text.splitlines()} == {text for _, _, text in first + second}
    assert [segment.start for segment in merged] == sorted(segment.start for segment in merged)
    assert len(merged) >= len(first)
