"""Rollbacks: to the previous version, further back each time, and never leaving Production empty."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.commands.rollbacks import Unblock
from bot.domain.core.errors import BadInput, Refused, UnknownModel
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks.rollback_targets import rollback_transition
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import MessageKind
from bot.services.transitions.executor import LEASE
from tests.support.services.bench import ALICE, BOB, CAROL, Bench
from tests.support.services.rollbacks import ROLL_BACK, package_with_input


def rollback(bench: Bench) -> Transition:
    """Return the newest rollback."""
    with bench.ledger.read() as reading:
        return next(move for move in reading.transitions("churn") if move.kind is TransitionKind.ROLLBACK)


def barred(bench: Bench) -> set[int]:
    with bench.ledger.read() as reading:
        return {bar.version for bar in reading.rollback_blocks("churn")}


def thread(bench: Bench, lane: str) -> list[str]:
    return [
        str(unpack_sentence(note.data["say"]))
        for note in bench.notes()
        if note.kind is MessageKind.THREAD_REPLY and note.lane == lane
    ]


def test_a_rollback_restores_the_previous_version(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [2]
    assert served.registry.model("churn").aliases["champion"] == 2


def test_each_rollback_goes_further_back_and_never_forward(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [3]
    with pytest.raises(Refused, match="no version to roll back to"):
        served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [3]


def test_a_rollback_to_a_named_version_restores_it(served: Bench) -> None:
    served.do('rollback churn 3 --reason "v2 was no better"', BOB)
    assert served.registry.holders() == [3]


def test_after_a_named_target_the_next_rollback_goes_further_back(served: Bench) -> None:
    served.do('rollback churn 3 --reason "v2 was no better"', BOB)
    with pytest.raises(Refused, match="no version to roll back to"):
        served.do(ROLL_BACK, BOB)


def test_the_version_that_was_rolled_back_is_blocked(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    assert barred(served) == {4}


def test_a_blocked_version_is_skipped(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)  # v4 out, v2 in
    served.approved("promote churn 1 production")
    served.moves.execute_due("churn")
    served.do(ROLL_BACK, BOB)
    assert (served.registry.holders(), barred(served)) == ([2], {4, 1})


def test_unblocking_removes_the_block(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    command = build_command(Unblock, {"model": "churn", "version": "4", "reason": "it was the feature store"})
    served.execute(BOB, command)
    assert barred(served) == set()
    assert served.events()[-1].why == "it was the feature store"


def test_a_version_that_is_not_blocked_cannot_be_unblocked(served: Bench) -> None:
    command = build_command(Unblock, {"model": "churn", "version": "2", "reason": "?"})
    with pytest.raises(BadInput, match="isn't blocked"):
        served.execute(BOB, command)


def test_people_not_in_the_policy_cannot_roll_back(served: Bench) -> None:
    with pytest.raises(Refused, match="Only people who can roll back"):
        served.ask(ROLL_BACK, ALICE)
    assert (served.events()[-1].evidence["verb"], served.registry.holders()) == ("rollback", [4])


def test_people_not_in_the_policy_cannot_unblock(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    command = build_command(Unblock, {"model": "churn", "version": "4", "reason": "?"})
    with pytest.raises(Refused, match="Only people who can roll back"):
        served.execute(ALICE, command)
    assert (served.events()[-1].evidence["act"], barred(served)) == (Permission.UNBLOCK.value, {4})


def test_the_version_in_production_is_not_a_target(served: Bench) -> None:
    with pytest.raises(BadInput, match="already"):
        served.do('rollback churn 4 --reason "?"', BOB)


def test_a_rollback_has_one_message_and_an_empty_thread(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    move = rollback(served)
    assert [
        note.kind for note in served.notes() if note.lane == move.id and note.kind is not MessageKind.THREAD_REPLY
    ] == [
        MessageKind.ROLLBACK,
        MessageKind.ROLLBACK,
    ]
    served.mirror.write_due()
    assert thread(served, move.id) == []


def test_the_tags_show_the_rollback_in_mlflow(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    served.mirror.write_due()
    out, back = served.registry.version("churn", 4).tags, served.registry.version("churn", 2).tags
    assert (out["rollback_reason"], out["rolled_back_by"]) == ("accuracy fell", "UBOB")
    assert (back["restored_to_production"], back["restored_by"]) == ("true", "UBOB")
    assert "rollback_date" in out
    assert "restoration_date" in back


def test_a_rollback_is_audited_with_versions_person_and_reason(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    event = next(one for one in reversed(served.events()) if one.tag.value.endswith("rolled_back"))
    assert (event.before, event.after, event.why, event.actor) == ("v4", "v2", "accuracy fell", BOB.person)


def test_nothing_changes_if_production_changed_in_the_meantime(served: Bench) -> None:
    done = served.errands.execute(served.ask(ROLL_BACK, BOB).id)
    served.registry.by_hand("churn", 1, Stage.PRODUCTION)
    served.moves.execute_due(done.due_model)
    assert (served.registry.holders(), rollback(served).state) == ([1], TransitionState.STALE)
    assert barred(served) == set()


def test_two_concurrent_rollbacks_go_one_step_back(served: Bench) -> None:
    first, second = served.ask(ROLL_BACK, BOB), served.ask(ROLL_BACK, CAROL)
    for ask in (first, second):
        served.errands.execute(ask.id)
    served.moves.execute_due("churn")
    assert (served.registry.holders(), barred(served)) == ([2], {4})


def test_a_rollback_finishes_after_a_crash(served: Bench) -> None:
    served.errands.execute(served.ask(ROLL_BACK, BOB).id)
    served.registry.by_hand("churn", 2, Stage.PRODUCTION)  # as far as the first attempt got
    served.clock.advance(seconds=LEASE.total_seconds())
    served.moves.execute_due("churn")
    assert (rollback(served).state, served.registry.model("churn").aliases["champion"]) == (TransitionState.DONE, 2)


def test_a_rollback_that_the_registry_ignored_fails_verification(served: Bench) -> None:
    served.registry.is_deaf = True
    served.do(ROLL_BACK, BOB)
    assert rollback(served).state is TransitionState.FAILED
    assert not any("verified in" in line for line in thread(served, rollback(served).id))


# -- invalid targets ---------------------------------------------------------------------------------------------------


def test_a_version_that_served_before_many_others_is_still_a_target(served: Bench) -> None:
    for version in (1, 4) * 3:
        served.approved(f"promote churn {version} production")
        served.moves.execute_due("churn")
    with served.ledger.read() as reading:
        assert [move.version for move in reading.production_entries("churn", 3)] == [3]
    served.do('rollback churn 2 --reason "the others are worse"', BOB)
    assert served.registry.holders() == [2]


def test_a_target_that_was_blocked_after_the_decision_is_not_moved(served: Bench) -> None:
    done = served.errands.execute(served.ask('rollback churn 2 --reason "it fell"', BOB).id)
    with served.ledger.write() as tx:
        tx.add_rollback_block(
            RollbackBlock(
                id="b", model="churn", version=2, move="m", at=served.clock.now(), by=CAROL.person, reason="bad"
            )
        )
    served.moves.execute_due(done.due_model)
    move = rollback(served)
    assert (served.registry.holders(), move.state) == ([4], TransitionState.STALE)
    assert "is blocked" in move.why


def test_a_recorded_rollback_to_a_version_that_never_served_is_not_executed(served: Bench) -> None:
    move = rollback_transition(
        "r", "churn", target=1, incumbent=4, actor=BOB.person, now=served.clock.now(), reason="it fell"
    )
    with served.ledger.write() as tx:
        tx.add_transition(replace(move, is_forced=True))
    served.moves.execute_due("churn")
    assert (served.registry.holders(), rollback(served).state) == ([4], TransitionState.STALE)


def test_a_name_with_different_case_is_an_unknown_model(served: Bench) -> None:
    served.registry.ignores_case = True
    for text in (
        'rollback CHURN 3 --reason "?"',
        "promote Churn 1 production",
        "describe CHURN hello",
        "tag CHURN 1 owner=me",
        "archive CHURN 1",
        f"register {served.registry.add_run()} CHURN",
    ):
        with pytest.raises(UnknownModel, match="Did you mean “churn”"):
            served.do(text, BOB)
    assert served.registry.holders() == [4]


def test_a_name_with_different_case_is_refused_by_the_ledger_too(served: Bench) -> None:
    reason = {"reason": "end of the quarter"}
    with pytest.raises(UnknownModel, match="Did you mean “churn”"):
        served.execute(BOB, build_command(FreezeModel, {"model": "Churn"} | reason))
    with pytest.raises(UnknownModel, match="Did you mean “churn”"):
        served.execute(BOB, build_command(Unblock, {"model": "CHURN", "version": "4"} | reason))
    served.execute(BOB, build_command(FreezeModel, {"model": "churn"} | reason))
    assert served.freezing.active_freeze("churn") is not None


# -- versions that might not load --------------------------------------------------------------------------------------


def test_a_version_whose_run_was_deleted_needs_force(served: Bench) -> None:
    served.registry.add_run("lost")
    served.registry.add_version("churn", run_id="lost", stage=Stage.ARCHIVED)
    served.approved("promote churn 5 production")
    served.moves.execute_due("churn")
    served.approved("promote churn 1 production")
    served.moves.execute_due("churn")
    served.registry.delete_run("lost")
    with pytest.raises(Refused, match=r"run is gone.*--force"):
        served.do(ROLL_BACK, BOB)
    served.do('rollback churn --force --reason "the files are there"', BOB)
    assert served.registry.holders() == [5]
    assert any(one.tag.value == "person:version:forced" for one in served.events())


def test_a_version_with_a_different_signature_needs_force(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    served.registry.add_package(served.registry.version("churn", 2), package_with_input("integer"))
    with pytest.raises(Refused, match="signature differs"):
        served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [4]


def columns(*columns: SignatureColumn) -> ModelPackage:
    return ModelPackage(flavors=("sklearn",), signature=Signature(inputs=columns))


def test_a_version_without_an_input_that_callers_send_needs_force(served: Bench) -> None:
    age, city = SignatureColumn(name="age", type="long"), SignatureColumn(name="city", type="string")
    served.registry.add_package(served.registry.version("churn", 4), columns(age, city))
    served.registry.add_package(served.registry.version("churn", 2), columns(age))
    with pytest.raises(Refused, match=r"input city was removed.*--force"):
        served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [4]


def test_a_version_that_accepts_every_call_needs_no_force(served: Bench) -> None:
    age, plan = SignatureColumn(name="age", type="long"), SignatureColumn(name="plan", type="string")
    served.registry.add_package(served.registry.version("churn", 4), columns(age, plan))
    served.registry.add_package(
        served.registry.version("churn", 2), columns(plan, SignatureColumn(name="age", type="long", required=False))
    )
    served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [2]


def test_a_version_whose_files_are_missing_needs_force(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    with pytest.raises(Refused, match="MLmodel file is missing"):
        served.do(ROLL_BACK, BOB)


def test_unnecessary_force_is_not_recorded(served: Bench) -> None:
    served.do('rollback churn --force --reason "hurry"', BOB)
    assert not rollback(served).is_forced
