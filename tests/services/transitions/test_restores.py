"""Restored backups, found at a start: real file copies of the ledger, and the registry as it was or is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.anchor_file import AnchorFile
from bot.domain.approvals import Choice, RequestState
from bot.domain.errors import Refused, RegistryUnreachable
from bot.domain.events import Tag
from bot.domain.moves import MoveState
from bot.domain.people import Operator
from bot.domain.policy import read_policy
from bot.domain.registry import Stage
from bot.domain.restores import HoldKind
from bot.ports import AskState
from bot.services.anchoring import Anchoring
from tests.support.services.bench import BOB, CAROL, DAVE, POLICY, Bench, BentRegistry
from tests.support.services.restored_machine import Machine, recover

ANN = Operator("ann")  # sits at the bot's machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.stop()


def begun(machine: Machine) -> Bench:
    bench = machine.start()
    recover(bench)
    return bench


def roll_back(bench: Bench, text: str = "rollback churn --reason 'accuracy fell'") -> None:
    bench.do(text, BOB)
    bench.mirror.write()
    bench.watch.poll()


def promoted_and_found_bad(machine: Machine, version: int = 1) -> None:
    """Let a promotion wait, back the ledger up, let it be made and rolled back as bad, and put the backup back."""
    bench = begun(machine)
    request = bench.approved(f"promote churn {version} production")
    machine.back_up()
    machine.clock.turn(hours=1)
    bench.moves.run("churn")
    assert bench.state(request) is RequestState.DONE
    bench.mirror.write()
    machine.clock.turn(hours=1)
    roll_back(bench)
    assert machine.registry.holders() == [3]
    machine.restore()
    machine.clock.turn(hours=1)


def hold_of(bench: Bench) -> HoldKind | None:
    with bench.ledger.read() as reading:
        hold = reading.hold()
    return hold.kind if hold else None


def lines(bench: Bench) -> str:
    with bench.ledger.read() as reading:
        hold = reading.hold()
    assert hold is not None
    return " ".join(map(str, hold.lines))


# -- a restored ledger -------------------------------------------------------------------------------------------------


def test_a_promotion_that_turned_out_bad_is_not_made_again(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    recover(bench)
    assert machine.registry.holders() == [3]
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert "rollback_date" in lines(bench)


def test_the_channel_hears_once_what_was_found_and_what_to_do(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    recover(machine.start())
    bench = machine.start()
    recover(bench)
    told = [note for note in bench.notes() if note.key.startswith("said:held:")]
    assert [note.to for note in told] == ["#ml-models"]
    assert "registrar db accept" in bench.told("said:held:")
    assert "registrar db drop-pending" in bench.told("said:held:")
    assert bench.tags().count(Tag.HELD.value) == 1


def test_a_version_that_was_rolled_back_after_the_backup_is_blocked_at_once(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    recover(bench)
    with bench.ledger.read() as reading:
        assert [bar.version for bar in reading.bars("churn")] == [1]
    assert Tag.BARRED.value in bench.tags()


def test_a_blocked_version_that_was_approved_again_and_rolled_back_again_is_not_moved_once_accepted(
    machine: Machine,
) -> None:
    production = {"approvers": ["lead"], "gates": [{"not_blocked": False}]}
    machine.policy = read_policy(POLICY | {"models": {"*": {"production": production}}})
    bench = begun(machine)
    bench.approved("promote churn 1 production")
    recover(bench)
    machine.clock.turn(hours=1)
    roll_back(bench)
    machine.clock.turn(hours=1)
    promoted_and_found_bad(machine)  # the backup already has the first block
    bench = machine.start()
    recover(bench)
    bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    recover(bench)
    assert machine.registry.holders() == [3]


def test_accepting_carries_out_what_was_waiting_with_all_its_checks(machine: Machine) -> None:
    promoted_and_found_bad(machine, version=4)
    bench = machine.start()
    recover(bench)
    bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    recover(bench)
    with bench.ledger.read() as reading:
        (request,) = reading.requests()
    assert request.state is RequestState.STALE  # v4 isn't where it was when that was approved
    assert machine.registry.holders() == [3]
    assert Tag.HOLD_ACCEPTED.value in bench.tags()


def test_dropping_ends_the_move_its_request_and_the_hold(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    recover(bench)
    bench.restores.drop(DAVE, "all of that was done", origin="terminal")
    recover(bench)
    with bench.ledger.read() as reading:
        (request,) = reading.requests()
        assert (request.state, reading.hold()) == (RequestState.STALE, None)
        assert reading.models_with_moves([MoveState.INTENDED, MoveState.EXECUTING]) == []
    assert "all of that was done" in request.outcome
    assert [tag for tag in bench.tags() if tag in {Tag.STALE.value, Tag.HOLD_DROPPED.value}] == [
        Tag.STALE.value,
        Tag.HOLD_DROPPED.value,
    ]
    assert machine.registry.holders() == [3]


def test_only_admins_and_whoever_sits_at_the_machine_lift_a_hold(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    recover(bench)
    with pytest.raises(Refused):
        bench.restores.accept(BOB, "I want it", origin="terminal")
    assert hold_of(bench) is not None
    bench.restores.drop(ANN, "done since", origin="terminal")
    assert hold_of(bench) is None


def test_where_nothing_is_held_there_is_nothing_to_lift(machine: Machine) -> None:
    bench = begun(machine)
    with pytest.raises(Refused, match="Nothing is held"):
        bench.restores.accept(DAVE, "why not", origin="terminal")


def test_lifting_before_anybody_compared_needs_the_registry(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    machine.registry.down = True
    with pytest.raises(RegistryUnreachable):
        bench.restores.accept(DAVE, "Friday's backup", origin="terminal")
    machine.registry.down = False
    bench.restores.drop(DAVE, "Friday's backup", origin="terminal")
    assert bench.moves.unfinished() == []


def test_a_request_that_was_rejected_after_the_backup_cannot_be_decided_until_it_is_accepted(machine: Machine) -> None:
    bench = begun(machine)
    request = bench.open("promote churn 4 production")
    bench.mirror.write()
    machine.back_up()
    bench.reject(request, CAROL)
    bench.mirror.write()
    machine.restore()
    machine.clock.turn(minutes=5)
    bench = machine.start()
    recover(bench)
    for choice in (Choice.APPROVE, Choice.REJECT):
        with pytest.raises(Refused, match="held"):
            bench.requests.vote(BOB, request.id, choice, origin="slack")
    bench.restores.accept(DAVE, "we talked about it", origin="terminal")
    assert bench.approve(request).request.state is RequestState.APPROVED


def test_a_command_that_waited_is_not_carried_out_until_it_is_accepted(machine: Machine) -> None:
    bench = begun(machine)
    bench.approved("promote churn 4 production")
    bench.moves.run("churn")
    bench.mirror.write()
    bench.watch.poll()
    ask = bench.ask("rollback churn --reason 'looks slow'", BOB)
    machine.back_up()
    bench.errands.carry_out(ask.id)
    bench.moves.run("churn")
    bench.mirror.write()
    machine.clock.turn(hours=1)
    bench.approved("promote churn 1 production")
    bench.moves.run("churn")
    bench.mirror.write()
    machine.restore()
    machine.clock.turn(hours=1)
    bench = machine.start()
    recover(bench)
    with bench.ledger.read() as reading:
        assert reading.ask(ask.id).state is AskState.WAITING
    assert machine.registry.holders() == [1]
    bench.restores.drop(DAVE, "long done", origin="terminal")
    with bench.ledger.read() as reading:
        assert reading.ask(ask.id).state is AskState.REFUSED


def test_old_tags_are_not_written_over_newer_ones(machine: Machine) -> None:
    bench = begun(machine)
    request = bench.open("promote churn 4 production")
    machine.back_up()
    bench.mirror.write()
    bench.reject(request, CAROL)
    bench.mirror.write()
    machine.restore()
    bench = machine.start()
    recover(bench)
    assert machine.registry.version("churn", 4).tags["approval_status"] == "rejected"
    bench.restores.drop(DAVE, "done", origin="terminal")
    with bench.ledger.read() as reading:
        assert [one.id for one in reading.held().copies] == []


def test_during_a_hold_an_engineer_still_rolls_back(machine: Machine) -> None:
    bench = begun(machine)
    bench.approved("promote churn 4 production")
    bench.moves.run("churn")
    bench.mirror.write()
    bench.watch.poll()
    machine.clock.turn(hours=1)
    bench.approved("promote churn 1 staging")
    machine.back_up()
    bench.moves.run("churn")
    bench.mirror.write()
    machine.restore()
    machine.registry.set_tags("churn", 4, {"approval_date": "2027-01-01T00:00:00+00:00"})
    machine.clock.turn(hours=1)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    machine.clock.turn(minutes=1)
    bench.do("rollback churn --reason 'users complain'", BOB)
    assert machine.registry.holders() == [3]


# -- the anchor --------------------------------------------------------------------------------------------------------


def anchored(machine: Machine, bench: Bench) -> Path:
    file = machine.folder / "anchor.jsonl"
    machine.policy = read_policy(POLICY | {"anchor": {"file": str(file)}})
    bench.context.rules.replace(machine.policy, "")
    Anchoring(bench.context, AnchorFile()).anchor()
    return file


def test_an_anchor_with_a_later_head_holds_even_where_nothing_waits(machine: Machine) -> None:
    bench = begun(machine)
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


def test_an_anchor_that_agrees_or_cannot_be_read_holds_nothing(machine: Machine) -> None:
    bench = begun(machine)
    bench.open()
    file = anchored(machine, bench)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    file.write_text("not an anchor\n")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None


def test_an_anchor_with_another_hash_holds(machine: Machine) -> None:
    bench = begun(machine)
    bench.open()
    file = anchored(machine, bench)
    head = json.loads(file.read_text())
    file.write_text(json.dumps(head | {"hash": "0" * 64}) + "\n")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED


# -- a restored registry -----------------------------------------------------------------------------------------------


def _copied(registry: BentRegistry) -> dict[str, Any]:
    """Return what the registry holds, as a backup of its database does."""
    return {
        name: replace(model, versions=dict(model.versions), aliases=dict(model.aliases))
        for name, model in registry._models.items()
    }


def test_a_registry_from_before_a_move_holds_what_waits(machine: Machine) -> None:
    bench = begun(machine)
    backup = _copied(machine.registry)
    machine.clock.turn(hours=1)
    bench.approved("promote churn 4 production")
    bench.moves.run("churn")
    bench.mirror.write()
    bench.watch.poll()
    machine.clock.turn(hours=1)
    request = bench.approved("promote churn 1 production")
    machine.registry._models = backup
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.REGISTRY_RESTORED
    assert bench.state(request) is RequestState.APPROVED
    assert machine.registry.holders() == [3]


# -- no hold -----------------------------------------------------------------------------------------------------------


def test_ordinary_drift_with_nothing_waiting_is_only_reported(machine: Machine) -> None:
    begun(machine)
    machine.clock.turn(hours=1)
    machine.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert "v4" in str(bench.findings()[-1].lines)


def test_drift_holds_where_a_move_waits(machine: Machine) -> None:
    bench = begun(machine)
    machine.clock.turn(hours=1)
    bench.approved("promote churn 1 production")
    machine.registry.by_hand("churn", 4, Stage.STAGING)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.UNEXPLAINED


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_crash_in_the_middle_of_a_move_recovers_without_a_hold(machine: Machine, where: str) -> None:
    bench = begun(machine)
    machine.clock.turn(hours=1)
    request = bench.approved("promote churn 4 production")

    def die() -> None:
        raise SystemExit

    setattr(machine.registry, where, die)
    with pytest.raises(SystemExit):
        bench.moves.run("churn")
    setattr(machine.registry, where, None)
    machine.clock.turn(minutes=5)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert bench.state(request) is RequestState.DONE
    assert machine.registry.holders() == [4]


def test_a_stop_between_a_move_and_the_next_look_holds_nothing(machine: Machine) -> None:
    bench = begun(machine)
    machine.clock.turn(hours=1)
    bench.approved("promote churn 4 production")
    bench.moves.run("churn")
    bench.mirror.write()
    machine.clock.turn(hours=1)
    bench.do("rollback churn --reason slow", BOB)
    bench.mirror.write()
    bench.approved("promote churn 1 production")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert machine.registry.holders() == [1]


def test_tags_from_before_this_ledger_hold_nothing(machine: Machine) -> None:
    machine.registry.set_tags("churn", 4, {"approval_status": "approved_staging", "promoted_by": "U0OLD"})
    bench = begun(machine)
    bench.open("promote churn 4 production")
    bench.mirror.write()
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None


# -- when it can't be checked ------------------------------------------------------------------------------------------


def test_while_mlflow_is_down_nothing_that_was_waiting_is_executed(machine: Machine) -> None:
    promoted_and_found_bad(machine)
    bench = machine.start()
    machine.registry.down = True
    recover(bench)
    assert hold_of(bench) is None
    machine.registry.down = False
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert machine.registry.holders() == [3]


def test_a_start_asks_once_a_page_and_once_for_each_model_that_changed_or_waits(machine: Machine) -> None:
    machine.registry.add("quiet", versions=3)
    machine.registry.add("busy", versions=1)
    bench = begun(machine)
    bench.open("promote busy 1 production")
    machine.clock.turn(hours=1)
    machine.registry.by_hand("churn", 4, Stage.STAGING)
    bench = machine.start()
    machine.registry.requests.clear()
    assert bench.context.gate.is_open()
    assert machine.registry.requests == {"models": 1, "versions": 2}
    assert bench.context.gate.is_open()
    assert machine.registry.requests.total() == 3


def test_another_process_that_moves_a_model_meanwhile_is_no_evidence(machine: Machine) -> None:
    bench = begun(machine)
    machine.clock.turn(hours=1)
    bench.approved("promote churn 4 production")
    other = Bench(
        ledger=bench.ledger, registry=machine.registry, clock=machine.clock, policy=machine.policy, owner="there:2:b"
    )
    read: Callable[[str], object] = machine.registry.versions

    def versions(name: str) -> object:
        found = read(name)
        machine.registry.versions = read  # type: ignore[method-assign,assignment]
        bench.moves.run("churn")
        return found

    machine.registry.versions = versions  # type: ignore[method-assign,assignment]
    other.restores.check()
    assert hold_of(bench) is None
