"""The policy file at a start, in several processes, and where it is not in force."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.audit.events import Event, Tag
from bot.domain.core.errors import Misconfigured
from bot.domain.policy.pending_edit import EditState, FileEdit, edit_words
from bot.policy_file import PolicyFile
from bot.services.policy.reload import READER, Policies, revision
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


def test_a_start_with_a_broken_file_is_refused(bench: Bench, file: Path) -> None:
    edits(file, BROKEN)
    with pytest.raises(Misconfigured):
        Policies(bench.context, PolicyFile(file), NamesDirectory()).begin()


def test_a_start_with_a_loosened_file_keeps_the_last_policy_of_the_audit_until_the_file_has_settled(
    bench: Bench, policies: Policies, file: Path
) -> None:
    edits(file, TWO)
    started = start(bench, file)
    assert bench.context.rules.revision == revision(ONE)
    assert bench.context.policy.ids(["lead"]) == {"UBOB"}
    assert not settles(bench, started, 29)
    assert settles(bench, started, 1)


def test_a_start_with_a_tightened_file_takes_it_at_once(bench: Bench, policies: Policies, file: Path) -> None:
    edits(file, STRICTER)
    start(bench, file)
    assert bench.context.rules.revision == revision(STRICTER)
    assert "1 → 2 approvals" in told(bench)[0]


def test_a_start_takes_the_file_where_this_version_cannot_read_the_last_policy(bench: Bench, file: Path) -> None:
    last = Event(
        at=bench.clock.now(),
        actor=READER,
        tag=Tag.POLICY_TAKEN,
        subject="policy:old",
        after="old",
        evidence={"text": "modles: {}", "names": {}},
    )
    with bench.ledger.write() as tx:
        tx.append(last)
    start(bench, file)
    assert bench.context.rules.revision == revision(ONE)
    assert "can't read the last policy in the audit log" in events(bench, Tag.POLICY_TAKEN)[-1].why


# -- several processes -------------------------------------------------------------------------------------------------


def test_of_several_processes_one_writes_the_event_and_the_others_follow_at_once(
    bench: Bench, policies: Policies, file: Path
) -> None:
    there = second_bench(bench)
    theirs = Policies(there.context, PolicyFile(file), NamesDirectory())
    theirs.begin()
    edits(file, TWO)
    assert settles(bench, policies, 30)
    assert theirs.take_up()
    assert there.context.rules.revision == revision(TWO)
    assert len(events(bench, Tag.POLICY_TAKEN)) == 2
    assert len([sentence for sentence in told(bench) if sentence.startswith("Policy updated")]) == 1


# -- what is said of a file that isn't in force ------------------------------------------------------------------------


def test_a_settling_edit_is_known_with_when_it_applies(bench: Bench, policies: Policies, file: Path) -> None:
    edits(file, TWO)
    settles(bench, policies, 5)
    edit = bench.context.rules.edit
    assert edit == FileEdit(EditState.SETTLING, bench.clock.now() + timedelta(seconds=25))
    assert "the edit applies at" in str(edit_words(edit, revision(ONE), bench.clock.now()))
    settles(bench, policies, 25)
    assert bench.context.rules.edit is None


@pytest.mark.parametrize(("text", "state"), [(BROKEN, EditState.BROKEN), (None, EditState.MISSING)])
def test_a_file_that_cannot_be_used_is_known(
    bench: Bench, policies: Policies, file: Path, text: str | None, state: EditState
) -> None:
    edits(file, text) if text else file.unlink()
    policies.take_up()
    assert bench.context.rules.edit == FileEdit(state)
