"""Changes since a request was opened, according to Registrar's history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.core.actors import Automation, Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.changes_since_opened import change_since_opened
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from tests.support.domain.requests import REQUEST

BEFORE, AFTER = REQUEST.opened_at - timedelta(minutes=1), REQUEST.opened_at + timedelta(minutes=1)
OURS = replace(REQUEST, version=4, incumbent=3, from_stage=Stage.NONE, target=Stage.PRODUCTION, keep_existing=False)
EMPTY = replace(OURS, incumbent=None)
KEEPS = replace(OURS, keep_existing=True)
TO_STAGING = replace(OURS, target=Stage.STAGING, incumbent=2)
P, S, A, N = Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED, Stage.NONE
OBSERVED: dict[str, Any] = {"kind": TransitionKind.OBSERVED}


def move(version: int, was: Stage, now: Stage, **more: Any) -> Transition:
    """Return a completed transition of another request, made after this one was opened."""
    fields: dict[str, Any] = {
        "kind": TransitionKind.PROMOTION,
        "state": TransitionState.DONE,
        "finished_at": AFTER,
        "request": "r9",
    }
    return Transition(
        id="m1",
        model=REQUEST.model,
        version=version,
        from_stage=was,
        target=now,
        expected_incumbent=None,
        actor=Person("T1", "UBOB"),
        intended_at=BEFORE,
        **(fields | more),
    )


NEWS: dict[str, tuple[Request, Transition]] = {
    "another version came in": (OURS, move(5, N, P)),
    "a rollback came in": (OURS, move(3, A, P, kind=TransitionKind.ROLLBACK)),
    "a version left": (OURS, move(3, P, S)),
    "its version moved elsewhere": (OURS, move(4, N, A, kind=TransitionKind.ARCHIVE)),
    "its version moved, and others stay": (KEEPS, move(4, N, P, kind=TransitionKind.BREAK_GLASS)),
    "staging changed": (TO_STAGING, move(5, S, P)),
    "found in MLflow: another version": (OURS, move(5, N, P, **OBSERVED)),
    "found in MLflow: its version": (OURS, move(4, N, P, **OBSERVED)),
    "found in MLflow: its version, and others stay": (KEEPS, move(4, N, P, **OBSERVED)),
    "found in MLflow: its version, requested for Staging": (TO_STAGING, move(4, N, P, **OBSERVED)),
    "found in MLflow: the incumbent left": (OURS, move(3, P, A, **OBSERVED)),
}
NO_NEWS: dict[str, tuple[Request, Transition]] = {
    "before it was opened": (OURS, move(5, N, P, finished_at=BEFORE)),
    "at that moment": (OURS, move(5, N, P, finished_at=REQUEST.opened_at)),
    "its own move": (OURS, move(4, N, P, request=REQUEST.id)),
    "a repair": (OURS, move(3, P, P, kind=TransitionKind.REPAIR, request=None)),
    "it failed": (OURS, move(5, N, P, state=TransitionState.FAILED)),
    "it came to nothing": (OURS, move(5, N, P, state=TransitionState.STALE)),
    "it isn't finished": (OURS, move(5, N, P, state=TransitionState.EXECUTING, finished_at=None)),
    "another stage": (OURS, move(5, N, S)),
    "another version, and others stay": (KEEPS, move(5, N, P)),
    "found in MLflow: the incumbent of that time": (OURS, move(3, N, P, **OBSERVED)),
    "found in MLflow: an empty stage, as known": (EMPTY, move(3, P, A, **OBSERVED)),
    "found in MLflow: its version left before": (EMPTY, move(4, P, A, **OBSERVED)),
    "found in MLflow: another version, and others stay": (KEEPS, move(5, N, P, **OBSERVED)),
    "found in MLflow: its version left Production, requested for Staging": (
        TO_STAGING,
        move(4, P, A, **OBSERVED),
    ),
}


@pytest.mark.parametrize(("request_", "made"), NEWS.values(), ids=NEWS)
def test_a_relevant_change_makes_a_request_outdated(request_: Request, made: Transition) -> None:
    why = change_since_opened(request_, [made], [])
    assert why is not None
    assert f"v{made.version} moved from" in str(why)


@pytest.mark.parametrize(("request_", "made"), NO_NEWS.values(), ids=NO_NEWS)
def test_an_irrelevant_change_leaves_a_request_pending(request_: Request, made: Transition) -> None:
    assert change_since_opened(request_, [made], []) is None


@pytest.mark.parametrize(
    ("version", "at", "is_news"),
    [(4, AFTER, True), (4, BEFORE, False), (5, AFTER, False)],
    ids=["its version, afterward", "its version, before", "another version"],
)
def test_a_later_rollback_of_the_version_makes_a_request_outdated(version: int, at: Any, is_news: bool) -> None:
    bar = RollbackBlock(
        id="b1", model=REQUEST.model, version=version, move="m1", at=at, by=Automation("monitor"), reason="bad"
    )
    assert (change_since_opened(OURS, [], [bar]) is not None) is is_news
