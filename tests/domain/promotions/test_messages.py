"""Messages about requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.sentence import Mention, MessageLink, say
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


def test_a_requester_reads_where_the_card_is_and_who_it_is_waiting_for() -> None:
    told = str(
        promotion_messages.request_confirmation(
            REQUEST, MessageLink("r4k7q", "#churn", "See the card"), say("Waiting for {who}.", who=Mention("UBOB"))
        )
    )
    assert told == "Requested “churn” v3 → v4 in Production as r4k7q. Waiting for @UBOB. See the card in #churn."


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage.STAGING, "v4: Staging → Production"),
        (Stage.ARCHIVED, "v4: Archived → Production"),
        (Stage.NONE, "v4 → Production"),
    ],
)
def test_a_change_of_an_empty_stage_shows_the_version_s_own_transition(stage: Stage, said: str) -> None:
    assert str(promotion_messages.describe_change(replace(REQUEST, incumbent=None, from_stage=stage))) == said


def test_a_cancellation_says_who_canceled_and_why() -> None:
    cancelled = replace(REQUEST, state=RequestState.CANCELLED, decided_by=Person("T1", "UDAVE"))
    assert str(promotion_messages.outcome_announcement(cancelled)) == "@UDAVE canceled “churn” v3 → v4 in Production."
    why = replace(cancelled, outcome="wrong version")
    assert (
        str(promotion_messages.outcome_announcement(why))
        == "@UDAVE canceled “churn” v3 → v4 in Production: wrong version."
    )
