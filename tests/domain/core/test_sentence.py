"""Sentences keep template and values apart, and remove invisible characters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import (
    Code,
    Mention,
    Name,
    Sentence,
    pack_sentence,
    sanitize_text,
    say,
    to_plain_text,
    truncate,
    unpack_sentence,
)
from bot.slack.core.blocks import to_mrkdwn

WORDS = st.text(max_size=20)
TIMES = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
VALUES = st.one_of(
    WORDS, WORDS.map(Name), WORDS.map(Code), WORDS.map(Mention), st.integers(), TIMES, st.lists(WORDS.map(Mention))
)
SENTENCES = st.recursive(
    st.builds(lambda one, two: say("{one} and {two}.", one=one, two=two), VALUES, VALUES),
    lambda inner: st.builds(lambda one, two: say("{one}: {two}", one=one, two=two), inner, VALUES),
    max_leaves=3,
)


@given(SENTENCES)
def test_a_packed_sentence_is_unpacked_with_all_its_parts(sentence: Sentence) -> None:
    back = unpack_sentence(json.loads(json.dumps(pack_sentence(sentence))))
    assert back == sentence


@given(SENTENCES)
def test_a_packed_sentence_reads_the_same_in_slack(sentence: Sentence) -> None:
    assert to_mrkdwn(unpack_sentence(pack_sentence(sentence))) == to_mrkdwn(sentence)


@pytest.mark.parametrize("packed", [{"template": "x", "args": []}, {"template": "{a}", "args": {"a": "bare"}}])
def test_invalid_data_is_not_unpacked(packed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        unpack_sentence(packed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Name("churn"), "“churn”"),
        (Code("approve r4k7q"), "approve r4k7q"),
        (Mention("U02BOB"), "@U02BOB"),
        (datetime(2026, 5, 4, 12, 30, tzinfo=UTC), "2026-05-04 12:30 UTC"),
        (say("{n} people", n=2), "2 people"),
        (7, "7"),
    ],
)
def test_every_kind_of_value_renders_as_plain_text(value: object, shown: str) -> None:
    assert to_plain_text(value) == shown


def test_several_values_are_joined_with_commas() -> None:
    assert str(say("Ask {who}.", who=[Mention("U1"), Mention("U2")])) == "Ask @U1, @U2."


def test_braces_in_values_are_plain_text() -> None:
    assert str(say("{name} is gone.", name=Name("{secret} {0}"))) == "“{secret} {0}” is gone."


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("a\u202eb", "ab"),  # right-to-left override
        ("a\u2066b\u2069c", "abc"),  # isolates
        ("a\u200bb\u2060c\ufeffd", "abcd"),  # zero width
        ("a\x00\x07\x1b[31mb", "a[31mb"),  # control characters, escape sequences
        ("a\u00adb", "ab"),  # soft hyphen
        ("a\ud800b", "ab"),  # half a character
        ("two\r\nlines\u2028three\ttabs", "two lines three tabs"),
    ],
)
def test_invisible_characters_are_removed(given: str, seen: str) -> None:
    assert sanitize_text(given) == seen


@pytest.mark.parametrize("text", ["café", "模型", "👩‍👩‍👧", "e\u0301", "مرحبا"])
def test_visible_text_is_kept(text: str) -> None:
    assert sanitize_text(text) == text


@given(st.text())
def test_sanitizing_twice_changes_nothing(text: str) -> None:
    assert sanitize_text(sanitize_text(text)) == sanitize_text(text)


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_truncated_text_is_never_too_long(text: str, most: int) -> None:
    assert len(truncate(text, most)) <= most


def test_truncated_text_ends_with_an_ellipsis() -> None:
    assert truncate("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 models"), (1, "1 model"), (2, "2 models"), (1000, "1,000 models")], ids=str
)
def test_a_count_of_one_is_singular(number: int, said: str) -> None:
    assert pluralize(number, "model") == said


def test_an_irregular_plural_can_be_given() -> None:
    assert [pluralize(n, "does not answer", "do not answer") for n in (1, 2)] == [
        "1 does not answer",
        "2 do not answer",
    ]
