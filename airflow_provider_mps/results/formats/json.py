"""JSON: everything that is known of a subtitle, whatever its style. ``Subtitle.model_validate_json`` reads it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from airflow_provider_mps.results.segments import Segment, as_plain

_PIECE = 500  # segments that are encoded at once


def json_pieces(head: str, segments: Sequence[Segment]) -> Iterator[str]:
    """
    The text of a JSON object, in pieces: a long subtitle is never in memory as one text.

    :param head: the object without its segments.
    """
    yield f'{head[:-1]},"segments":['
    for first in range(0, len(segments), _PIECE):
        piece = msgspec.json.encode(as_plain(segments[first : first + _PIECE])).decode()
        yield ("," if first else "") + piece[1:-1]
    yield "]}"
