"""What MPS echoes holds keys and signed addresses: none leaves this package."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.errors import MpsTaskError
from airflow_provider_mps.results.redaction import mask_address, mask_urls, secrets_in, without_secrets
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.walk import ECHOES
from tests.support.answers import image_success, successes

CANARY = "CANARY-51ab"
SIGNED = f"https://user:{CANARY}@media.invalid/a/b.mp4?q-sign={CANARY}&x=1#{CANARY}"
SECRET_FIELDS = {"NotifyKey", "S3SecretId", "S3SecretKey"}
LANGUAGES_ASKED_FOR = {"VideoSrcLanguage", "TranslateDstLanguage"}  # all that is ever taken from an echo
ADDRESS = re.compile(r"\w*(Path|Paths|PathSet|Url)|VoiceClonedVideo|VoiceClonedMarkFile|Message")


def _with_canaries(value: Any, key: str = "", *, echo: bool = False) -> Any:
    """Put the canary into every key and echo, and a signed address into every field that can hold an address."""
    if isinstance(value, dict):
        return {name: _with_canaries(inner, name, echo=echo or name in ECHOES) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_canaries(inner, key, echo=echo) for inner in value]
    if isinstance(value, str) and (echo or key in SECRET_FIELDS) and key not in LANGUAGES_ASKED_FOR:
        return CANARY
    return SIGNED if isinstance(value, str) and ADDRESS.fullmatch(key) else value


ANSWERS = {name: _with_canaries(answer) for name, answer in (successes() | {"image": image_success()}).items()}


def _failed(value: Any) -> Any:
    """The same answer with a failure and a signed address in each message."""
    if isinstance(value, dict):
        changed = {name: _failed(inner) if name not in ECHOES else inner for name, inner in value.items()}
        return changed | ({"Status": "FAIL", "Message": SIGNED} if "ErrCodeExt" in value else {})
    return [_failed(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.fault("F55")
@pytest.mark.parametrize("name", ANSWERS)
def test_no_secret_leaves_with_a_result(name: str) -> None:
    """Keys, echoes and signed addresses, wherever they can stand, are in nothing that is passed on or logged."""
    assert CANARY in json.dumps(ANSWERS[name])
    for body in (ANSWERS[name], _failed(ANSWERS[name])):
        detail = TaskDetail.of(body, is_image=name == "image")
        told = [repr(detail), str(detail), detail.summary, detail.model_dump_json(), repr(detail.verdict)]
        try:
            detail.raise_for_failure("t")
        except MpsTaskError as error:
            told += [str(error), repr(error), repr(error.__dict__)]
        result = MpsTaskResult.of(detail, "t")
        told += [repr(result), json.dumps(result.as_json()), logging.Formatter().format(_record(detail))]
        assert [text for text in told if CANARY in text] == []


def _record(detail: TaskDetail) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (detail, detail), None)


def test_the_test_above_looks_at_many_places() -> None:
    """The canary stands in hundreds of places, secret fields and echoes among them."""
    assert json.dumps(ANSWERS["WorkflowTask"]).count(CANARY) > 500
    for field in SECRET_FIELDS | ECHOES - {"InputInfos", "ImageTask"}:
        assert any(f'"{field}"' in json.dumps(answer) for answer in ANSWERS.values())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://host/a.mp4?sign=x", "https://host/a.mp4"),
        ("https://host/a.mp4#x", "https://host/a.mp4"),
        ("https://user:pass@host:8443/a?x", "https://host:8443/a"),
        ("https://user@host/a", "https://host/a"),
        ("HTTPS://HOST/A?SIGN=X", "HTTPS://HOST/A"),
        ("cos://b-1/a.mp4?versionId=x", "cos://b-1/a.mp4"),
        ("get https://h/a?x and http://h/b?y now", "get https://h/a and http://h/b now"),
        ('{"u":"https://h/a?x"}', '{"u":"https://h/a"}'),
        ("<https://h/a?x>", "<https://h/a>"),
        ("https://host?sign=x", "https://host"),
        ("rtmp://push.host/live/stream?txSecret=x&txTime=y", "rtmp://push.host/live/stream"),
        ("proxy http://u:p%40ss@proxy:3128 failed", "proxy http://proxy:3128 failed"),
        ('see https://h/a?x="SECRET"&y=1 there', "see https://h/a there"),
        ('GET "https://h/a?x="SECRET"" failed', 'GET "https://h/a" failed'),
        ("GET 'https://h/a?x=\"SECRET\"', then", "GET 'https://h/a', then"),
        ('https://h/a"b?sign=SECRET', 'https://h/a"b'),
        ('{"a":"https://h/a","b":"why?"}', '{"a":"https://h/a","b":"why?"}'),
        (r'{"j": "{\"u\": \"https://h/a?x=\\\"S\", \"k\": 1}"}', r'{"j": "{\"u\": \"https://h/a\", \"k\": 1}"}'),
        ('<a href="https://h/a?x">text</a>', '<a href="https://h/a">text</a>'),
        ("GET /a.mp4?q-sign-algorithm=sha1&q-ak=SECRET failed", "GET /a.mp4 failed"),
        ("/a?.mp4 and what?x=1", "/a?.mp4 and what?x=1"),
        ("https://u:p@ss@host/a", "https://host/a"),
        ("no address: why? because #1", "no address: why? because #1"),
        ("mail me@host", "mail me@host"),
        ("https://host/a@b.mp4", "https://host/a@b.mp4"),
        ("", ""),
    ],
)
def test_an_address_is_cut_before_its_secrets(text: str, masked: str) -> None:
    """Query, fragment and user name go, in any scheme and anywhere in a sentence; the rest stays readable."""
    assert mask_urls(text) == masked
    assert mask_urls(masked) == masked


@given(
    before=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    path=st.text(st.sampled_from("abc/.-_%~"), max_size=8),
    mark=st.sampled_from("?#"),
    secret=st.text(st.sampled_from("abc123=&%+/?#:@-_.~!$*,;()[]'\"<>{}\\"), max_size=20),
    user=st.sampled_from(["", f"{CANARY}@", f"user:{CANARY}@"]),
)
def test_nothing_after_the_mark_survives(before: str, path: str, mark: str, secret: str, user: str) -> None:
    """Whatever a query is made of, no part of it is left."""
    assert CANARY not in mask_urls(f"{before} https://{user}host/{path}{mark}{secret}{CANARY}{secret}")


@given(secret=st.text(max_size=20), kept=st.text(st.sampled_from('abc ,:{}"\\'), max_size=10))
def test_a_json_text_stays_json(secret: str, kept: str) -> None:
    """An address in a JSON text, as MPS nests them in strings, loses its query and nothing else goes with it."""
    signed = "".join(secret.split())
    text = json.dumps({"u": f"https://host/a?{signed}{CANARY}", "k": kept, "n": 1})
    assert json.loads(mask_urls(text)) == {"u": "https://host/a", "k": kept, "n": 1}


@given(text=st.text(st.sampled_from("ab/:?#@\"' <>=&sign"), max_size=40).map("https://h/a?".__add__))
def test_a_text_that_is_an_address_is_cut_as_a_whole(text: str) -> None:
    """Blanks and quotes end nothing there."""
    assert mask_address(text + CANARY) == "https://h/a"


@pytest.mark.parametrize(
    "piece",
    ["http://", "?", "a?", "?sign", "?=sign", "a.", '"', '"x', "://?", "x://@", '\\\\"', "https://u:p@h/a?b#c "],
)
def test_no_text_takes_long(piece: str) -> None:
    """A message is as long as MPS likes; whatever it is made of, a character is looked at a few times only."""
    text = f"see {piece * (200_000 // len(piece))}://h"
    began = time.process_time()
    mask_urls(text)
    mask_address(text)
    assert all(secrets_in(text))
    assert time.process_time() - began < 2


def test_a_json_value_without_secrets() -> None:
    """Keys and echoes are dropped at any depth, addresses cut, all else is kept and nothing changed in place."""
    value = {
        "Status": "FINISH",
        "TaskNotifyConfig": {"NotifyKey": CANARY},
        "List": [{"Input": CANARY, "S3SecretKey": CANARY, "Url": SIGNED, "N": 1}, (SIGNED, None, True)],
        "Token": CANARY,
    }
    assert without_secrets(value) == {
        "Status": "FINISH",
        "List": [{"Url": "https://media.invalid/a/b.mp4", "N": 1}, ["https://media.invalid/a/b.mp4", None, True]],
    }
    assert value["Token"] == CANARY


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ({"NotifyKey": "key-1", "NotifyUrl": "https://host/x?token=abc"}, ["key-1", "token=abc"]),
        ({"S3InputInfo": {"S3SecretId": "id-1", "S3SecretKey": "key-1", "S3Bucket": "b"}}, ["id-1", "key-1"]),
        ([{"Url": "https://user:pass@host/a.mp4?q-sign=1#part"}], ["q-sign=1#part", "user:pass"]),
        ({"ExtInfo": 'see "https://a/b?x=1" and https://c/d?y=2 there'}, ["x=1", "y=2"]),
        ({"Url": "https://[broken?sign=1"}, ["sign=1"]),
        ({"NotifyKey": "", "Token": None, "SecretKey": 5, "Url": "https://git@host/a", "Text": "why? so"}, []),
        ("https://host/a?", []),
        (None, []),
    ],
)
def test_the_secrets_of_a_request_are_known(value: Any, secrets: list[str]) -> None:
    """What a user interface masks before it shows a request: exactly what the rest of this module takes out."""
    assert list(secrets_in(value)) == secrets


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.text().map("https://u:p@h/a?{}".format),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["NotifyKey", "Url", "X"]), inner, max_size=3)
        ),
    )
)
def test_any_request_can_be_searched(value: Any) -> None:
    """Whatever stands in a request, looking for its secrets ends with texts that are not empty."""
    assert all(isinstance(secret, str) and secret for secret in secrets_in(value))
