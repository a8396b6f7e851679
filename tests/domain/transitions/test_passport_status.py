"""Whether a passport is valid: a table of what can follow, and what it means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.passport_status import (
    PassportState,
    StatusFacts,
    current_transition,
    passport_statuses,
)
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from tests.support.passports import records
from tests.support.passports.records import FILES

NOW = datetime(2026, 12, 2, 9, tzinfo=UTC)
ALICE = Person("T1", "U1")
PRODUCTION, STAGING, ARCHIVED, NONE = Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED, Stage.NONE
OTHER_FILES = VersionIdentity(run_id="another run", source="s3://another")


def change(
    version: int, kind: TransitionKind, target: Stage = PRODUCTION, from_stage: Stage = NONE, **fields: Any
) -> Transition:
    return replace(
        Transition(
            id=f"{kind.value}:{version}:{target}",
            kind=kind,
            model="churn",
            version=version,
            from_stage=from_stage,
            target=target,
            expected_incumbent=None,
            actor=ALICE,
            intended_at=NOW,
            finished_at=NOW,
            state=TransitionState.DONE,
            request="r1",
        ),
        **fields,
    )


APPROVED = change(4, TransitionKind.PROMOTION)


def passport(of: Transition = APPROVED, number: int = 1, **fields: Any) -> Passport:
    dates = {"issued_at": NOW, "expires_at": NOW + timedelta(days=365)}
    return records.passport(of, number, **dates | fields)


LATER = NOW + timedelta(hours=1)


def later(
    version: int, kind: TransitionKind, target: Stage = PRODUCTION, from_stage: Stage = NONE, **fields: Any
) -> Transition:
    return change(version, kind, target, from_stage, finished_at=LATER, **fields)


def state(*after: Transition, facts: StatusFacts | None = None, now: datetime = LATER) -> PassportState:
    """Return the state of v4's passport after these changes."""
    [status] = passport_statuses([passport()], [APPROVED, *after], facts or StatusFacts(), now)
    return status.state


KINDS = TransitionKind
REPLACED, VALID = PassportState.REPLACED, PassportState.VALID
ROLLED_BACK, OUTSIDE = PassportState.ROLLED_BACK, PassportState.MOVED_OUTSIDE
by_hand = later(5, KINDS.OBSERVED, expected_incumbent=4)
repaired = later(4, KINDS.REPAIR, from_stage=PRODUCTION)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([], VALID),
        ([later(5, KINDS.PROMOTION)], REPLACED),
        ([later(5, KINDS.BREAK_GLASS)], REPLACED),
        ([later(3, KINDS.ROLLBACK, expected_incumbent=4)], ROLLED_BACK),
        ([later(5, KINDS.PROMOTION), later(4, KINDS.ROLLBACK)], REPLACED),  # the rollback has its own
        ([later(4, KINDS.PROMOTION, id="again")], REPLACED),
        ([later(5, KINDS.PROMOTION, STAGING)], VALID),
        ([later(9, KINDS.ARCHIVE, ARCHIVED, STAGING)], VALID),
        ([by_hand], OUTSIDE),
        ([later(4, KINDS.OBSERVED, ARCHIVED, PRODUCTION)], OUTSIDE),
        ([later(4, KINDS.OBSERVED)], OUTSIDE),  # back by hand: nobody approved that
        ([later(4, KINDS.ARCHIVE, ARCHIVED, PRODUCTION)], REPLACED),
        ([later(4, KINDS.PROMOTION, STAGING, PRODUCTION)], REPLACED),
        ([repaired], VALID),
        ([by_hand, repaired], VALID),
        ([by_hand, replace(repaired, identity=OTHER_FILES)], VALID),  # v4's move didn't record an identity
        ([later(5, KINDS.REPAIR, from_stage=PRODUCTION)], REPLACED),
        ([by_hand, later(5, KINDS.REPAIR, from_stage=PRODUCTION)], OUTSIDE),
        ([later(5, KINDS.REPAIR, from_stage=PRODUCTION), repaired], REPLACED),
        ([by_hand, later(6, KINDS.PROMOTION)], OUTSIDE),
        ([later(5, KINDS.PROMOTION), by_hand], REPLACED),
    ],
)
def test_what_follows_decides(after: list[Transition], expected: PassportState) -> None:
    assert state(*after) is expected


def test_a_repair_of_a_recreated_version_does_not_make_a_passport_valid() -> None:
    approved = replace(APPROVED, identity=FILES)
    after = [approved, by_hand, replace(repaired, identity=OTHER_FILES)]
    [status] = passport_statuses([passport()], after, StatusFacts(), LATER)
    assert status.state is OUTSIDE


def test_a_promotion_out_of_staging_ends_the_passport_for_staging() -> None:
    tested = change(4, KINDS.PROMOTION, STAGING)
    after = later(4, KINDS.PROMOTION, PRODUCTION, STAGING)
    staged, serving = passport_statuses([passport(tested), passport(after)], [tested, after], StatusFacts(), LATER)
    assert (staged.state, staged.since, serving.state, serving.since) == (REPLACED, LATER, VALID, None)


def test_each_model_has_its_own_history() -> None:
    other = later(5, KINDS.PROMOTION, model="fraud")
    assert state(other) is VALID


def test_only_the_newest_passport_of_a_transition_is_valid() -> None:
    both = [passport(), passport(number=2, issued_at=LATER)]
    old, new = passport_statuses(both, [APPROVED], StatusFacts(), LATER)
    assert (old.state, old.since, new.state) == (PassportState.REISSUED, LATER, VALID)


def block(at: datetime, version: int = 4) -> StatusFacts:
    found = RollbackBlock(id="b1", model="churn", version=version, move="m1", at=at, by=ALICE, reason="bad")
    return StatusFacts(blocks=[found])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (block(LATER), PassportState.BLOCKED),
        (block(LATER, version=5), VALID),
        (block(NOW), VALID),  # the approvers knew of it
        (StatusFacts(overdue={"r1": LATER}), PassportState.UNREVIEWED),
        (StatusFacts(overdue={"r2": LATER}), VALID),
        (StatusFacts(changed={("churn", 4, "d1"): LATER}), PassportState.FILES_CHANGED),
        (StatusFacts(changed={("churn", 4, "d2"): LATER}), VALID),
    ],
)
def test_other_facts_can_invalidate_a_passport(facts: StatusFacts, expected: PassportState) -> None:
    assert state(facts=facts) is expected


def test_a_passport_expires() -> None:
    assert state(now=NOW + timedelta(days=365)) is PassportState.EXPIRED


def test_the_current_transition_is_the_one_with_a_valid_passport() -> None:
    assert current_transition([APPROVED, later(5, KINDS.PROMOTION), by_hand], PRODUCTION) is None
    assert current_transition([APPROVED, by_hand, repaired], PRODUCTION) == APPROVED
    assert current_transition([APPROVED], STAGING) is None
