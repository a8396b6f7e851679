"""Files are compared later with what was recorded: on request, and every day while a version is in Production."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.registry.model import Stage
from bot.services.integrity.digests import request_comparison
from tests.support.integrity.digests import World, give_up, refuse, unreachable
from tests.support.registry.memory import MemoryFiles


@pytest.fixture
def compared(world: World) -> World:
    """Return the world with recorded files, right before a requested comparison."""
    world.request()
    world.run()
    world.read.clear()
    world.bench.clock.advance(hours=1)
    world.compare()
    return world


def test_files_that_still_match_are_not_reported(compared: World) -> None:
    assert compared.run() == 1
    assert (compared.now.compared_at, compared.now.changed) == (compared.bench.clock.now(), ())
    assert (compared.read, compared.changes) == (["a", "b", "c/d"], [])


def test_changed_added_and_removed_files_are_reported_once(compared: World) -> None:
    compared.add("a", b"x")
    compared.add("e", b"new")
    compared.run()
    assert compared.now.changed == ("a", "e")
    assert compared.now.is_recorded
    event = compared.bench.events()[-1]
    assert (event.tag, event.evidence) == (
        EventTag.FILES_CHANGED,
        {"version": 4, "files": ["a", "e"], "changed": 2},
    )
    compared.bench.clock.advance(hours=1)
    compared.compare()
    compared.run()
    assert len(compared.changes) == 1


def test_files_that_match_again_are_reported_too(compared: World) -> None:
    compared.add("a", b"x")
    compared.run()
    compared.add("a", b"a")
    compared.bench.clock.advance(hours=1)
    compared.compare()
    compared.run()
    assert [digest.changed for digest in compared.changes] == [("a",), ()]


def test_files_that_are_all_gone_have_changed(compared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [])
    compared.run()
    assert compared.now.changed == ("a", "b", "c/d")


def test_a_file_that_grew_over_the_limit_has_changed_without_being_read(compared: World) -> None:
    compared.add("a", bytes(2000))
    compared.run()
    assert (compared.now.changed, compared.read) == (("a",), [])


def test_a_comparison_that_began_too_early_begins_again(compared: World) -> None:
    def approve(path: str) -> None:
        if path == "b":
            compared.bench.clock.advance(seconds=1)
            compared.compare()
            compared.action = lambda _: None

    compared.action = approve
    assert compared.run() == 1
    assert compared.read == ["a", "b", "a", "b", "c/d"]
    assert compared.now.compared_at == compared.bench.clock.now()


def test_a_request_does_not_disturb_a_comparison_that_began_later(compared: World) -> None:
    def again(_: str) -> None:
        with compared.bench.ledger.write() as tx:
            request_comparison(tx, compared.now, since=compared.bench.clock.now() - timedelta(seconds=1))

    compared.action = again
    assert compared.run() == 1
    assert compared.read == ["a", "b", "c/d"]


def test_an_outage_during_a_comparison_changes_nothing(compared: World) -> None:
    before = compared.now.compared_at
    compared.action = unreachable
    assert compared.run() == 0
    assert (compared.now.changed, compared.now.compared_at, compared.now.is_recorded) == ((), before, True)


def test_a_refused_comparison_ends_and_can_be_requested_again(compared: World) -> None:
    compared.action = refuse
    give_up(compared)
    assert (compared.now.is_recorded, compared.now.due_at, compared.now.why) == (True, None, "Forbidden.")
    compared.action = lambda _: None
    compared.compare()
    assert compared.run() == 1


def test_a_listing_shows_changes_without_reading(compared: World) -> None:
    assert compared.digests().compare_listing(compared.version) == ()
    compared.add("a", b"xy")
    assert compared.digests().compare_listing(compared.version) == ("a",)
    assert compared.read == []


def test_nothing_is_listed_if_nothing_is_recorded(world: World) -> None:
    world.request()
    assert world.digests().compare_listing(world.version) == ()


# The schedule


@pytest.fixture
def scheduled(world: World) -> World:
    """Return the world with v4 in Production, as the poll found it."""
    world.bench.watch.poll()
    world.bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    world.bench.clock.advance(seconds=1)
    world.bench.watch.poll()
    world.digests().schedule()
    return world


def test_a_version_in_production_without_a_digest_gets_one(scheduled: World) -> None:
    assert scheduled.run() == 1
    assert scheduled.now.is_recorded


def test_a_version_in_production_is_compared_every_day(scheduled: World) -> None:
    scheduled.run()
    for hours, runs in ((23, 0), (1, 1), (23, 0), (1, 1)):
        scheduled.bench.clock.advance(hours=hours)
        scheduled.digests().schedule()
        assert scheduled.run() == runs


def test_a_version_that_left_production_is_not_compared(scheduled: World) -> None:
    scheduled.run()
    scheduled.bench.registry.by_hand("churn", 4, Stage.ARCHIVED)
    scheduled.bench.watch.poll()
    scheduled.bench.clock.advance(hours=25)
    scheduled.digests().schedule()
    assert scheduled.run() == 0


def test_a_digest_that_failed_is_not_tried_every_minute(scheduled: World) -> None:
    scheduled.action = refuse
    give_up(scheduled)
    scheduled.digests().schedule()
    assert scheduled.now.due_at is None
