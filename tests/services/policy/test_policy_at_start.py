"""The policy file at startup, in several processes, and while it isn't in effect."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.errors import Misconfigured
from bot.domain.policy.parser import revision_of
from bot.domain.policy.pending_edit import PendingPolicyEdit, PolicyEditState, describe_pending_edit
from bot.policy_file import LocalPolicyFile
from bot.services.policy.reload import POLICY_FILE_ACTOR, PolicyReloader
from tests.support.services.bench import Bench, second_bench
from tests.support.services.policy_file import (
    BROKEN,
    ONE,
    STRICTER,
    TWO,
    NamesDirectory,
    edits,
    events,
    settles,
    start,
    told,
)

# -- starting ----------------------------------------------------------------------------------------------------------


def test_a_start_with_an_invalid_file_is_refused(bench: Bench, file: Path) -> None:
    edits(file, BROKEN)
    with pytest.raises(Misconfigured):
        PolicyReloader(bench.context, LocalPolicyFile(file), NamesDirectory()).load_initial()


def test_a_start_with_a_loosened_file_keeps_the_last_policy_until_the_file_has_settled(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    started = start(bench, file)
    assert bench.context.active_policy.revision == revision_of(ONE)
    assert bench.context.policy.expand_roles(["lead"]) == {"UBOB"}
    assert not settles(bench, started, 29)
    assert settles(bench, started, 1)


def test_a_start_with_a_stricter_file_applies_it_immediately(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, STRICTER)
    start(bench, file)
    assert bench.context.active_policy.revision == revision_of(STRICTER)
    assert "approvals 1 → 2" in told(bench)[0]


def test_a_start_applies_the_file_if_the_last_policy_cannot_be_read(bench: Bench, file: Path) -> None:
    last = Event(
        at=bench.clock.now(),
        actor=POLICY_FILE_ACTOR,
        tag=EventTag.POLICY_LOADED,
        subject="policy:old",
        after="old",
        evidence={"text": "modles: {}", "names": {}},
    )
    with bench.ledger.write() as tx:
        tx.add_audit_event(last)
    start(bench, file)
    assert bench.context.active_policy.revision == revision_of(ONE)
    assert "can't read the last policy in the audit log" in events(bench, EventTag.POLICY_LOADED)[-1].why


# -- several processes -------------------------------------------------------------------------------------------------


def test_of_several_processes_one_records_the_event_and_the_others_follow_immediately(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    there = second_bench(bench)
    theirs = PolicyReloader(there.context, LocalPolicyFile(file), NamesDirectory())
    theirs.load_initial()
    edits(file, TWO)
    assert settles(bench, policies, 30)
    assert theirs.reload()
    assert there.context.active_policy.revision == revision_of(TWO)
    assert len(events(bench, EventTag.POLICY_LOADED)) == 2
    assert len([sentence for sentence in told(bench) if sentence.startswith("Policy updated")]) == 1


# -- reporting a file that isn't in effect -----------------------------------------------------------------------------


def test_a_settling_edit_is_reported_with_the_time_it_applies(
    bench: Bench, policies: PolicyReloader, file: Path
) -> None:
    edits(file, TWO)
    settles(bench, policies, 5)
    edit = bench.context.active_policy.pending_edit
    assert edit == PendingPolicyEdit(PolicyEditState.SETTLING, bench.clock.now() + timedelta(seconds=25))
    assert "The edit takes effect at" in str(describe_pending_edit(edit, revision_of(ONE), bench.clock.now()))
    settles(bench, policies, 25)
    assert bench.context.active_policy.pending_edit is None


@pytest.mark.parametrize(("text", "state"), [(BROKEN, PolicyEditState.BROKEN), (None, PolicyEditState.MISSING)])
def test_an_unusable_file_is_reported(
    bench: Bench, policies: PolicyReloader, file: Path, text: str | None, state: PolicyEditState
) -> None:
    edits(file, text) if text else file.unlink()
    policies.reload()
    assert bench.context.active_policy.pending_edit == PendingPolicyEdit(state)
