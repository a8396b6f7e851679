"""The metadata card: who brought a version into Production, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Automation, Person
from bot.domain.registry.model import Identity, Stage, VersionInfo
from bot.domain.transitions.model_card_sources import deployed
from bot.domain.transitions.transition import Move, MoveKind, MoveState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOBS = Move(
    id="promotion:r4k7q",
    kind=MoveKind.PROMOTION,
    model="churn",
    version=4,
    from_stage=Stage.NONE,
    target=Stage.PRODUCTION,
    expected_incumbent=3,
    actor=Person("T0LOCAL", "U0BOB"),
    intended_at=NOON,
    state=MoveState.DONE,
    finished_at=NOON,
)
V4 = VersionInfo(model="churn", version=4, stage=Stage.PRODUCTION, run_id="run4", source="s3://churn/4")
FOUND = replace(BOBS, id="observed:4", kind=MoveKind.OBSERVED, actor=Automation("poll"))


def test_a_version_was_deployed_by_the_move_that_was_made() -> None:
    assert deployed([BOBS], V4) == BOBS


@pytest.mark.parametrize("state", [state for state in MoveState if state is not MoveState.DONE])
def test_a_move_that_was_not_made_deployed_nothing(state: MoveState) -> None:
    assert deployed([replace(BOBS, state=state)], V4) is None


def test_a_move_that_failed_later_changes_nothing() -> None:
    assert deployed([replace(BOBS, id="promotion:later", state=MoveState.FAILED), BOBS], V4) == BOBS


def test_nobody_is_known_to_have_deployed_what_was_found_in_production() -> None:
    assert deployed([FOUND], V4) is None


def test_nobody_is_known_to_have_deployed_what_was_moved_again_in_mlflow() -> None:
    assert deployed([FOUND, BOBS], V4) is None


def test_another_version_under_the_same_number_was_not_deployed_by_the_move() -> None:
    of_another = Identity(run_id="run9", source="s3://churn/9")
    assert deployed([replace(BOBS, identity=of_another)], V4) is None
