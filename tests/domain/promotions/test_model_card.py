"""The metadata card: who deployed a version to Production, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.actors import Automation, Person
from bot.domain.registry.model import Stage, VersionIdentity, VersionInfo
from bot.domain.transitions.model_card_sources import last_deployment
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOBS = Transition(
    id="promotion:r4k7q",
    kind=TransitionKind.PROMOTION,
    model="churn",
    version=4,
    from_stage=Stage.NONE,
    target=Stage.PRODUCTION,
    expected_incumbent=3,
    actor=Person("T0LOCAL", "U0BOB"),
    intended_at=NOON,
    state=TransitionState.DONE,
    finished_at=NOON,
)
V4 = VersionInfo(model="churn", version=4, stage=Stage.PRODUCTION, run_id="run4", source="s3://churn/4")
FOUND = replace(BOBS, id="observed:4", kind=TransitionKind.OBSERVED, actor=Automation("poll"))


def test_a_version_was_deployed_by_its_completed_transition() -> None:
    assert last_deployment([BOBS], V4) == BOBS


@pytest.mark.parametrize("state", [state for state in TransitionState if state is not TransitionState.DONE])
def test_an_unfinished_transition_deployed_nothing(state: TransitionState) -> None:
    assert last_deployment([replace(BOBS, state=state)], V4) is None


def test_a_later_failed_transition_changes_nothing() -> None:
    assert last_deployment([replace(BOBS, id="promotion:later", state=TransitionState.FAILED), BOBS], V4) == BOBS


def test_a_version_found_in_production_has_no_deployer() -> None:
    assert last_deployment([FOUND], V4) is None


def test_a_version_moved_again_in_mlflow_has_no_deployer() -> None:
    assert last_deployment([FOUND, BOBS], V4) is None


def test_a_different_version_with_the_same_number_was_not_deployed_by_the_transition() -> None:
    of_another = VersionIdentity(run_id="run9", source="s3://churn/9")
    assert last_deployment([replace(BOBS, identity=of_another)], V4) is None
