"""The invented content of every file: one set of metadata and a few sentences."""

from __future__ import annotations

from typing import Any

LINES = (
    ("欢迎收看今天的节目。", "Welcome to today's programme."),
    ("我们先来看看这座城市的早晨。", "Let us first look at the city in the morning."),
    ("街上的人还不多。", "There are not many people in the streets yet."),
    ("面包店已经开门了。", "The bakery is already open."),
    ("空气里有咖啡的香味。", "The air smells of coffee."),
    ("列车准时进站。", "The train arrives on time."),
    ("请注意脚下的台阶。", "Please mind the step."),
    ("孩子们在公园里放风筝。", "Children are flying kites in the park."),
    ("下午可能会下雨。", "It may rain in the afternoon."),
    ("大家都带了伞。", "Everybody has brought an umbrella."),
    ("晚上的灯光特别好看。", "The lights at night are especially beautiful."),
    ("谢谢观看，我们明天再见。", "Thank you for watching. See you tomorrow."),
)
DURATION = 372.5


def metadata() -> dict[str, Any]:
    """Return a MediaMetaData object."""
    return {
        "Size": 86_213_004,
        "Container": "mov,mp4,m4a,3gp,3g2,mj2",
        "Bitrate": 1_851_558,
        "Height": 1080,
        "Width": 1920,
        "Duration": DURATION,
        "Rotate": 0,
        "VideoDuration": DURATION,
        "AudioDuration": DURATION - 0.04,
        "VideoStreamSet": [
            {
                "Bitrate": 1_723_561,
                "Height": 1080,
                "Width": 1920,
                "Codec": "h264",
                "Fps": 25,
                "ColorPrimaries": "bt709",
                "ColorSpace": "bt709",
                "ColorTransfer": "bt709",
                "HdrType": "sdr",
                "Codecs": "avc1.640028",
                "FpsNumerator": 0,
                "FpsDenominator": 0,
            }
        ],
        "AudioStreamSet": [
            {
                "Bitrate": 127_997,
                "SamplingRate": 48000,
                "Codec": "aac",
                "Channel": 2,
                "Codecs": "mp4a.40.2",
                "Loudness": -16.2,
            }
        ],
    }


def segments(count: int, *, translated: bool, words: bool) -> list[dict[str, Any]]:
    """Return ``count`` sentences of 2.4 seconds, one every 3 seconds."""
    return [_segment(index, translated=translated, words=words) for index in range(count)]


def _segment(index: int, *, translated: bool, words: bool) -> dict[str, Any]:
    text, translation = LINES[index % len(LINES)]
    start = index * 3.0
    step = 2.4 / len(text)
    segment: dict[str, Any] = {
        "Confidence": 99,
        "StartTimeOffset": start,
        "EndTimeOffset": start + 2.4,
        "Text": text,
        "Wordlist": [
            {"Word": word, "Start": round(start + i * step, 3), "End": round(start + (i + 1) * step, 3)}
            for i, word in enumerate(text)
        ]
        if words
        else [],
        "SpeakerId": str(index % 2 + 1),
    }
    return segment | ({"Trans": translation} if translated else {})
