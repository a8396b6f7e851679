"""What people read: who has to do what, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.sentence import Mention, say
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=4,
    from_stage=Stage.NONE,
    target=Stage.PRODUCTION,
    incumbent=3,
    requester=Person("T1", "UALICE"),
    reason="",
    required=1,
    opened_at=NOW,
    expires_at=NOW,
)


def test_who_asked_hears_where_the_card_is_and_whom_it_waits_for() -> None:
    told = str(
        promotion_messages.request_confirmation(REQUEST, "#churn", say("Waiting for {who}.", who=Mention("UBOB")))
    )
    assert told == "Requested “churn” v3 → v4 in Production: r4k7q in #churn. Waiting for @UBOB."


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage.STAGING, "v4: Staging → Production"),
        (Stage.ARCHIVED, "v4: Archived → Production"),
        (Stage.NONE, "v4 → Production"),
    ],
)
def test_a_move_into_an_empty_stage_reads_as_the_version_s_own_way(stage: Stage, said: str) -> None:
    assert str(promotion_messages.describe_change(replace(REQUEST, incumbent=None, from_stage=stage))) == said


def test_a_cancellation_names_who_and_why() -> None:
    cancelled = replace(REQUEST, state=RequestState.CANCELLED, decided_by=Person("T1", "UDAVE"))
    assert str(promotion_messages.outcome_announcement(cancelled)) == "@UDAVE cancelled “churn” v3 → v4 in Production."
    why = replace(cancelled, outcome="wrong version")
    assert (
        str(promotion_messages.outcome_announcement(why))
        == "@UDAVE cancelled “churn” v3 → v4 in Production: wrong version."
    )
