"""How transitions begin, which ones can be requested, and when the registry confirms them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.errors import BadInput, Refused
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo
from bot.domain.transitions.transition import (
    Transition,
    TransitionFacts,
    TransitionKind,
    TransitionState,
    TransitionStep,
    archive_transition,
    check_promotable,
    is_in_place_by_summary,
    plan_transition,
    promotion_transition,
    repair_transition,
    superseded,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
BOB = Person("T1", "U1")
REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    incumbent=5,
    requester=Person("T1", "U2"),
    reason="better",
    required=1,
    opened_at=NOW,
    expires_at=NOW,
    keep_existing=True,
)


def version(number: int = 7, stage: Stage = Stage.NONE, status: str = "READY") -> VersionInfo:
    return VersionInfo(model="churn", version=number, stage=stage, status=status)


def facts(*versions: VersionInfo) -> TransitionFacts:
    return TransitionFacts(versions=versions)


# -- creating transitions ----------------------------------------------------------------------------------------------


def test_an_approved_request_gets_its_own_transition_by_the_last_approver() -> None:
    vote = Vote(request="r4k7q", voter=BOB, choice=VoteChoice.APPROVE, reason="", at=NOW)
    later = NOW + timedelta(minutes=5)
    assert promotion_transition(REQUEST, vote.voter, later) == Transition(
        id="promotion:r4k7q",
        kind=TransitionKind.PROMOTION,
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        expected_incumbent=5,
        actor=BOB,
        intended_at=later,
        request="r4k7q",
        keep_existing=True,
        state=TransitionState.INTENDED,
    )


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.STAGING], ids=str)
def test_a_version_is_archived_from_its_current_stage(stage: Stage) -> None:
    move = archive_transition("archive:1", version(stage=stage), BOB, NOW, "leaked labels")
    assert (move.kind, move.from_stage, move.target) == (TransitionKind.ARCHIVE, stage, Stage.ARCHIVED)
    assert (move.reason, move.expected_incumbent, move.has_alias) == ("leaked labels", None, False)


def test_archiving_the_version_in_production_is_refused_with_a_next_step() -> None:
    with pytest.raises(Refused, match=r"is in Production, so it can't be archived\. Promote another version first"):
        archive_transition("archive:1", version(stage=Stage.PRODUCTION), BOB, NOW, "")


def test_archiving_an_archived_version_is_refused() -> None:
    with pytest.raises(BadInput, match="is already archived"):
        archive_transition("archive:1", version(stage=Stage.ARCHIVED), BOB, NOW, "")


def test_a_repair_keeps_the_version_in_its_stage() -> None:
    move = repair_transition("mend:1", "churn", 7, Stage.STAGING, BOB, NOW, "f1")
    assert (move.kind, move.from_stage, move.target) == (TransitionKind.REPAIR, Stage.STAGING, Stage.STAGING)
    assert (move.finding, move.has_alias, move.keep_existing, move.attempts) == ("f1", True, False, 0)


# -- what can be requested ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.STAGING, Stage.ARCHIVED], ids=str)
def test_any_version_outside_production_can_be_requested(stage: Stage) -> None:
    assert _is_promotable(version(stage=stage))


def _is_promotable(version: VersionInfo) -> bool:
    try:
        check_promotable(version, Stage.PRODUCTION)
    except (BadInput, Refused):
        return False
    return True


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION], ids=str)
def test_a_request_for_the_version_s_own_stage_is_refused(stage: Stage) -> None:
    with pytest.raises(BadInput, match=f"v7 of “churn” is already in {stage}"):
        check_promotable(version(stage=stage), stage)


def test_a_request_to_move_the_version_in_production_is_refused() -> None:
    with pytest.raises(BadInput, match="would leave Production empty"):
        check_promotable(version(stage=Stage.PRODUCTION), Stage.STAGING)


def test_a_version_that_is_not_ready_is_refused() -> None:
    with pytest.raises(Refused, match="MLflow reports FAILED_REGISTRATION"):
        check_promotable(version(status="FAILED_REGISTRATION"), Stage.STAGING)


# -- the next step -----------------------------------------------------------------------------------------------------

ARCHIVE = archive_transition("archive:1", version(stage=Stage.STAGING), BOB, NOW, "")
MEND = repair_transition("mend:1", "churn", 7, Stage.PRODUCTION, BOB, NOW, "f1")


@pytest.mark.parametrize(
    ("move", "now", "step"),
    [
        (ARCHIVE, facts(version(stage=Stage.STAGING)), TransitionStep.SET_STAGE_AND_ALIAS),
        (ARCHIVE, facts(version(stage=Stage.ARCHIVED)), TransitionStep.SET_ALIAS),
        (ARCHIVE, facts(version(stage=Stage.ARCHIVED), version(8, Stage.ARCHIVED)), TransitionStep.SET_ALIAS),
        (ARCHIVE, facts(version(stage=Stage.PRODUCTION)), TransitionStep.NOTHING),
        (ARCHIVE, facts(version(stage=Stage.NONE)), TransitionStep.NOTHING),
        (
            MEND,
            facts(version(stage=Stage.PRODUCTION), version(8, Stage.PRODUCTION)),
            TransitionStep.SET_STAGE_AND_ALIAS,
        ),
        (MEND, facts(version(stage=Stage.PRODUCTION)), TransitionStep.SET_ALIAS),
        (MEND, facts(version(stage=Stage.ARCHIVED)), TransitionStep.NOTHING),
    ],
    ids=[
        "archive",
        "archived",
        "archived next to another",
        "now in Production",
        "left its stage",
        "two holders",
        "one holder",
        "repair of an archived version",
    ],
)
def test_archiving_and_repairing_check_the_current_state(
    move: Transition, now: TransitionFacts, step: TransitionStep
) -> None:
    assert plan_transition(move, now).step is step


def test_archiving_a_version_that_reached_production_is_refused() -> None:
    assert "is in Production, so it can't be archived" in str(
        plan_transition(ARCHIVE, facts(version(stage=Stage.PRODUCTION))).reason
    )


def test_holders_are_listed_newest_first() -> None:
    held = facts(version(3, Stage.PRODUCTION), version(10, Stage.PRODUCTION), version(9, Stage.STAGING))
    assert held.holders(Stage.PRODUCTION) == [10, 3]
    assert held.version(9) == version(9, Stage.STAGING)
    assert held.version(4) is None


# -- confirmation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latest", "aliases", "alias", "settled"),
    [
        ({Stage.PRODUCTION: 7}, {"champion": 7}, "champion", True),
        ({Stage.PRODUCTION: 7}, {"champion": 5}, "champion", False),
        ({Stage.PRODUCTION: 7}, {}, "champion", False),
        ({Stage.PRODUCTION: 7}, {}, None, True),
        ({Stage.PRODUCTION: 8}, {"champion": 7}, "champion", False),
        ({Stage.STAGING: 7}, {"champion": 7}, "champion", False),
    ],
)
def test_the_model_s_summary_shows_whether_the_transition_is_in_place(
    latest: dict[Stage, int], aliases: dict[str, int], alias: str | None, settled: bool
) -> None:
    model = ModelInfo(name="churn", latest=latest, aliases=aliases)
    assert is_in_place_by_summary(replace(MEND, keep_existing=False), model, alias) is settled


# -- outdated requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (facts(version(5, Stage.PRODUCTION)), "MLflow no longer has v7 of “churn”."),
        (
            facts(version(7, Stage.NONE), version(5, Stage.PRODUCTION)),
            "v7 was in Staging when this was requested, but is now without a stage.",
        ),
        (
            facts(version(7, Stage.STAGING), version(6, Stage.PRODUCTION)),
            "Production has changed from v5 to v6 since this was requested.",
        ),
        (facts(version(7, Stage.STAGING)), "Production has changed from v5 to no version since this was requested."),
    ],
    ids=["deleted", "another stage", "another incumbent", "no incumbent"],
)
def test_an_outdated_request_says_why(now: TransitionFacts, why: str) -> None:
    assert str(superseded(REQUEST, now)) == why


def test_a_current_request_has_no_reason_to_end() -> None:
    assert superseded(REQUEST, facts(version(7, Stage.STAGING), version(5, Stage.PRODUCTION))) is None
