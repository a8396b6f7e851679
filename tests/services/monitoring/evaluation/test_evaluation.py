"""A check and a backtest judge alike, and a baseline that was frozen at a promotion stays what it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.policy.monitor_config import MonitorConfig
from tests.support.monitoring.baselines import (
    BLOCKS,
    DAY,
    frozen_baseline,
    measure_until,
    promoted,
    record_measurements,
    usual_value,
)
from tests.support.monitoring.monitoring import add_monitor, incidents, monitor_state
from tests.support.services.bench import DAVE, Bench


def kept(bench: Bench, monitor: Monitor, since: datetime, until: datetime) -> int:
    with bench.ledger.read() as reading:
        return len(reading.series(monitor, since=since, until=until))


# -- a baseline that stays ---------------------------------------------------------------------------------------------


def test_accuracy_that_halves_weeks_after_a_promotion_is_seen_within_two_hours(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    assert measure_until(bench, monitor, usual_value, timedelta(hours=4)) is None
    record_measurements(bench, monitor, timedelta(hours=20))
    for day in range(1, 34):
        bench.monitoring.purge(35 * DAY)
        if day >= 26:
            after = measure_until(bench, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3))
            assert after is not None, f"day {day}: {monitor_state(bench, monitor).why}"
            assert after <= timedelta(hours=2, minutes=15)
            assert measure_until(bench, monitor, usual_value, timedelta(minutes=1)) is not None
            while monitor_state(bench, monitor).state is MonitorStatus.FAILED:
                measure_until(bench, monitor, usual_value, timedelta(minutes=1))
        record_measurements(
            bench, monitor, DAY - (bench.clock.now() - bench.clock.now().replace(hour=0, minute=0)) % DAY
        )


def test_the_purge_keeps_the_days_of_a_baseline_regardless_of_age(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    found = frozen_baseline(bench, monitor)
    days = kept(bench, monitor, found.since, found.until)
    assert days == 21 * 288 - 1
    bench.clock.advance(days=400)
    bench.monitoring.purge(35 * DAY)
    assert kept(bench, monitor, found.since, found.until) == days
    assert kept(bench, monitor, found.until, bench.clock.now()) == 0


def test_the_days_before_a_promotion_stay_while_a_monitor_is_paused(
    watched: tuple[Bench, Monitor],
) -> None:
    bench, monitor = watched
    with bench.ledger.write() as tx:
        tx.save_monitor(replace(monitor, is_paused=True))
    for _ in range(50):
        bench.clock.advance(days=1)
        bench.monitoring.purge(35 * DAY)
    with bench.ledger.write() as tx:
        tx.save_monitor(replace(monitor, is_paused=False))
    assert measure_until(bench, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3)) is not None
    assert (
        kept(bench, monitor, frozen_baseline(bench, monitor).since, frozen_baseline(bench, monitor).until)
        == 21 * 288 - 1
    )


def test_old_checks_are_purged_even_if_a_baseline_cannot_be_made(
    watched: tuple[Bench, Monitor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench, monitor = watched
    monkeypatch.setattr("bot.services.monitoring.check_evaluation.summarize_for_rule", lambda *_: 1 / 0)
    bench.clock.advance(days=36)
    assert bench.monitoring.purge(35 * DAY) > 0
    assert kept(bench, monitor, bench.clock.now() - 60 * DAY, bench.clock.now()) == 0
    assert "can't make the baseline" in caplog.text


def test_a_new_term_s_baseline_replaces_the_old_one_and_its_days_are_purged(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    old = frozen_baseline(bench, monitor)
    record_measurements(bench, monitor, 40 * DAY)
    promoted(bench, 2)
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    bench.monitoring.purge(35 * DAY)
    new = frozen_baseline(bench, monitor)
    assert (new.until - old.until >= 40 * DAY, kept(bench, monitor, old.since, old.until)) == (True, 0)
    assert kept(bench, monitor, new.since, new.until) == 21 * 288 - 1


def test_a_removed_monitor_keeps_no_baseline(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    with bench.ledger.write() as tx:
        tx.save_monitor(replace(monitor, removed_at=bench.clock.now()))
    bench.clock.advance(days=36)
    bench.monitoring.purge(35 * DAY)
    with bench.ledger.read() as reading:
        assert (reading.baselines([monitor.id]), reading.measurements(monitor.id)) == ({}, [])


def test_an_edit_remakes_the_baseline_from_the_same_days(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    before = frozen_baseline(bench, monitor)
    record_measurements(bench, monitor, 40 * DAY)
    bench.monitoring.purge(35 * DAY)
    changed = monitor.with_rule(monitor.rule.model_copy(update={"window": timedelta(hours=2)}))
    with bench.ledger.write() as tx:
        tx.save_monitor(changed)
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    after = frozen_baseline(bench, monitor)
    assert (after.since, after.until, after.summary.window) == (before.since, before.until, 7200.0)
    assert after.summary.covers == before.summary.covers > (20 * DAY).total_seconds()


def test_an_edit_to_a_shorter_history_and_back_keeps_the_days(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    before = frozen_baseline(bench, monitor)
    record_measurements(bench, monitor, 40 * DAY)
    for history in (timedelta(hours=7), 7 * DAY):
        with bench.ledger.write() as tx:
            monitor = monitor.with_rule(monitor.rule.model_copy(update={"history": history}))
            tx.save_monitor(monitor)
        measure_until(bench, monitor, usual_value, timedelta(minutes=10))
        bench.monitoring.purge(35 * DAY)
    assert frozen_baseline(bench, monitor).summary == before.summary


def test_after_a_bad_version_that_served_for_weeks_the_baseline_is_from_the_days_before_it(
    watched: tuple[Bench, Monitor],
) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    before = frozen_baseline(bench, monitor)
    record_measurements(bench, monitor, 40 * DAY, lambda at: usual_value(at) / 2)
    bench.do('rollback churn --reason "bad"', DAVE)
    bench.monitoring.purge(35 * DAY)
    assert measure_until(bench, monitor, usual_value, timedelta(hours=4)) is None
    assert (monitor_state(bench, monitor).state, frozen_baseline(bench, monitor).summary.covers) == (
        MonitorStatus.OK,
        before.summary.covers,
    )
    bench.monitoring.purge(35 * DAY)
    with bench.ledger.write() as tx:
        tx.save_monitor(monitor.with_rule(monitor.rule.model_copy(update={"window": timedelta(minutes=30)})))
    assert measure_until(bench, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3)) is not None
    assert frozen_baseline(bench, monitor).summary.covers == before.summary.covers


def test_later_checks_do_not_change_a_frozen_baseline(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, timedelta(minutes=10))
    before = frozen_baseline(bench, monitor)
    measure_until(bench, monitor, lambda at: 0.7, timedelta(hours=5))
    assert frozen_baseline(bench, monitor) is not before
    assert repr(frozen_baseline(bench, monitor)) == repr(before)


# -- a ledger of yesterday ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "remark"), [(20, ""), (40, "There's no usable data from before v1")])
def test_a_monitor_from_an_older_ledger_judges_with_the_remaining_checks(
    watched: tuple[Bench, Monitor], days: int, remark: str
) -> None:
    """There's no stored baseline, and an older Registrar purged the days before the promotion after 40 days."""
    bench, monitor = watched
    record_measurements(bench, monitor, days * DAY)
    with bench.ledger.write() as tx:
        tx.save_monitor_state(
            replace(monitor_state(bench, monitor), revision=1, version=1, state=MonitorStatus.OK, move=promotion(bench))
        )
        now = bench.clock.now()
        tx.purge(measurements_before=now - 35 * DAY, readings_before=now - 35 * DAY, now=now)
    assert measure_until(bench, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3)) is not None
    assert remark in str(monitor_state(bench, monitor).why)
    assert ("own past days" in str(monitor_state(bench, monitor).why)) is bool(remark)


def promotion(bench: Bench) -> str:
    with bench.ledger.read() as reading:
        return bench.rollbacks.serving_periods(reading, "churn")[0].started_by.id


# -- before the first promotion ----------------------------------------------------------------------------------------


def test_before_the_first_promotion_a_version_is_compared_with_its_own_days(bench: Bench) -> None:
    bench.watch.poll()
    monitor = add_monitor(bench, **BLOCKS)
    assert measure_until(bench, monitor, usual_value, timedelta(hours=4)) is None
    began = bench.clock.now() - timedelta(hours=4)
    assert f"Evaluation starts at {began + 7 * DAY:%Y-%m-%d} 12:00 UTC" in str(monitor_state(bench, monitor).why)
    record_measurements(bench, monitor, 7 * DAY)
    assert measure_until(bench, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3)) is not None
    assert "There's no usable data from before v3, so it's compared with its own past days." in str(
        monitor_state(bench, monitor).why
    )


def test_after_an_outage_the_status_says_when_it_judges_again(bench: Bench) -> None:
    bench.watch.poll()
    monitor = add_monitor(bench, **BLOCKS)
    record_measurements(bench, monitor, 6 * DAY)
    bench.clock.advance(days=4)
    measure_until(bench, monitor, usual_value, timedelta(hours=1, minutes=1))
    now = bench.clock.now()
    assert f"Evaluation starts at {now + timedelta(hours=1):%Y-%m-%d %H}:00 UTC" in str(
        monitor_state(bench, monitor).why
    )


def test_hours_with_too_few_days_before_the_promotion_use_the_version_s_own_days(
    served: Bench,
) -> None:
    """Otherwise, two outages at the same hour would leave that hour without a verdict, and alert every day."""
    monitor = add_monitor(served, **BLOCKS)
    for day in range(7):
        record_measurements(served, monitor, timedelta(hours=11))
        if day < 3:
            served.clock.advance(hours=1)
        record_measurements(served, monitor, timedelta(hours=12 if day < 3 else 13))
    promoted(served, 1)
    record_measurements(served, monitor, 8 * DAY)
    assert measure_until(served, monitor, usual_value, timedelta(hours=9, minutes=50)) is None
    assert str(monitor_state(served, monitor).why).endswith("within the margin of 2% and 3 σ.")
    assert measure_until(served, monitor, lambda at: usual_value(at) / 2, timedelta(hours=3)) is not None
    assert frozen_baseline(served, monitor).summary.days[11] == 4
    assert "Before v1, too few windows at this time of day were complete" in str(monitor_state(served, monitor).why)


# -- labels that come late ---------------------------------------------------------------------------------------------


@pytest.fixture
def labeled(served: Bench) -> tuple[Bench, Monitor]:
    """Return a bench with seven days of accuracy for v4, with labels a day late, and v1 just promoted."""
    monitor = add_monitor(served, **BLOCKS | {"label_delay": "1d"})
    record_measurements(served, monitor, 7 * DAY, of_yesterday)
    promoted(served, 1)
    return served, monitor


def of_yesterday(at: datetime) -> float:
    """Return the value for predictions from yesterday, which is worse on Saturdays and Sundays."""
    return usual_value(at) - 0.03 * ((at - DAY).weekday() >= 5)


def test_no_data_is_missing_before_the_first_labels_arrive(labeled: tuple[Bench, Monitor]) -> None:
    bench, monitor = labeled
    measure_until(bench, monitor, usual_value, timedelta(hours=1))
    assert monitor_state(bench, monitor).state is MonitorStatus.WARMUP
    assert "Labels arrive 1d late, so v1 can't be measured before 2026-05-15" in str(monitor_state(bench, monitor).why)
    assert incidents(bench) == []


def test_the_first_predictions_are_warm_up_even_if_their_labels_are_late(
    labeled: tuple[Bench, Monitor],
) -> None:
    _, monitor = labeled
    assert monitor.rule.warmup_duration == timedelta(hours=26)


def test_weekends_are_by_prediction_time_not_label_time(labeled: tuple[Bench, Monitor]) -> None:
    bench, monitor = labeled
    record_measurements(bench, monitor, 4 * DAY, of_yesterday)
    assert measure_until(bench, monitor, of_yesterday, timedelta(hours=6)) is None
    assert (bench.clock.now().strftime("%a"), monitor_state(bench, monitor).state) == ("Mon", MonitorStatus.OK)
    assert measure_until(bench, monitor, lambda at: 0.9 * of_yesterday(at), timedelta(hours=3)) is not None


# -- a version that is worse from its first reading on -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "warmup", "most"),
    [
        ({"rule": "blocks"}, timedelta(hours=2), timedelta(hours=2)),
        ({"rule": "sequential", "warmup": "30m"}, timedelta(minutes=30), timedelta(minutes=30)),
    ],
)
def test_a_version_that_is_a_fifth_worse_fails_soon_after_the_warm_up(
    watched: tuple[Bench, Monitor], rule: dict[str, Any], warmup: timedelta, most: timedelta
) -> None:
    bench, monitor = watched
    with bench.ledger.write() as tx:
        tx.save_monitor(replace(monitor, rule=MonitorConfig(**{"name": "accuracy", "source": "push"} | BLOCKS | rule)))
    after = measure_until(bench, monitor, lambda at: 0.8 * usual_value(at), timedelta(hours=6))
    assert after is not None
    assert warmup <= after <= warmup + most
