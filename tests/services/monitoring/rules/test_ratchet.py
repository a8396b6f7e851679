"""The baseline of the rule `default` can only get better."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bot.domain.audit.audit_chain import stream_records, verify
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.ports import MessageKind
from tests.support.monitoring.baselines import (
    DAY,
    frozen_baseline,
    measure_until,
    promoted,
    record_measurements,
    usual_value,
)
from tests.support.monitoring.default_rule import (
    DEFAULT,
    HOUR,
    MINUTE,
    after_days,
    own_baseline,
    raised_baselines,
    scaled_by,
    why,
)
from tests.support.monitoring.monitoring import channel_texts, monitor_state, tick
from tests.support.services.bench import Bench, second_bench


def heard(bench: Bench) -> list[str]:
    return [
        one
        for kind in (MessageKind.THREAD_REPLY, MessageKind.CHANNEL_MESSAGE)
        for one in channel_texts(bench, kind)
        if "better than its" in one
    ]


# -- the ratchet -------------------------------------------------------------------------------------------------------


@pytest.fixture
def better(watched: tuple[Bench, Monitor]) -> tuple[Bench, Monitor]:
    """Return a bench where v1 has been three percent better than v4 for 14 days."""
    bench, monitor = watched
    measure_until(bench, monitor, scaled_by(1.03), 10 * MINUTE)
    record_measurements(bench, monitor, 14 * DAY, scaled_by(1.03))
    return bench, monitor


def test_fourteen_healthy_better_days_become_the_baseline_and_are_announced_once(
    better: tuple[Bench, Monitor],
) -> None:
    bench, monitor = better
    for _ in range(3):
        measure_until(bench, monitor, scaled_by(1.03), HOUR)
        record_measurements(bench, monitor, DAY, scaled_by(1.03))
    assert heard(bench) == [
        "v1 has been better than its baseline for 14d. The monitor “churn” accuracy now compares v1 with its own "
        "history: the baseline changes from 0.8975 to 0.9244."
    ]
    (one,) = raised_baselines(bench)
    assert (one.subject, one.before, one.after) == ("churn accuracy", "0.8975", "0.9244")
    with bench.ledger.read() as reading:
        assert (
            verify(stream_records(lambda after: reading.audit_records(after_number=after)), reading.audit_head())
            is None
        )


def test_a_drop_from_the_better_level_fails(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), 3 * HOUR)
    after = measure_until(bench, monitor, scaled_by(1.03 * 0.95), 3 * HOUR)
    assert after is not None
    assert after <= 65 * MINUTE
    assert "the usual 0.91" in why(bench, monitor)


def test_before_the_fourteenth_day_the_earlier_baseline_is_used(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, scaled_by(1.03), 10 * MINUTE)
    record_measurements(bench, monitor, 13 * DAY, scaled_by(1.03))
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    assert (own_baseline(bench, monitor), raised_baselines(bench)) == (None, [])


def test_a_failure_within_the_fourteen_days_postpones_it(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, scaled_by(1.03), 10 * MINUTE)
    record_measurements(bench, monitor, 7 * DAY, scaled_by(1.03))
    assert measure_until(bench, monitor, scaled_by(0.8), 2 * HOUR) is not None
    record_measurements(bench, monitor, 12 * DAY, scaled_by(1.03))
    measure_until(bench, monitor, scaled_by(1.03), 4 * HOUR)
    assert own_baseline(bench, monitor) is None
    failed_at = monitor_state(bench, monitor).failed_at
    assert failed_at is not None
    record_measurements(bench, monitor, 3 * DAY, scaled_by(1.03))
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    found = own_baseline(bench, monitor)
    assert found is not None
    assert found.since >= failed_at
    assert len(raised_baselines(bench)) == 1


@pytest.mark.parametrize("by", [1.0, 1.005])
def test_days_that_are_barely_better_do_not_become_the_baseline(watched: tuple[Bench, Monitor], by: float) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, scaled_by(by), 10 * MINUTE)
    record_measurements(bench, monitor, 20 * DAY, scaled_by(by))
    measure_until(bench, monitor, scaled_by(by), HOUR)
    assert (own_baseline(bench, monitor), raised_baselines(bench), heard(bench)) == (None, [], [])


@pytest.mark.parametrize("value", [1.0, 0.95])
def test_a_source_that_repeats_itself_for_weeks_changes_no_baseline(
    watched: tuple[Bench, Monitor], value: float
) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, lambda at: value, 10 * MINUTE)
    record_measurements(bench, monitor, 20 * DAY, lambda at: value)
    measure_until(bench, monitor, lambda at: value, HOUR)
    assert (own_baseline(bench, monitor), raised_baselines(bench)) == (None, [])
    assert measure_until(bench, monitor, usual_value, 4 * HOUR) is None


def test_days_without_errors_do_not_become_the_baseline_of_a_relative_effect(served: Bench) -> None:
    """With a baseline of zero errors, nothing could be judged until the next promotion."""

    def some(at: datetime) -> float:
        return 0.001 * (at.minute // 5 % 3)

    bench, monitor = after_days(served, 21, some, **DEFAULT | {"direction": "lower"})
    measure_until(bench, monitor, lambda at: 0.0, 10 * MINUTE)
    record_measurements(bench, monitor, 20 * DAY, lambda at: 0.0)
    measure_until(bench, monitor, lambda at: 0.0, 3 * HOUR)
    assert (own_baseline(bench, monitor), monitor_state(bench, monitor).state) == (None, MonitorStatus.OK)


def test_days_on_both_sides_of_zero_do_not_become_the_baseline_of_a_relative_effect(
    served: Bench,
) -> None:
    bench, monitor = after_days(served, 21, lambda at: usual_value(at) - 0.8, **DEFAULT | {"direction": "lower"})
    measure_until(bench, monitor, lambda at: usual_value(at) - 0.9, 10 * MINUTE)
    record_measurements(bench, monitor, 20 * DAY, lambda at: usual_value(at) - 0.9)
    measure_until(bench, monitor, lambda at: usual_value(at) - 0.9, 3 * HOUR)
    assert (own_baseline(bench, monitor), monitor_state(bench, monitor).state) == (None, MonitorStatus.OK)


def test_days_with_missing_hours_do_not_replace_complete_ones(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, scaled_by(1.03), 10 * MINUTE)
    for _ in range(15):
        record_measurements(bench, monitor, 20 * HOUR, scaled_by(1.03))
        bench.clock.advance(hours=4)
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    assert own_baseline(bench, monitor) is None


def test_a_dry_run_is_only_recorded_in_the_audit_log(served: Bench) -> None:
    bench, monitor = after_days(served, **DEFAULT | {"action": "dry_run"})
    measure_until(bench, monitor, scaled_by(1.03), 10 * MINUTE)
    record_measurements(bench, monitor, 14 * DAY, scaled_by(1.03))
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    assert (len(raised_baselines(bench)), heard(bench)) == (1, [])


def edit(bench: Bench, monitor: Monitor, **changes: Any) -> Monitor:
    changed = monitor.with_rule(monitor.rule.model_copy(update=changes))
    with bench.ledger.write() as tx:
        tx.save_monitor(changed)
    return changed


def test_an_edit_of_its_window_and_back_keeps_the_better_level(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    for window in (2 * HOUR, HOUR):
        monitor = edit(bench, monitor, window=window)
        measure_until(bench, monitor, scaled_by(1.03), HOUR)
        found = own_baseline(bench, monitor)
        assert found is not None
        assert found.summary.window == window.total_seconds()
        assert found.summary.level == pytest.approx(0.9244, abs=1e-3)
        record_measurements(bench, monitor, 2 * DAY, scaled_by(1.03))
    assert len(heard(bench)) == 1


def test_an_edit_of_something_else_keeps_the_better_level(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    before = own_baseline(bench, monitor)
    measure_until(bench, edit(bench, monitor, sigma=4.0), scaled_by(1.03), HOUR)
    assert repr(own_baseline(bench, monitor)) == repr(before)
    assert len(raised_baselines(bench)) == 1


def test_a_changed_direction_drops_the_better_level(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    monitor = edit(bench, monitor, direction="lower")
    assert (
        measure_until(bench, monitor, scaled_by(1.03), 4 * HOUR) is not None
    )  # three percent more than before are worse
    assert "the usual 0.8" in why(bench, monitor) or "the usual 0.9 " in why(bench, monitor)


def test_values_of_another_query_are_not_compared_with_the_better_level(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    monitor = edit(bench, monitor, aggregate="last")
    assert measure_until(bench, monitor, scaled_by(0.5), 4 * HOUR) is None
    assert "Evaluation starts at" in why(bench, monitor)


def test_a_new_promotion_starts_with_the_days_before_it(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    promoted(bench, 2)
    assert measure_until(bench, monitor, scaled_by(1.03), 4 * HOUR) is None
    assert frozen_baseline(bench, monitor).summary.level == pytest.approx(0.924, abs=0.001)
    assert frozen_baseline(bench, monitor).move != getattr(own_baseline(bench, monitor), "move", "")
    assert len(raised_baselines(bench)) == 1


def test_the_purge_deletes_own_baselines_only_of_removed_monitors(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    bench.clock.advance(days=100)
    bench.monitoring.purge(35 * DAY)
    assert own_baseline(bench, monitor) is not None
    with bench.ledger.write() as tx:
        tx.save_monitor(replace(monitor, removed_at=bench.clock.now()))
    bench.monitoring.purge(35 * DAY)
    assert own_baseline(bench, monitor) is None


def test_only_one_of_two_processes_raises_the_baseline(better: tuple[Bench, Monitor]) -> None:
    bench, _ = better
    other = second_bench(bench)
    bench.clock.advance(seconds=330)
    for one in (bench, other):
        one.sources.say("accuracy", (bench.clock.now(), 1.03 * usual_value(bench.clock.now())))
    threads = [threading.Thread(target=one.monitoring.tick) for one in (bench, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    tick(bench)
    assert (len(raised_baselines(bench)), len(heard(bench))) == (1, 1)


def test_a_clock_set_back_does_not_raise_the_baseline_again(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    before = own_baseline(bench, monitor)
    bench.clock.advance(days=-2)
    bench.monitoring.tick()
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    assert repr(own_baseline(bench, monitor)) == repr(before)
    assert len(raised_baselines(bench)) == 1


def test_the_next_ratchet_takes_another_fourteen_days(better: tuple[Bench, Monitor]) -> None:
    bench, monitor = better
    measure_until(bench, monitor, scaled_by(1.03), HOUR)
    record_measurements(bench, monitor, 13 * DAY, scaled_by(1.06))
    measure_until(bench, monitor, scaled_by(1.06), HOUR)
    assert len(raised_baselines(bench)) == 1
    record_measurements(bench, monitor, DAY, scaled_by(1.06))
    measure_until(bench, monitor, scaled_by(1.06), HOUR)
    assert [one.before for one in raised_baselines(bench)] == ["0.8975", raised_baselines(bench)[0].after]
    assert len(heard(bench)) == 2
