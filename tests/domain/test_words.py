"""What people read: who has to do what, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.domain import words
from bot.domain.approvals import Request
from bot.domain.people import Person
from bot.domain.registry import Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
REQUEST = Request(
    id="r4k7q", model="churn", version=4, from_stage=Stage.NONE, target=Stage.PRODUCTION, incumbent=3,
    requester=Person("T1", "UALICE"), reason="", required=1, opened_at=NOW, expires_at=NOW,
)  # fmt: skip


def test_who_asked_hears_where_the_card_is_and_who_can_decide() -> None:
    told = str(words.asked(REQUEST, "#churn", ["UBOB", "UCAROL"]))
    assert "The card is in #churn; one of @UBOB, @UCAROL has to approve." in told


def test_two_of_several_have_to() -> None:
    assert "2 of @UBOB, @UCAROL have to" in str(words.asked(replace(REQUEST, required=2), "#churn", ["UBOB", "UCAROL"]))


def test_a_crowd_is_counted_after_six() -> None:
    told = str(words.asked(REQUEST, "#churn", [f"U{number}" for number in range(9)]))
    assert "@U5, 3 more has to" in told


def test_nobody_to_decide_is_said() -> None:
    assert "nobody else that the policy names" in str(words.asked(REQUEST, "#churn", []))


def test_a_first_version_replaces_nothing() -> None:
    assert str(words.path(replace(REQUEST, incumbent=None))) == "nothing → v4 in Production"
