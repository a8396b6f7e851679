"""Polling the registry finds changes by others, but not our own transitions."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import RegistryUnreachable
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionKind
from tests.support.services.bench import Bench


def test_a_version_from_before_registrar_is_recorded_as_such(bench: Bench) -> None:
    assert bench.watch.poll() == 1
    [found] = bench.moves_of()
    assert (found.kind, found.version, found.target) == (TransitionKind.OBSERVED, 3, Stage.PRODUCTION)
    assert found.why == "in Production before Registrar looked"


@pytest.mark.parametrize(("champion", "order"), [(1, [1, 4, 3]), (3, [3, 4, 1]), (2, [4, 3, 1])])
def test_all_holders_from_before_registrar_have_served_and_the_alias_marks_the_current_one(
    bench: Bench, champion: int, order: list[int]
) -> None:
    for version in (1, 4):
        bench.registry.by_hand("churn", version, Stage.PRODUCTION, archive_existing=False)
    bench.registry.set_alias("churn", "champion", champion)
    bench.watch.poll()
    assert [move.version for move in bench.moves_of()] == order
    assert bench.watch.poll() == 0


def test_a_second_poll_finds_nothing_new(bench: Bench) -> None:
    bench.watch.poll()
    assert bench.watch.poll() == 0


def test_a_transition_made_in_mlflow_is_found(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    assert bench.watch.poll() == 1
    found = bench.moves_of()[0]
    assert (found.version, found.expected_incumbent, found.why) == (4, 3, "")


def test_what_is_found_is_in_the_audit(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.watch.poll()
    event = next(one for one in reversed(bench.events()) if one.tag is EventTag.TRANSITION_OBSERVED)
    assert (event.before, event.after) == ("v3", "v4")


def test_a_version_that_left_production_is_found(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 3, Stage.ARCHIVED)
    assert bench.watch.poll() == 1
    found = bench.moves_of()[0]
    assert (found.version, found.from_stage, found.target) == (3, Stage.PRODUCTION, Stage.ARCHIVED)


def test_a_deleted_version_has_left_production(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.delete_version("churn", 3)
    assert bench.watch.poll() == 1
    assert bench.moves_of()[0].from_stage is Stage.PRODUCTION


def test_a_version_that_returns_is_found_again(bench: Bench) -> None:
    bench.watch.poll()
    for stage in (Stage.ARCHIVED, Stage.PRODUCTION):
        bench.clock.advance(minutes=1)
        bench.registry.by_hand("churn", 3, stage)
        bench.watch.poll()
    assert [move.target for move in bench.moves_of()] == [Stage.PRODUCTION, Stage.ARCHIVED, Stage.PRODUCTION]


def test_our_own_transition_is_not_reported(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved()
    bench.moves.execute_due("churn")
    assert bench.watch.poll() == 0


def test_nothing_is_reported_during_our_own_transition(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved()
    found: list[int] = []
    bench.registry.after = lambda: found.append(bench.watch.poll())
    bench.moves.execute_due("churn")
    assert found == [0]


def test_nothing_is_reported_if_our_transition_runs_during_the_poll(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved()
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    look = bench.registry.versions

    def slow_look(name: str) -> object:
        seen = look(name)
        monkeypatch.undo()
        bench.moves.execute_due("churn")
        return seen

    monkeypatch.setattr(bench.registry, "versions", slow_look)
    assert bench.watch.poll() == 0


def test_a_model_without_production_has_no_history(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.add_model("new", versions=3)
    bench.watch.poll()
    assert bench.moves_of("new") == []


def test_of_several_versions_found_in_production_the_highest_is_the_one_that_serves(bench: Bench) -> None:
    bench.registry.add_model("new", versions=2)
    bench.watch.poll()
    for version in (1, 2):
        bench.registry.by_hand("new", version, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    with bench.ledger.read() as reading:
        snapshot = reading.registry_snapshot("new")
    assert snapshot
    assert [move.version for move in bench.moves_of("new") if move.id == snapshot.after] == [2]


def test_a_second_holder_next_to_the_known_one_is_not_a_transition(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    assert len(bench.moves_of()) == 1


def test_an_unavailable_registry_is_not_a_transition(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.watch.poll()
    assert len(bench.moves_of()) == 1


def test_every_model_is_checked(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=[Stage.PRODUCTION])
    assert bench.watch.poll() == 2


def test_a_deleted_model_has_left_production(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.delete_model("churn")
    assert bench.watch.poll() == 1
    assert bench.moves_of()[0].from_stage is Stage.PRODUCTION


def test_a_transition_in_mlflow_between_our_first_promotion_and_the_first_poll_is_the_newest(bench: Bench) -> None:
    bench.approved()
    bench.moves.execute_due("churn")
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 1, Stage.PRODUCTION)
    bench.watch.poll()
    assert [move.version for move in bench.moves_of()] == [1, 4]
