"""Checks, measurements, and baselines of monitors in every ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

import pytest

from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorState
from bot.domain.monitoring.rules.baseline_summary import summarize
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.policy.monitor_config import MonitorConfig
from bot.ledger import SqlLedger
from bot.ports import CheckBatch
from tests.support.ledger.records import LATER, NOW, SOON, a_measurement, slot_claims

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Checks


def test_another_process_can_claim_a_check_after_the_claim_expires(ledger: SqlLedger) -> None:
    one, other = ("m1", 1), ("m2", 1)
    with ledger.write() as w:
        assert w.claim_slots(slot_claims({one: SOON, other: LATER}, "one", NOW)) == {one, other}
        assert w.claim_slots(slot_claims({one: SOON}, "two", NOW)) == set()
    with ledger.write() as w:
        assert w.claim_slots(slot_claims({one: LATER, other: LATER, ("m3", 1): LATER}, "two", SOON + MOMENT)) == {
            one,
            ("m3", 1),
        }
        assert w.finish_slots([a_measurement(*one), a_measurement(*other)], "one") == {other}
        assert w.finish_slots([a_measurement(*one), a_measurement("m9", 1)], "two") == {one}
        assert w.claim_slots(slot_claims({one: LATER}, "one", LATER + MOMENT)) == set()


def test_a_monitor_that_is_being_checked_is_not_due(ledger: SqlLedger) -> None:
    monitor = a_monitor()
    with ledger.write() as w:
        w.add_monitor(monitor)
        w.save_monitor_state(MonitorState(monitor=monitor.id, slot=3, next_at=NOW))
        assert [due.id for due, _ in w.due_monitors(NOW)] == [monitor.id]
        w.claim_slots(slot_claims({(monitor.id, 4): SOON}, "one", NOW))
        assert w.due_monitors(NOW) == []
        assert [due.id for due, _ in w.due_monitors(SOON + MOMENT)] == [monitor.id]


def test_only_claimed_checks_of_a_batch_run(ledger: SqlLedger) -> None:
    mine, lapsed, done = (a_monitor(name, name) for name in ("mine", "lapsed", "done"))
    with ledger.write() as w:
        for monitor in (mine, lapsed, done):
            w.add_monitor(monitor)
            w.save_monitor_state(MonitorState(monitor=monitor.id, next_at=NOW))
        w.claim_slots(slot_claims({("mine", 1): LATER, ("lapsed", 1): NOW, ("done", 1): LATER}, "one", NOW))
        w.finish_slots([a_measurement("done", 1)], "one")
        batch = CheckBatch("push", "one", (("mine", 1), ("lapsed", 1), ("done", 1)))
        assert [monitor.id for monitor, _ in w.claimed_monitors(batch, SOON)] == ["mine"]
        assert w.claimed_monitors(replace(batch, owner="two"), SOON) == []


def test_a_dead_processs_checks_are_released_if_no_other_process_runs_them(ledger: SqlLedger) -> None:
    names = ("begun", "made", "theirs")
    with ledger.write() as w:
        for name in names:
            w.add_monitor(a_monitor(name, name))
            w.save_monitor_state(MonitorState(monitor=name, next_at=NOW))
        w.claim_slots(slot_claims({("begun", 1): LATER, ("made", 1): LATER}, "gone", NOW))
        w.claim_slots(slot_claims({("theirs", 1): LATER}, "here", NOW))
        w.finish_slots([a_measurement("made", 1)], "gone")
        w.save_monitor_state(MonitorState(monitor="made", slot=1, next_at=LATER))
        assert (w.lease_owners(), w.due_monitors(NOW)) == (["gone", "here"] if ledger.is_file else [], [])
        w.release_leases("gone")
        assert w.lease_owners() == (["here"] if ledger.is_file else [])
        assert [due.id for due, _ in w.due_monitors(NOW)] == (["begun"] if ledger.is_file else [])
        if not ledger.is_file:
            return
        assert w.claim_slots(slot_claims({("begun", 1): LATER, ("made", 1): LATER}, "two", NOW)) == {("begun", 1)}
        assert w.finish_slots([a_measurement("begun", 1)], "gone") == set()


MOMENT = timedelta(microseconds=1)


def a_monitor(number: str = "m1", name: str = "accuracy") -> Monitor:
    rule = MonitorConfig(name=name, source="push", greater_than=0.85)
    return Monitor(id=number, model="churn", created_at=NOW, rule=rule)


def test_a_monitor_state_is_read_as_it_was_written(ledger: SqlLedger) -> None:
    known = MonitorState(monitor="m1", failed_at=NOW, evidence=(0.1 + 0.2, -1.5, inf, -inf))
    with ledger.write() as w:
        w.save_monitor_state(known, MonitorState(monitor="m2"))
    with ledger.read() as r:
        assert (r.monitor_state("m1"), r.monitor_state("m2")) == (known, MonitorState(monitor="m2"))


# Frozen baselines


def a_baseline(monitor: str, since: datetime, until: datetime) -> FrozenBaseline:
    """Return a baseline from two readings, in which most values are NaN."""
    points = TimeSeries.from_columns([since.timestamp(), until.timestamp()], [0.9, 0.91])
    summary = summarize(points, start=until.timestamp(), window=3600.0, history=7 * 86_400.0)
    return FrozenBaseline(
        monitor=monitor, move="m1", key="1 blocks", since=since, until=until, made_at=NOW, summary=summary
    )


def test_a_frozen_baseline_is_read_as_written_and_can_be_replaced(ledger: SqlLedger) -> None:
    first, second = (a_baseline("m1", NOW - timedelta(days=days), NOW) for days in (1, 2))
    for one in (first, second):
        with ledger.write() as w:
            w.save_baselines([one])
            w.save_baselines([])
        with ledger.read() as r:
            assert repr(r.baselines(["m1"])["m1"]) == repr(one)  # NaN isn't equal to itself
            assert r.baselines(["m2"]) == {}


def test_a_versions_own_baseline_is_stored_next_to_the_frozen_one(ledger: SqlLedger) -> None:
    frozen, own = (a_baseline("m1", NOW - timedelta(days=days), NOW) for days in (2, 1))
    with ledger.write() as w:
        w.save_baselines([frozen])
        w.save_baselines([own], own=True)
    with ledger.read() as r:
        assert repr(r.baselines(["m1", "m2"])) == repr({"m1": frozen})
        assert repr(r.baselines(["m1", "m2"], own=True)) == repr({"m1": own})
        assert r.baselines([]) == {}


def test_purging_keeps_a_baselines_checks_until_its_monitor_is_removed(ledger: SqlLedger) -> None:
    old = [NOW - timedelta(days=days) for days in (3, 2, 1)]
    with ledger.write() as w:
        w.add_monitor(a_monitor())
        w.claim_slots(
            slot_claims({(monitor, slot): SOON for monitor in ("m1", "m2") for slot in (1, 2, 3)}, "one", NOW)
        )
        w.finish_slots(
            [replace(a_measurement(monitor, slot), at=old[slot - 1]) for monitor in ("m1", "m2") for slot in (1, 2, 3)],
            "one",
        )
        w.save_baselines([a_baseline("m1", old[1], old[2])])
        assert w.purge(measurements_before=NOW, readings_before=NOW, now=NOW) == 4
    with ledger.read() as r:
        assert [one.at for one in r.checks(a_monitor(), since=NOW - timedelta(days=9), until=NOW)] == old[1:]
        assert r.measurements("m2") == []
    with ledger.write() as w:
        w.save_monitor(replace(a_monitor(), removed_at=NOW))
        assert w.purge(measurements_before=NOW, readings_before=NOW, now=NOW) == 2
        assert w.baselines(["m1"]) == {}
