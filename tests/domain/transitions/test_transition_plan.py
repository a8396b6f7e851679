"""The next step of a transition, given the registry's current state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.transitions.transition import (
    Transition,
    TransitionFacts,
    TransitionKind,
    TransitionStep,
    is_in_place,
    plan_transition,
    stage_incumbent,
)

MOVE = Transition(
    id="promotion:r4k7q",
    kind=TransitionKind.PROMOTION,
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    expected_incumbent=5,
    actor=Person("T1", "U1"),
    intended_at=datetime(2026, 5, 4, 12, tzinfo=UTC),
)
KEEPING = replace(MOVE, keep_existing=True)
RESTORING = replace(MOVE, kind=TransitionKind.ROLLBACK, expected_incumbent=None)  # after Production was emptied


def now(
    *, production: tuple[int, ...] = (), staging: tuple[int, ...] = (), none: tuple[int, ...] = ()
) -> TransitionFacts:
    stages = {Stage.PRODUCTION: production, Stage.STAGING: staging, Stage.NONE: none}
    found = [
        VersionInfo(model="churn", version=one, stage=stage) for stage, numbers in stages.items() for one in numbers
    ]
    return TransitionFacts(versions=tuple(found))


@pytest.mark.parametrize(
    ("move", "facts", "step"),
    [
        pytest.param(
            MOVE,
            now(production=(5,), staging=(7,)),
            TransitionStep.SET_STAGE_AND_ALIAS,
            id="unchanged since the request",
        ),
        pytest.param(MOVE, now(production=(7,)), TransitionStep.SET_ALIAS, id="an earlier attempt moved it"),
        pytest.param(
            MOVE,
            now(production=(7, 5)),
            TransitionStep.SET_STAGE_AND_ALIAS,
            id="it shares the stage with the incumbent",
        ),
        pytest.param(KEEPING, now(production=(7, 5)), TransitionStep.SET_ALIAS, id="it shares the stage as requested"),
        pytest.param(
            KEEPING,
            now(production=(5,), staging=(7,)),
            TransitionStep.SET_STAGE_AND_ALIAS,
            id="it should share the stage",
        ),
        pytest.param(
            replace(MOVE, expected_incumbent=None),
            now(staging=(7,)),
            TransitionStep.SET_STAGE_AND_ALIAS,
            id="the stage was and is empty",
        ),
        pytest.param(RESTORING, now(none=(7,)), TransitionStep.SET_STAGE_AND_ALIAS, id="a rollback of an empty stage"),
        pytest.param(RESTORING, now(production=(7,)), TransitionStep.SET_ALIAS, id="a rollback that was half done"),
    ],
)
def test_an_executable_transition_has_a_next_step(
    move: Transition, facts: TransitionFacts, step: TransitionStep
) -> None:
    assert plan_transition(move, facts).step is step


@pytest.mark.parametrize(
    ("move", "facts", "why"),
    [
        pytest.param(MOVE, now(production=(5,)), "no longer has v7 of “churn”", id="deleted"),
        pytest.param(
            MOVE,
            now(production=(5,), none=(7,)),
            "v7 was in Staging when this was requested, but is now without a stage",
            id="removed from its stage",
        ),
        pytest.param(
            MOVE,
            now(production=(6,), staging=(7,)),
            "Production has changed from v5 to v6",
            id="another incumbent",
        ),
        pytest.param(MOVE, now(staging=(7,)), "has changed from v5 to no version", id="incumbent left"),
        pytest.param(
            replace(MOVE, expected_incumbent=None),
            now(production=(5,), staging=(7,)),
            "has changed from no version to v5",
            id="a new incumbent",
        ),
        pytest.param(
            RESTORING,
            now(production=(6,), none=(7,)),
            "has changed from no version to v6",
            id="a new incumbent before a rollback",
        ),
        pytest.param(
            MOVE, now(production=(7, 6)), "has changed from v5 to v6", id="moved by hand next to a third version"
        ),
    ],
)
def test_an_outdated_transition_says_why(move: Transition, facts: TransitionFacts, why: str) -> None:
    what = plan_transition(move, facts)
    assert what.step is TransitionStep.NOTHING
    assert why in str(what.reason)


@pytest.mark.parametrize(
    ("move", "facts", "settled"),
    [
        (MOVE, now(production=(7,)), True),
        (MOVE, now(production=(7, 5)), False),
        (MOVE, now(production=(5,)), False),
        (MOVE, now(), False),
        (KEEPING, now(production=(7, 5)), True),
        (KEEPING, now(production=(5,)), False),
    ],
)
def test_the_transition_is_in_place_only_if_the_registry_shows_it(
    move: Transition, facts: TransitionFacts, settled: bool
) -> None:
    assert is_in_place(move, facts.versions) is settled


def test_the_newer_of_two_incumbents_counts() -> None:
    assert stage_incumbent(now(production=(9, 10)), Stage.PRODUCTION) == 10


def test_an_empty_stage_has_no_incumbent() -> None:
    assert stage_incumbent(now(), Stage.PRODUCTION) is None
