"""Segments and words: read in one go, written as plain JSON, and the same when read back."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.segments import Segment, Word, as_plain, read_segments
from airflow_provider_mps.results.subtitles import Subtitle

numbers = st.floats(-1e12, 1e12) | st.integers(0, 1000)
words = st.builds(Word, st.text(max_size=4), st.none() | numbers, st.none() | numbers, st.none() | st.text(max_size=4))
segments = st.builds(
    Segment,
    numbers,
    numbers,
    st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.none() | numbers,
    st.none() | st.text(max_size=3),
    st.lists(words, max_size=2).map(tuple),
)


@given(given=st.lists(segments, max_size=4).map(tuple))
def test_what_is_pushed_is_read_back(given: tuple[Segment, ...]) -> None:
    """A subtitle survives JSON, and the JSON fits the schema that its model tells."""
    pushed = json.loads(json.dumps(Subtitle(segments=given).model_dump(mode="json"), allow_nan=False))
    assert Subtitle.model_validate(pushed).segments == given
    assert pushed["segments"] == json.loads(json.dumps(as_plain(given)))
    jsonschema.validate(pushed, Subtitle.model_json_schema(mode="serialization"))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (5, 5.0),
        ("1.5", 1.5),
        (None, 0.0),
        (math.nan, 0.0),
        (math.inf, 0.0),
        (10**400, 0.0),
        (True, 0.0),
        ([], 0.0),
        ("\ud83d", 0.0),
    ],
    ids=lambda value: f"{value!r:.8}",
)
def test_a_wrong_time_is_absent(value: Any, read: float) -> None:
    """Numbers may come as text; what is no number, or none that JSON knows, counts as absent, and it alone."""
    line = {"StartTimeOffset": value, "Text": "a", "Wordlist": [{"Word": "a", "Start": value}, None, "a"]}
    [segment] = read_segments([line])
    assert (segment.start, segment.text, segment.words[0].text) == (read, "a", "a")
    assert segment.words[0].start == (read or None)


def test_half_a_surrogate_pair() -> None:
    """It may stand in any text, and is no reason to lose the others."""
    assert read_segments([{"Text": "\ud83d", "SpeakerId": "\ud83d", "StartTimeOffset": "1"}, {"Text": "b"}]) == (
        Segment(start=1.0, text="\ud83d", speaker="\ud83d"),
        Segment(text="b"),
    )


def test_a_number_where_a_text_belongs() -> None:
    """SpeakerId is documented as text; a number is read as one."""
    assert read_segments([{"SpeakerId": 2, "Text": 3.5}]) == (Segment(speaker="2", text="3.5"),)
