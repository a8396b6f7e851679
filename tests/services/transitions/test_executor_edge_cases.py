"""Edge cases of the executor: small mutations that no other test detects."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistryUnreachable
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ports import Claim
from bot.services.transitions.executor import LEASE
from tests.support.services.bench import BOB, Bench, second_bench


@pytest.fixture
def request_(bench: Bench) -> Request:
    """Return an approved request whose transition isn't done yet."""
    return bench.approved()


def served(bench: Bench) -> Bench:
    """Replace v3 with v4 in Production, so that there's a rollback target."""
    bench.watch.poll()
    bench.clock.advance(hours=30)
    bench.approved()
    bench.moves.execute_due("churn")
    return bench


def test_only_the_first_of_two_transitions_is_tried_while_the_registry_is_down(bench: Bench, request_: Request) -> None:
    other = bench.approved("promote churn 1 staging")
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    assert (bench.move(request_).attempts, bench.move(other).attempts) == (1, 0)


def test_a_transition_without_effect_is_tried_three_times(bench: Bench, request_: Request) -> None:
    bench.registry.is_deaf = True
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 3


def test_a_lower_version_that_keeps_the_incumbent_is_confirmed_immediately(bench: Bench) -> None:
    request = bench.approved("promote churn 2 production --keep-existing")
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.now(request).outcome) == (RequestState.DONE, "")
    assert bench.registry.holders() == [3, 2]


def test_a_transition_whose_alias_keeps_moving_is_done_and_says_so(
    bench: Bench, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.registry, "set_alias", lambda *_: None)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert "Something else keeps moving the alias champion" in bench.now(request_).outcome


def test_a_rollback_is_not_confirmed_while_its_alias_is_missing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    served(bench)
    monkeypatch.setattr(bench.registry, "set_alias", lambda *_: None)
    bench.do("rollback churn --reason worse", BOB)
    assert "Something else keeps moving the alias champion" in bench.moves_of()[0].why


def test_a_replaced_process_that_loses_the_registry_releases_nothing(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        raise RegistryUnreachable("The registry isn't responding.")

    bench.registry.after = hang
    bench.moves.execute_due("churn")
    assert (bench.state(request_), bench.move(request_).state) == (RequestState.DONE, TransitionState.DONE)
    assert [note for note in bench.notes() if note.key == f"news:{request_.id}:waiting"] == []


def test_an_expired_transition_ends_and_changes_nothing(bench: Bench, request_: Request) -> None:
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    event = bench.events()[-1]
    assert (event.tag, event.after) == (EventTag.STALE, None)
    assert isinstance(event.actor, Automation)


def test_a_finished_transition_is_recorded_with_its_actor(bench: Bench, request_: Request) -> None:
    bench.moves.execute_due("churn")
    event = bench.events()[-1]
    assert (event.tag, event.actor, event.before, event.after) == (EventTag.TRANSITION_DONE, BOB.person, "v3", "v4")


def test_a_version_that_isn_t_archived_is_not_announced_as_archived(bench: Bench) -> None:
    bench.errands.execute(bench.ask("archive churn 4", BOB).id)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert [note.key for note in bench.notes() if note.key.startswith("said")] == []


def test_archiving_leaves_the_other_archived_versions_alone(bench: Bench) -> None:
    bench.do("archive churn 4", BOB)
    assert bench.registry.holders(stage=Stage.ARCHIVED) == [4, 1]
    assert "champion" not in bench.registry.version("churn", 4).aliases


def test_a_late_repair_leaves_the_drift_notice_open(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    [finding] = [one for one in bench.findings() if one.mend]
    bench.tending.repair_stage(BOB, finding.id, origin="slack")
    bench.registry.by_hand("churn", 3, Stage.ARCHIVED)
    bench.moves.execute_due("churn")
    with bench.ledger.read() as reading:
        assert reading.drift_notice(finding.id).is_repairable


def test_a_rollback_whose_incumbent_was_deleted_is_outdated(bench: Bench) -> None:
    served(bench)
    bench.errands.execute(bench.ask("rollback churn --reason worse", BOB).id)
    bench.registry.delete_version("churn", 4)
    bench.moves.execute_due("churn")
    assert bench.moves_of()[0].state is TransitionState.STALE


def test_a_process_replaced_before_the_alias_leaves_it_alone(
    bench: Bench, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, read = second_bench(bench), bench.ledger.read

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        with read() as reading:
            [move] = [one for one in reading.transitions("churn") if one.state is TransitionState.EXECUTING]
        with bench.ledger.write() as tx:
            tx.claim_transition("churn", Claim(other.owner, bench.clock.now(), bench.clock.now() + LEASE))
            assert tx.transition(move.id).attempts == move.attempts + 1

    bench.registry.after = hang
    bench.moves.execute_due("churn")
    assert bench.registry.model("churn").aliases["champion"] == 3


def test_a_transition_is_taken_over_after_sixty_seconds(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)
    tries: list[int] = []

    def hang() -> None:
        for seconds in (59, 1):
            bench.clock.advance(seconds=seconds)
            other.moves.execute_due("churn")
            tries.append(bench.move(request_).attempts)

    bench.registry.before = hang
    bench.moves.execute_due("churn")
    assert tries == [1, 2]


def test_a_rollback_waiting_for_the_registry_says_so_once(bench: Bench) -> None:
    served(bench)
    bench.errands.execute(bench.ask("rollback churn --reason worse", BOB).id)
    bench.registry.is_down = True
    for _ in range(3):
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=2)
    move = bench.moves_of()[0]
    assert [note.key for note in bench.notes()].count(f"rollback:{move.id}:waiting") == 1
    assert move.why.startswith("MLflow isn't responding. I'll roll back")
    bench.registry.is_down = False
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]


def test_an_archive_waiting_for_the_registry_says_nothing(bench: Bench) -> None:
    bench.errands.execute(bench.ask("archive churn 4", BOB).id)
    bench.registry.is_down = True
    before = {note.key for note in bench.notes()}
    bench.moves.execute_due("churn")
    assert {note.key for note in bench.notes()} == before


def test_a_waiting_transition_redraws_its_card(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    assert f"card:{request_.id}:waiting" in {note.key for note in bench.notes()}
