"""Anchor files: anchors can be read again, and an invalid line is reported with its number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.domain.audit.anchors import parse_anchors, parse_last_anchor, serialize_anchor, torn_lines
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured

AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
ONE, TWO = ChainHead(12, "a" * 64), ChainHead(40, "b" * 64)


def test_an_anchor_is_one_line_of_json_in_utc() -> None:
    line = serialize_anchor(ONE, AT.astimezone(timezone(timedelta(hours=2))))
    assert line == f'{{"at":"2026-05-04T12:30:00Z","number":12,"hash":"{"a" * 64}"}}\n'


def test_anchors_are_sorted_by_number() -> None:
    found = parse_anchors(serialize_anchor(TWO, AT) + "\n" + serialize_anchor(ONE, AT), "here")
    assert [(one.number, one.hash, one.at) for one in found] == [(12, ONE.hash, AT), (40, TWO.hash, AT)]


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_a_file_without_anchors_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"“here” has no anchors"):
        parse_anchors(text, "here")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("garbled", "JSON"),
        ('{"at":"2026-05-04T12:30:00Z","number":12,"ha{"at":"2026"}', "JSON"),
        ('{"number":12,"at":"2026', "JSON"),
        ("[]", "Line 2"),
        ('{"number":12}', "at"),
        (serialize_anchor(ONE, AT).replace("12,", '"12",'), "number"),
        (serialize_anchor(ONE, AT).replace("12,", "0,"), "number"),
        (serialize_anchor(ONE, AT).replace("aaaa", "A"), "hash"),
        (serialize_anchor(ONE, AT).replace("00Z", "00"), "at"),
        (serialize_anchor(ONE, AT).replace('"hash"', '"hush"'), "hash"),
    ],
)
def test_an_invalid_line_is_reported_with_its_number(line: str, what: str) -> None:
    with pytest.raises(Misconfigured, match=r"Line 2 of “here” isn't an anchor") as caught:
        parse_anchors(serialize_anchor(ONE, AT) + line.strip(), "here")
    assert what in str(caught.value)


LINE, NEXT = serialize_anchor(ONE, AT), serialize_anchor(TWO, AT)
CUTS = [*(LINE[:at] for at in range(1, len(LINE) - 1)), LINE[:20] + "\0\0", "\0\0"]


@pytest.mark.parametrize("after", ["", "\n"], ids=["at the end", "before a newline"])
def test_a_torn_last_line_is_skipped_and_reported_wherever_it_was_cut(after: str) -> None:
    for cut in CUTS:
        text = LINE + cut + after
        assert [anchor.number for anchor in parse_anchors(text, "here")] == [12]
        assert parse_last_anchor(text, "here").number == 12
        assert torn_lines(text) == [2]


def test_a_torn_line_before_later_anchors_is_skipped_and_reported() -> None:
    text = LINE + NEXT[:30] + "\n" + NEXT
    assert [anchor.number for anchor in parse_anchors(text, "here")] == [12, 40]
    assert torn_lines(text) == [2]


def test_a_last_line_that_lacks_only_its_newline_counts() -> None:
    text = LINE + NEXT.rstrip()
    assert parse_last_anchor(text, "here").number == 40
    assert torn_lines(text) == []


def test_a_file_with_only_a_torn_line_has_no_anchors() -> None:
    with pytest.raises(Misconfigured, match=r"“here” has no anchors"):
        parse_anchors(LINE[:30], "here")
