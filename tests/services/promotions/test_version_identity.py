"""Approvals, rollbacks, and histories are about a version's identity, not its name and number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from bot.domain.core.errors import Refused
from bot.domain.core.sentence import unpack_sentence
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.rollbacks.rollback_targets import last_good_version, serving_periods
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from tests.support.services.bench import BOB, DAVE, Bench

Attack = Callable[[Bench], None]


def recreate(bench: Bench) -> None:
    """Delete the model and create it again, with the same numbers in the same stages."""
    layout = [one.stage for one in reversed(bench.registry.versions("churn"))]
    bench.registry.delete_model("churn")
    bench.registry.add_model("churn", versions=layout)


def swap(bench: Bench) -> None:
    """Swap two models by renaming them."""
    bench.registry.add_model("fraud", versions=[one.stage for one in reversed(bench.registry.versions("churn"))])
    bench.registry.rename_model("churn", "elsewhere")
    bench.registry.rename_model("fraud", "churn")
    bench.registry.rename_model("elsewhere", "fraud")


def restore(bench: Bench) -> None:
    """Reuse a number: after a restore of the registry, a different version was registered as v4."""
    bench.registry.replace_version("churn", 4, run_id="another", created_at=datetime.now(UTC))


ATTACKS = [pytest.param(attack, id=attack.__name__) for attack in (recreate, swap, restore)]


@pytest.fixture
def served(bench: Bench) -> Bench:
    """Return a bench whose `churn` had v3, then v4 in Production."""
    bench.watch.poll()
    bench.clock.advance(hours=30)
    bench.approved()
    bench.moves.execute_due("churn")
    bench.watch.poll()
    return bench


def last_rollback(bench: Bench) -> Transition:
    return next(move for move in bench.moves_of() if move.kind is TransitionKind.ROLLBACK)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_different_version_with_a_pending_request_s_number_is_not_promoted(bench: Bench, attack: Attack) -> None:
    request = bench.open()
    attack(bench)
    bench.approve(request)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert "is a different version now" in bench.now(request).outcome


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_different_version_with_an_approved_request_s_number_is_not_promoted(bench: Bench, attack: Attack) -> None:
    request = bench.approved()
    attack(bench)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])


def test_a_different_version_is_not_promoted_by_break_glass(bench: Bench) -> None:
    request = bench.open('promote churn 4 production --break-glass --reason "outage"', DAVE)
    recreate(bench)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])


def test_a_different_version_is_not_archived(bench: Bench) -> None:
    done = bench.errands.execute(bench.ask("archive churn 4 --reason old", BOB).id)
    recreate(bench)
    bench.moves.execute_due(done.due_model)
    assert bench.registry.version("churn", 4).stage is Stage.NONE


def test_a_request_whose_version_was_replaced_ends_at_the_next_poll(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    request = bench.open()
    bench.clock.advance(minutes=1)
    recreate(bench)
    bench.watch.poll()
    bench.request_upkeep.end_outdated()
    assert bench.state(request) is RequestState.STALE


def test_a_request_is_not_executed_if_the_incumbent_was_replaced_under_its_number(bench: Bench) -> None:
    request = bench.approved()
    bench.registry.replace_version("churn", 3, run_id="another")
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.STALE


def test_a_different_version_with_a_rollback_target_s_number_is_refused(served: Bench) -> None:
    recreate(served)
    served.watch.poll()
    with pytest.raises(Refused):
        served.do('rollback churn --reason "accuracy fell"', BOB)
    assert served.registry.holders() == [4]


def test_a_rollback_is_not_made_if_its_target_was_replaced(served: Bench) -> None:
    done = served.errands.execute(served.ask('rollback churn --reason "accuracy fell"', BOB).id)
    recreate(served)
    served.moves.execute_due(done.due_model)
    assert (last_rollback(served).state, served.registry.holders()) == (TransitionState.STALE, [4])


def test_a_poll_reports_replaced_versions_and_adds_a_serving_period(served: Bench) -> None:
    recreate(served)
    served.watch.poll()
    [found] = [one for one in served.findings() if "same versions" in str(one.lines)]
    assert str(found.lines[0]).startswith("v1, v2, v3, v4 aren't the same versions anymore")
    newest = served.moves_of()[0]
    assert (newest.kind, newest.version, newest.expected_incumbent) == (TransitionKind.OBSERVED, 4, 4)


def test_automations_do_not_roll_back_to_a_replaced_version(served: Bench) -> None:
    recreate(served)
    served.watch.poll()
    assert automatic_target(served) is None


def automatic_target(bench: Bench) -> int | None:
    """Return the version that an automation could roll back to now."""
    with bench.ledger.read() as reading:
        found, look = (
            serving_periods(reading.transitions("churn", stage=Stage.PRODUCTION)),
            reading.registry_snapshot("churn"),
        )
    return last_good_version(found, (), bench.clock.now(), timedelta(hours=1), look)


def test_a_repair_keeps_its_chosen_version(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    [found] = [one for one in bench.findings() if one.is_repairable]
    bench.moves.execute_due(bench.tending.repair_stage(BOB, found.id, origin="slack"))
    repair = next(move for move in bench.moves_of() if move.kind is TransitionKind.REPAIR)
    assert repair.identity == bench.registry.version("churn", repair.version).identity()


# -- rows of an older release ------------------------------------------------------------------------------------------


@pytest.fixture
def upgraded(served: Bench, sqlite_url: str) -> Bench:
    """Return a bench with the ledger of an older release, without identities."""
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        for table in ("moves", "requests"):
            connection.execute(text(f"UPDATE {table} SET identity = NULL"))  # noqa: S608 - two names of ours
        connection.execute(text("UPDATE looks SET marks = NULL, tags = NULL, created_at = NULL"))
    engine.dispose()
    for number in (1, 2, 3, 4):  # older than the history, as any version that has served is
        served.registry.replace_version("churn", number, created_at=served.clock.now() - timedelta(days=9))
    return served


def test_the_first_poll_after_an_upgrade_fills_in_identities_on_trust(upgraded: Bench) -> None:
    upgraded.watch.poll()
    moves = [move for move in upgraded.moves_of() if move.version in {3, 4}]
    assert {move.trusted_at for move in moves} == {upgraded.clock.now()}
    assert moves[0].identity is not None


def test_a_version_identified_on_trust_is_a_target_for_people_immediately(upgraded: Bench) -> None:
    upgraded.watch.poll()
    upgraded.do('rollback churn --reason "accuracy fell"', BOB)
    assert upgraded.registry.holders() == [3]


def test_a_version_identified_on_trust_is_a_target_for_automations_a_day_later(upgraded: Bench) -> None:
    upgraded.watch.poll()
    upgraded.clock.advance(hours=23)
    assert automatic_target(upgraded) is None
    upgraded.clock.advance(hours=1)
    assert automatic_target(upgraded) == 3


def test_a_version_without_an_identity_is_not_a_target_for_automations(upgraded: Bench) -> None:
    upgraded.clock.advance(hours=25)
    assert automatic_target(upgraded) is None


def test_a_version_created_after_the_transition_is_not_trusted(upgraded: Bench) -> None:
    upgraded.registry.replace_version("churn", 3, created_at=upgraded.clock.now())
    upgraded.watch.poll()
    [observed] = [move for move in upgraded.moves_of() if move.version == 3]
    assert observed.identity is None


# -- an in-place migration of the registry -----------------------------------------------------------------------------


@pytest.fixture
def migrated(served: Bench) -> Bench:
    """Return a bench with two more models, after all files moved to another bucket and a poll found that."""
    for name in ("fraud", "spam"):
        served.registry.add_model(name, versions=[Stage.PRODUCTION, Stage.NONE])
    served.watch.poll()
    served.open("promote churn 2 production")
    served.registry.move_files("memory:/", "s3://new/")
    served.clock.advance(minutes=1)
    for _ in range(3):
        served.watch.poll()
    served.request_upkeep.end_outdated()
    return served


def reports(bench: Bench) -> list[str]:
    """Return the undelivered channel messages about sources."""
    return [
        told
        for note in bench.notes()
        if "say" in note.data and "migrated" in (told := str(unpack_sentence(note.data["say"])))
    ]


def test_an_in_place_registry_migration_is_one_report(migrated: Bench) -> None:
    [report] = reports(migrated)
    assert "The files of 3 models moved" in report
    assert "registrar db accept" in report
    assert not [one for one in migrated.findings() if "same version" in str(one.lines)]


def test_requests_from_before_a_migration_are_held_until_an_admin_accepts_it(migrated: Bench) -> None:
    with migrated.ledger.read() as reading:
        [waiting] = reading.requests(states=[RequestState.PENDING])
    with pytest.raises(Refused, match="is on hold"):
        migrated.approve(waiting)


def test_everything_continues_after_an_admin_accepts_the_migration(migrated: Bench) -> None:
    migrated.restores.accept(DAVE, "the bucket was moved", origin="terminal")
    migrated.watch.poll()
    assert reports(migrated) == reports(migrated)[:1]
    with migrated.ledger.read() as reading:
        [waiting] = reading.requests(states=[RequestState.PENDING])
    migrated.approve(waiting)
    migrated.moves.execute_due("churn")
    assert migrated.registry.holders() == [2]
    migrated.do('rollback churn 3 --reason "accuracy fell"', BOB)
    assert migrated.registry.holders() == [3]


def test_one_model_with_moved_files_is_not_a_migration(served: Bench) -> None:
    served.registry.add_model("fraud", versions=[Stage.PRODUCTION])
    served.watch.poll()
    served.registry.move_files("memory:/churn/", "s3://new/churn/")
    served.watch.poll()
    assert not reports(served)
    assert [one for one in served.findings() if "same versions" in str(one.lines)]


# -- identities --------------------------------------------------------------------------------------------------------

HERE = VersionIdentity(run_id="run1", source="s3://a/1")


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (HERE, True),
        (replace(HERE, run_id="run2"), False),
        (replace(HERE, source="s3://b/1"), False),
    ],
)
def test_a_version_is_identified_by_its_run_and_source(other: VersionIdentity, is_same: bool) -> None:
    assert (HERE.is_same(other), HERE.fingerprint == other.fingerprint) == (is_same, is_same)
