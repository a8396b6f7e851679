"""How moves begin, which may be asked for, and when what is read back is what was meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.errors import BadInput, Refused
from bot.domain.promotions.request import Request, Vote, VoteChoice
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


# -- how they begin ----------------------------------------------------------------------------------------------------


def test_an_approved_request_means_a_move_of_its_own_by_who_completed_it() -> None:
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
def test_a_version_is_taken_aside_from_where_it_is(stage: Stage) -> None:
    move = archive_transition("archive:1", version(stage=stage), BOB, NOW, "leaked labels")
    assert (move.kind, move.from_stage, move.target) == (TransitionKind.ARCHIVE, stage, Stage.ARCHIVED)
    assert (move.reason, move.expected_incumbent, move.has_alias) == ("leaked labels", None, False)


def test_what_serves_is_not_taken_aside_and_the_way_out_is_told() -> None:
    with pytest.raises(Refused, match=r"serves in Production, so it stays\. Promote another version first"):
        archive_transition("archive:1", version(stage=Stage.PRODUCTION), BOB, NOW, "")


def test_what_is_archived_already_is_told() -> None:
    with pytest.raises(BadInput, match="is archived already"):
        archive_transition("archive:1", version(stage=Stage.ARCHIVED), BOB, NOW, "")


def test_mending_lets_a_version_be_the_one_where_it_is() -> None:
    move = repair_transition("mend:1", "churn", 7, Stage.STAGING, BOB, NOW, "f1")
    assert (move.kind, move.from_stage, move.target) == (TransitionKind.REPAIR, Stage.STAGING, Stage.STAGING)
    assert (move.finding, move.has_alias, move.keep_existing, move.attempts) == ("f1", True, False, 0)


# -- what may be asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.STAGING, Stage.ARCHIVED], ids=str)
def test_any_version_that_does_not_serve_may_be_asked_for(stage: Stage) -> None:
    check_promotable(version(stage=stage), Stage.PRODUCTION)


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION], ids=str)
def test_a_version_is_not_asked_into_its_own_stage(stage: Stage) -> None:
    with pytest.raises(BadInput, match=f"v7 of “churn” is in {stage} already"):
        check_promotable(version(stage=stage), stage)


def test_what_serves_is_not_asked_out_of_production() -> None:
    with pytest.raises(BadInput, match="would leave nobody there"):
        check_promotable(version(stage=Stage.PRODUCTION), Stage.STAGING)


def test_a_version_that_is_not_ready_is_refused() -> None:
    with pytest.raises(Refused, match="MLflow says FAILED_REGISTRATION"):
        check_promotable(version(status="FAILED_REGISTRATION"), Stage.STAGING)


# -- what is left to do ------------------------------------------------------------------------------------------------

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
        "archived beside another",
        "serves by now",
        "left its stage",
        "two hold it",
        "one holds it",
        "it was archived",
    ],
)
def test_archiving_and_mending_look_at_what_is_true_now(
    move: Transition, now: TransitionFacts, step: TransitionStep
) -> None:
    assert plan_transition(move, now).step is step


def test_what_became_of_production_is_told_to_who_archives() -> None:
    assert "serves in Production" in str(plan_transition(ARCHIVE, facts(version(stage=Stage.PRODUCTION))).reason)


def test_holders_are_told_newest_first() -> None:
    held = facts(version(3, Stage.PRODUCTION), version(10, Stage.PRODUCTION), version(9, Stage.STAGING))
    assert held.holders(Stage.PRODUCTION) == [10, 3]
    assert held.version(9) == version(9, Stage.STAGING)
    assert held.version(4) is None


# -- read back ---------------------------------------------------------------------------------------------------------


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
def test_the_summary_of_the_model_tells_whether_it_moved(
    latest: dict[Stage, int], aliases: dict[str, int], alias: str | None, settled: bool
) -> None:
    model = ModelInfo(name="churn", latest=latest, aliases=aliases)
    assert is_in_place_by_summary(replace(MEND, keep_existing=False), model, alias) is settled


# -- out of date -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (facts(version(5, Stage.PRODUCTION)), "v7 of “churn” is gone from MLflow."),
        (
            facts(version(7, Stage.NONE), version(5, Stage.PRODUCTION)),
            "v7 was in Staging when this was asked and is without a stage now.",
        ),
        (
            facts(version(7, Stage.STAGING), version(6, Stage.PRODUCTION)),
            "Production held v5 when this was asked and holds v6 now.",
        ),
        (facts(version(7, Stage.STAGING)), "Production held v5 when this was asked and holds no version now."),
    ],
    ids=["gone", "another stage", "another incumbent", "no incumbent"],
)
def test_a_request_that_the_world_overtook_says_why(now: TransitionFacts, why: str) -> None:
    assert str(superseded(REQUEST, now)) == why


def test_a_request_that_nothing_overtook_is_as_it_was() -> None:
    assert superseded(REQUEST, facts(version(7, Stage.STAGING), version(5, Stage.PRODUCTION))) is None
