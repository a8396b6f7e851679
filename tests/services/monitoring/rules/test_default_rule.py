"""The rule `default`: blocks and a scan together, against a baseline that can only get better."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bot.domain.monitoring import consecutive_checks
from bot.domain.monitoring.consecutive_checks import Verdict
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus, OwnBaselineKind, ProductionTerm
from bot.domain.monitoring.readings import Answer, CheckOutcome, RecordedCheck
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.transitions.transition import TransitionState
from bot.services.monitoring import backtests
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.check_evaluation import LedgerMonitorHistory
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
from tests.support.monitoring.monitoring import add_monitor, incidents, monitor_state, rollbacks, tick
from tests.support.services.bench import Bench, bench_on

# A week of seven hours: the same code needs hours instead of days.
SHORT: dict[str, Any] = DEFAULT | {"history": "7h", "every": "3m", "window": "15m", "warmup": "30m"}


# -- what is seen, and what's done -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "most"), [(0.95, 65), (0.9, 35), (0.5, 35)])
def test_a_drop_fails_within_the_hour(watched: tuple[Bench, Monitor], by: float, most: float) -> None:
    bench, monitor = watched
    assert measure_until(bench, monitor, usual_value, 3 * HOUR) is None
    after = measure_until(bench, monitor, scaled_by(by), 3 * HOUR)
    assert after is not None
    assert after <= most * MINUTE
    assert why(bench, monitor).startswith("Over the last 30m: ")


def test_an_armed_monitor_rolls_back_to_the_version_before(served: Bench) -> None:
    bench, monitor = after_days(served, **DEFAULT | {"action": "auto"})
    measure_until(bench, monitor, usual_value, 3 * HOUR)
    assert rollbacks(bench) == []
    assert measure_until(bench, monitor, scaled_by(0.95), 3 * HOUR) is not None
    assert [(one.version, one.state) for one in rollbacks(bench)] == [(4, TransitionState.DONE)]


@pytest.mark.parametrize(("fail_after", "most"), [(1, 30), (2, 35), (3, 40), (6, 60)])
def test_a_monitor_fails_after_fail_after_failures_in_a_row(
    served: Bench,
    fail_after: int,
    most: float,
) -> None:
    bench, monitor = after_days(served, **DEFAULT | {"fail_after": fail_after})
    measure_until(bench, monitor, usual_value, 3 * HOUR)
    after = measure_until(bench, monitor, scaled_by(0.9), 3 * HOUR)
    assert after is not None
    assert after <= most * MINUTE
    assert monitor_state(bench, monitor).bad == fail_after


def test_a_version_that_is_worse_from_its_first_reading_fails_right_after_the_warm_up(
    watched: tuple[Bench, Monitor],
) -> None:
    bench, monitor = watched
    after = measure_until(bench, monitor, scaled_by(0.9), 3 * HOUR)
    assert after is not None
    assert 2 * HOUR <= after <= 2 * HOUR + 12 * MINUTE


def test_after_a_scan_s_failure_three_good_windows_are_needed_to_recover(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, 3 * HOUR)
    assert measure_until(bench, monitor, scaled_by(0.9), 3 * HOUR) is not None
    began = bench.clock.now()
    while monitor_state(bench, monitor).state is MonitorStatus.FAILED and bench.clock.now() - began < 12 * HOUR:
        measure_until(bench, monitor, usual_value, MINUTE)
    assert 2 * HOUR < bench.clock.now() - began <= 5 * HOUR
    assert monitor_state(bench, monitor).state is MonitorStatus.OK
    assert len(incidents(bench)) == 1


def test_one_bad_hour_is_a_failure_that_ends(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    measure_until(bench, monitor, usual_value, 3 * HOUR)
    bench.sources.say("accuracy", (bench.clock.now(), 0.0))
    tick(bench)  # a single wild reading
    assert measure_until(bench, monitor, usual_value, 3 * HOUR) is None
    assert monitor_state(bench, monitor).state is MonitorStatus.OK


@pytest.mark.parametrize(("every", "window"), [("1h", "1h"), ("30m", "1h"), ("6h", "6h"), ("1d", "1d")])
def test_a_window_with_few_readings_is_confirmed_at_most_two_windows_later(
    served: Bench,
    every: str,
    window: str,
) -> None:
    """One reading can't confirm itself, so the last three readings confirm it."""
    fired = {}
    for rule in ("blocks", "default"):
        fields = {"name": "m", "source": "push"} | DEFAULT | {"rule": rule, "every": every, "window": window}
        monitor = Monitor(id="m", model="churn", rule=MonitorConfig(**fields), created_at=served.clock.now())
        length, since = monitor.rule.every, served.clock.now()
        at = [since + length * (number + 0.5) for number in range(-(21 * DAY // length), 20)]
        checks = [
            RecordedCheck(
                one,
                "b" if one > since else "a",
                1,
                CheckOutcome.OK,
                usual_value(one) * (1 if one < since + 9 * length else 0.8),
                1,
            )
            for one in at
        ]
        found = backtests.replay(
            monitor, [ProductionTerm(transition_id="b", version=2, since=since)], checks, since=since, until=at[-1]
        )
        fired[rule] = [(one.at - since) / length for one in found.firings]
    assert len(fired["blocks"]) == 1
    assert 9 < fired["default"][0] <= fired["blocks"][0] + 2 * (monitor.rule.window / length)


def test_a_healthy_check_reads_no_more_from_the_ledger_than_a_blocks_check(watched: tuple[Bench, Monitor]) -> None:
    """A thousand monitors are checked every five minutes, so a check within a window must be cheap."""
    bench, _ = watched
    asked: dict[int, list[str]] = {}
    for count in (1, 5):
        for number in range(len(asked) * 1, count):
            if number:
                add_monitor(bench, f"m{number}", **DEFAULT | {"query": "accuracy"})
        for turn in range(40):
            bench.clock.advance(seconds=330)
            bench.sources.say("accuracy", (bench.clock.now(), usual_value(bench.clock.now())))
            with statements() as some:
                tick(bench)
            if turn > 30 and (bench.clock.now().minute - 10) % 60 not in range(8):
                asked[count] = min(asked.get(count, some), some, key=len)
    assert not any("measurements.value" in one and "ORDER BY measurements.at" in one for one in asked[5])
    assert len(asked[5]) == len(asked[1])


@contextmanager
def statements() -> Iterator[list[str]]:
    asked: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


# -- what it's compared with -------------------------------------------------------------------------------------------


def test_hours_with_few_days_do_not_change_the_baseline_of_other_hours(
    served: Bench,
) -> None:
    """Three outages at the same hour mustn't delay judging until a week of the new version's own days."""
    monitor = add_monitor(served, **DEFAULT)
    for day in range(7):
        record_measurements(served, monitor, 11 * HOUR)
        if day < 3:
            served.clock.advance(hours=1)
        record_measurements(served, monitor, 12 * HOUR if day < 3 else 13 * HOUR)
    promoted(served, 1)
    assert measure_until(served, monitor, usual_value, 4 * HOUR) is None
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).unjudged) == (MonitorStatus.OK, 0)
    assert measure_until(served, monitor, scaled_by(0.9), 3 * HOUR) is not None
    assert frozen_baseline(served, monitor).summary.days[11] == 4
    assert own_baseline(served, monitor) is None


def test_an_office_hours_metric_is_compared_with_the_previous_version(served: Bench) -> None:
    monitor = add_monitor(served, **DEFAULT)
    for _ in range(14):
        record_measurements(served, monitor, 9 * HOUR)
        served.clock.advance(hours=15)
    promoted(served, 1)
    assert measure_until(served, monitor, usual_value, 4 * HOUR) is None
    assert measure_until(served, monitor, scaled_by(0.9), HOUR) is not None


def first_term(bench: Bench, **fields: Any) -> Monitor:
    bench.watch.poll()
    return add_monitor(bench, **SHORT | fields)


def checked(bench: Bench, monitor: Monitor, value: float, every: float = 198) -> MonitorState:
    bench.clock.advance(seconds=every)
    now = bench.clock.now()
    bench.sources.say(
        "accuracy", (now - monitor.rule.label_delay, value + 0.01 * (now.timestamp() * 613 % 997 / 997 - 0.5))
    )
    tick(bench)
    return monitor_state(bench, monitor)


@pytest.mark.parametrize("late", [0, 40])
def test_in_the_first_term_the_status_says_when_judging_starts(bench: Bench, late: int) -> None:
    monitor = first_term(bench, label_delay=f"{late}m")
    said: set[str] = set()
    judged = None
    for _ in range(9 * 60 // 3):
        now = checked(bench, monitor, 0.9)
        if "Evaluation starts at " in str(now.why):
            said.add(str(now.why).split("Evaluation starts at ")[1].rstrip("."))
        judged = judged or now.judged_at
    assert judged is not None
    assert len(said) == 1
    at = datetime.strptime(said.pop(), "%Y-%m-%d %H:%M UTC").replace(tzinfo=judged.tzinfo)
    assert at - MINUTE <= judged <= at + 4 * MINUTE


def test_in_the_first_term_the_version_s_own_days_are_summarized_daily(bench: Bench) -> None:
    monitor = first_term(bench)
    ends = []
    for _ in range(10 * 20):
        checked(bench, monitor, 0.9)
        found = own_baseline(bench, monitor)
        ends += [found.until] if found else []
    assert [b - a for a, b in itertools.pairwise(sorted(set(ends)))] == [HOUR] * (len(set(ends)) - 1)
    assert ends == sorted(ends)
    assert len(set(ends)) >= 10
    assert found is not None
    assert found.key.endswith("live higher")
    assert raised_baselines(bench) == []


def test_in_the_first_term_a_drop_fails_within_a_window(bench: Bench) -> None:
    monitor = first_term(bench)
    for _ in range(9 * 60 // 3):
        assert checked(bench, monitor, 0.9).state is not MonitorStatus.FAILED
    began = bench.clock.now()
    while checked(bench, monitor, 0.8).state is not MonitorStatus.FAILED:
        assert bench.clock.now() - began < 20 * MINUTE
    assert "There's no usable data from before v3, so it's compared with its own past days." in why(bench, monitor)


# -- live and backtest -------------------------------------------------------------------------------------------------


Kept = tuple[OwnBaselineKind, datetime, datetime, Baseline]


@pytest.mark.parametrize(
    ("fields", "seed", "failures"),
    [({}, 1, 2), ({"label_delay": "40m"}, 5, 2), ({"fail_after": 3}, 7, 2), ({"baseline": "live"}, 11, 1)],
    ids=str,
)
def test_live_checks_and_a_backtest_have_the_same_baselines_and_results(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], seed: int, failures: int
) -> None:
    """Eight hours of v3 without earlier data, a promotion, 30 better hours, a gap, and a drop."""
    bench = bench_on(sqlite_url)
    monitor = first_term(bench, **fields)
    live: list[tuple[datetime, MonitorStatus, int, int, str]] = []
    kept: dict[str, list[Kept]] = {"live": [], "replayed": []}
    for name, past in (("live", LedgerMonitorHistory), ("replayed", backtests._InMemoryHistory)):
        monkeypatch.setattr(past, "save_own_baseline", recording(past.save_own_baseline, kept[name]))
    began = bench.clock.now()
    for count, value, what in (
        (160, 0.9, ""),
        (20, 0.9, "no data"),
        (20, 0.9, ""),
        (320, 0.93, "promotion"),
        (40, 0.93, "gap"),
        (30, 0.88, ""),
        (60, 0.93, ""),
        (30, 0.5, "promotion"),
    ):
        if what == "promotion":
            promoted(bench, 4 if value > 0.9 else 2)
        elif what == "gap":
            bench.clock.advance(minutes=100)
        for number in range(count):
            if what == "no data":
                bench.clock.advance(seconds=198)
                bench.sources.answers["accuracy"] = Answer()
                tick(bench)
                now = monitor_state(bench, monitor)
            else:
                now = checked(bench, monitor, value, 198 - (number * seed) % 30)
            if now.at == bench.clock.now():
                live.append((bench.clock.now(), now.state, now.bad, now.good, why_of(now)))
    replayed: list[tuple[datetime, MonitorStatus, int, int, str]] = []

    def assessed(*given: Any, now: datetime, **more: Any) -> Verdict:
        verdict = consecutive_checks.assess(*given, now=now, **more)
        after = verdict.monitor_state
        replayed.append((now, after.state, after.bad, after.good, why_of(after)))
        return verdict

    monkeypatch.setattr(backtests, "assess", assessed)
    bench.sources.answers["accuracy"] = Answer()  # it knows nothing of the past
    found = Backtester(bench.context, bench.sources).backtest(monitor, bench.clock.now() - began)
    assert replayed == live
    assert len(found.firings) == failures
    assert [repr(one) for one in kept["replayed"]] == [repr(one) for one in kept["live"]]
    kinds = [kind for kind, *_ in kept["live"]]
    assert OwnBaselineKind.LIVE in kinds
    assert (OwnBaselineKind.BEST in kinds) is (monitor.rule.baseline == "previous")
    assert any("Over the last" in text for *_, text in live)
    bench.ledger.close()


def why_of(standing: MonitorState) -> str:
    """Return the reason for the state; a replay words the reasons of checks without a value differently."""
    return "" if standing.has_no_value else str(standing.why)


def recording(keep: Callable[..., None], into: list[Kept]) -> Callable[..., None]:
    def kept(past: Any, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        into.append((kind, since, until, summary))
        keep(past, kind, since, until, summary)

    return kept
