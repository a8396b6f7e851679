"""Restored backups, detected at startup: real file copies of the ledger, with the old or current registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.anchor_file import LocalAnchorFile
from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Operator
from bot.domain.core.errors import Refused, RegistryUnreachable
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import RequestState
from bot.domain.transitions.restores import HoldKind
from bot.domain.transitions.transition import TransitionState
from bot.ports import QueuedCommandState
from bot.services.audit.anchoring import Anchoring
from tests.support.services.bench import BOB, CAROL, DAVE, POLICY, Bench
from tests.support.services.restored_machine import (
    RestorableMachine,
    hold_of,
    promote_and_roll_back,
    recover,
    roll_back,
    start_and_recover,
)

ANN = Operator("ann")  # an operator on the bot's machine


def lines(bench: Bench) -> str:
    with bench.ledger.read() as reading:
        hold = reading.active_hold()
    assert hold is not None
    return " ".join(map(str, hold.lines))


# -- a restored ledger -------------------------------------------------------------------------------------------------


def test_a_rolled_back_promotion_is_not_repeated(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    recover(bench)
    assert machine.registry.holders() == [3]
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert "rollback_date" in lines(bench)


def test_the_channel_gets_one_message_with_the_next_steps(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    recover(machine.start())
    bench = machine.start()
    recover(bench)
    told = [note for note in bench.notes() if note.key.startswith("said:held:")]
    assert [note.to for note in told] == ["#ml-models"]
    assert "registrar db accept" in bench.told("said:held:")
    assert "registrar db drop-pending" in bench.told("said:held:")
    assert bench.tags().count(EventTag.WORK_HELD.value) == 1


def test_a_version_rolled_back_after_the_backup_is_blocked_immediately(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    recover(bench)
    with bench.ledger.read() as reading:
        assert [bar.version for bar in reading.rollback_blocks("churn")] == [1]
    assert EventTag.BLOCKED.value in bench.tags()


def test_a_version_rolled_back_again_is_not_promoted_after_accepting(
    machine: RestorableMachine,
) -> None:
    production = {"approvers": ["lead"], "gates": [{"not_blocked": False}]}
    machine.policy = validate_policy(POLICY | {"models": {"*": {"production": production}}})
    bench = start_and_recover(machine)
    bench.approved("promote churn 1 production")
    recover(bench)
    machine.clock.advance(hours=1)
    roll_back(bench)
    machine.clock.advance(hours=1)
    promote_and_roll_back(machine)  # the backup already has the first block
    bench = machine.start()
    recover(bench)
    bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    recover(bench)
    assert machine.registry.holders() == [3]


def test_accepting_resumes_pending_work_with_all_its_checks(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine, version=4)
    bench = machine.start()
    recover(bench)
    bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    recover(bench)
    with bench.ledger.read() as reading:
        (request,) = reading.requests()
    assert request.state is RequestState.STALE  # v4 has moved since that was approved
    assert machine.registry.holders() == [3]
    assert EventTag.HOLD_ACCEPTED.value in bench.tags()


def test_dropping_ends_the_transition_its_request_and_the_hold(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    recover(bench)
    bench.restores.drop(DAVE, "all of that was done", origin="terminal")
    recover(bench)
    with bench.ledger.read() as reading:
        (request,) = reading.requests()
        assert (request.state, reading.active_hold()) == (RequestState.STALE, None)
        assert reading.models_with_transitions([TransitionState.INTENDED, TransitionState.EXECUTING]) == []
    assert "all of that was done" in request.outcome
    assert [tag for tag in bench.tags() if tag in {EventTag.STALE.value, EventTag.HOLD_DROPPED.value}] == [
        EventTag.STALE.value,
        EventTag.HOLD_DROPPED.value,
    ]
    assert machine.registry.holders() == [3]


def test_only_admins_and_the_machine_s_operator_can_lift_a_hold(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    recover(bench)
    with pytest.raises(Refused):
        bench.restores.accept(BOB, "I want it", origin="terminal")
    assert hold_of(bench) is not None
    bench.restores.drop(ANN, "done since", origin="terminal")
    assert hold_of(bench) is None


def test_lifting_without_a_hold_is_refused(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    with pytest.raises(Refused, match="Nothing is on hold"):
        bench.restores.accept(DAVE, "why not", origin="terminal")


def test_lifting_before_a_comparison_needs_the_registry(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    machine.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    machine.registry.is_down = False
    bench.restores.drop(DAVE, "Friday's backup", origin="terminal")
    assert bench.moves.models_with_unfinished() == []


def test_a_held_request_cannot_be_decided_until_the_hold_is_accepted(
    machine: RestorableMachine,
) -> None:
    bench = start_and_recover(machine)
    request = bench.open("promote churn 4 production")
    bench.mirror.write_due()
    machine.back_up()
    bench.reject(request, CAROL)
    bench.mirror.write_due()
    machine.restore()
    machine.clock.advance(minutes=5)
    bench = machine.start()
    recover(bench)
    for vote in (bench.approve, bench.reject):
        with pytest.raises(Refused, match="on hold"):
            vote(request)
    bench.restores.accept(DAVE, "we talked about it", origin="terminal")
    assert bench.approve(request).request.state is RequestState.APPROVED


def test_a_held_command_is_not_executed_until_the_hold_is_accepted(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    bench.watch.poll()
    ask = bench.ask("rollback churn --reason 'looks slow'", BOB)
    machine.back_up()
    bench.errands.execute(ask.id)
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    machine.clock.advance(hours=1)
    bench.approved("promote churn 1 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    machine.restore()
    machine.clock.advance(hours=1)
    bench = machine.start()
    recover(bench)
    with bench.ledger.read() as reading:
        assert reading.queued_command(ask.id).state is QueuedCommandState.WAITING
    assert machine.registry.holders() == [1]
    bench.restores.drop(DAVE, "long done", origin="terminal")
    with bench.ledger.read() as reading:
        assert reading.queued_command(ask.id).state is QueuedCommandState.REFUSED


def test_old_tags_do_not_overwrite_newer_ones(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    request = bench.open("promote churn 4 production")
    machine.back_up()
    bench.mirror.write_due()
    bench.reject(request, CAROL)
    bench.mirror.write_due()
    machine.restore()
    bench = machine.start()
    recover(bench)
    assert machine.registry.version("churn", 4).tags["approval_status"] == "rejected"
    bench.restores.drop(DAVE, "done", origin="terminal")
    with bench.ledger.read() as reading:
        assert [one.id for one in reading.held_work().tag_updates] == []


def test_an_engineer_can_roll_back_during_a_hold(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    bench.watch.poll()
    machine.clock.advance(hours=1)
    bench.approved("promote churn 1 staging")
    machine.back_up()
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    machine.restore()
    machine.registry.set_tags("churn", 4, {"approval_date": "2027-01-01T00:00:00+00:00"})
    machine.clock.advance(hours=1)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    machine.clock.advance(minutes=1)
    bench.do("rollback churn --reason 'users complain'", BOB)
    assert machine.registry.holders() == [3]


# -- the anchor --------------------------------------------------------------------------------------------------------


def anchored(machine: RestorableMachine, bench: Bench) -> Path:
    file = machine.folder / "anchor.jsonl"
    machine.policy = validate_policy(POLICY | {"anchor": {"file": str(file)}})
    bench.context.active_policy.replace(machine.policy, "")
    Anchoring(bench.context, LocalAnchorFile()).anchor_if_due()
    return file


def test_an_anchor_with_a_later_head_opens_a_hold_without_pending_work(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    machine.back_up()
    bench.reject(bench.open())
    anchored(machine, bench)
    machine.registry.set_tags("churn", 4, dict.fromkeys(machine.registry.version("churn", 4).tags))
    machine.restore()
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert "anchor file" in lines(bench)
    bench.restores.accept(DAVE, "the disk broke", origin="terminal")
    bench = machine.start()
    recover(bench)  # the same anchor isn't reported again
    assert hold_of(bench) is None


def test_a_matching_or_unreadable_anchor_opens_no_hold(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    bench.open()
    file = anchored(machine, bench)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    file.write_text("not an anchor\n")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None


def test_a_torn_last_anchor_is_reported_and_the_one_before_is_compared(
    machine: RestorableMachine, caplog: pytest.LogCaptureFixture
) -> None:
    bench = start_and_recover(machine)
    bench.open()
    file = anchored(machine, bench)
    head = json.loads(file.read_text())
    changed = json.dumps(head | {"hash": "0" * 64}, separators=(",", ":"))
    file.write_text(f"{changed}\n{changed[:40]}")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert "skipped line 2 of the anchor file" in caplog.text


def test_an_anchor_with_another_hash_opens_a_hold(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    bench.open()
    file = anchored(machine, bench)
    head = json.loads(file.read_text())
    file.write_text(json.dumps(head | {"hash": "0" * 64}) + "\n")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
