"""Anchor files: what is written can be read, and what is no anchor is told with its line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.domain.audit.anchors import read_anchors, write_anchor
from bot.domain.audit.events import Head
from bot.domain.core.errors import Misconfigured

AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
ONE, TWO = Head(12, "a" * 64), Head(40, "b" * 64)


def test_an_anchor_is_one_line_of_json_in_utc() -> None:
    line = write_anchor(ONE, AT.astimezone(timezone(timedelta(hours=2))))
    assert line == f'{{"at":"2026-05-04T12:30:00Z","number":12,"hash":"{"a" * 64}"}}\n'


def test_anchors_are_read_by_number_whatever_their_order() -> None:
    found = read_anchors(write_anchor(TWO, AT) + "\n" + write_anchor(ONE, AT), "here")
    assert [(one.number, one.hash, one.at) for one in found] == [(12, ONE.hash, AT), (40, TWO.hash, AT)]


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_a_file_without_an_anchor_is_told(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"“here” is empty"):
        read_anchors(text, "here")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("garbled", "JSON"),
        ('{"at":"2026-05-04T12:30:00Z","number":12,"ha', "JSON"),
        ("[]", "Line 2"),
        ('{"number":12}', "at"),
        (write_anchor(ONE, AT).replace("12,", '"12",'), "number"),
        (write_anchor(ONE, AT).replace("12,", "0,"), "number"),
        (write_anchor(ONE, AT).replace("aaaa", "A"), "hash"),
        (write_anchor(ONE, AT).replace("00Z", "00"), "at"),
        (write_anchor(ONE, AT).replace('"hash"', '"hush"'), "hash"),
    ],
)
def test_a_line_that_is_no_anchor_is_told_with_its_number(line: str, what: str) -> None:
    with pytest.raises(Misconfigured, match=r"Line 2 of “here” is no anchor") as caught:
        read_anchors(write_anchor(ONE, AT) + line.strip(), "here")
    assert what in str(caught.value)
