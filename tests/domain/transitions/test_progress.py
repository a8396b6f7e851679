"""The line that says how far a promotion or a rollback has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage
from bot.domain.transitions.progress import progress_line
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

NOW = datetime(2026, 5, 4, 11, 23, tzinfo=UTC)
PROMOTION = Transition(
    id="promotion:r4k7q",
    kind=TransitionKind.PROMOTION,
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    expected_incumbent=6,
    actor=Person("T1", "UBOB"),
    intended_at=NOW,
    request="r4k7q",
)
CHECK = ServingCheck(move=PROMOTION.id, model="churn", version=7, lane="r4k7q", asked_at=NOW)
VERIFIED = "✓ Approved  ·  ✓ Moved  ·  ✓ Verified in MLflow"


@pytest.mark.parametrize(
    ("state", "why", "said"),
    [
        (TransitionState.INTENDED, "", "✓ Approved  ·  ⏳ Moving"),
        (TransitionState.EXECUTING, "", "✓ Approved  ·  ⏳ Moving"),
        (TransitionState.INTENDED, "MLflow isn't responding.", "✓ Approved  ·  ⏳ MLflow isn't responding."),
        (TransitionState.DONE, "", VERIFIED),
        (TransitionState.STALE, "v5 is there", "✓ Approved  ·  ✗ Not moved"),
        (TransitionState.FAILED, "no", "✓ Approved  ·  ✗ Not moved"),
    ],
)
def test_a_promotion_shows_each_step_or_what_it_waits_for(state: TransitionState, why: str, said: str) -> None:
    assert str(progress_line(replace(PROMOTION, state=state, why=why))) == said


@pytest.mark.parametrize(
    ("state", "seen", "said"),
    [
        (ServingCheckState.PENDING, "6", "⏳ Waiting for the endpoint to report v7"),
        (ServingCheckState.CONFIRMED, "7", "✓ Serving since 2026-05-04 11:23 UTC"),
        (ServingCheckState.TIMED_OUT, "6", "⚠️ Not confirmed: the endpoint last reported 6"),
        (ServingCheckState.TIMED_OUT, "", "⚠️ Not confirmed by the endpoint"),
        (ServingCheckState.SUPERSEDED, "6", "Production has changed again"),
    ],
)
def test_a_moved_version_is_followed_until_it_serves(state: ServingCheckState, seen: str, said: str) -> None:
    check = replace(CHECK, state=state, seen=seen, confirmed_at=NOW)
    moved = replace(PROMOTION, state=TransitionState.DONE)
    assert str(progress_line(moved, check)) == f"{VERIFIED}  ·  {said}"


@pytest.mark.parametrize("kind", [TransitionKind.ROLLBACK, TransitionKind.BREAK_GLASS])
def test_only_what_was_approved_says_so(kind: TransitionKind) -> None:
    moved = replace(PROMOTION, kind=kind, state=TransitionState.DONE)
    assert str(progress_line(moved)) == "✓ Moved  ·  ✓ Verified in MLflow"
