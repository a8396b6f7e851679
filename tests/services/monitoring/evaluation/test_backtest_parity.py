"""A backtest judges as live checks do, and says how much it judged."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bot.domain.monitoring import consecutive_checks
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.consecutive_checks import Verdict
from bot.domain.monitoring.monitor import Monitor, MonitorStatus, ProductionTerm
from bot.domain.monitoring.readings import Answer, CheckOutcome, RecordedCheck
from bot.domain.policy.monitor_config import MonitorConfig
from bot.services.monitoring import backtests
from bot.services.monitoring.backtests import Backtester
from tests.support.monitoring.baselines import BLOCKS, DAY, promoted, record_measurements, usual_value
from tests.support.monitoring.monitoring import add_monitor, monitor_state, tick
from tests.support.services.bench import Bench, bench_on

# -- how much a backtest judges ----------------------------------------------------------------------------------------


def replayed(bench: Bench, monitor: Monitor, days: int = 7) -> Backtest:
    bench.sources.answers.clear()
    return Backtester(bench.context, bench.sources).backtest(monitor, days * DAY)


def test_a_backtest_says_how_many_hours_were_judged(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    record_measurements(bench, monitor, 7 * DAY)
    found = replayed(bench, monitor)
    assert (found.hours, found.hours_judged, found.is_judged, found.why) == (168, 166, True, None)
    assert "wouldn't have fired in 7d (covered 166 of 168 hours, 2,015 values)." in str(found.sentence)
    assert "(covered 166 of 168 hours)" in found.chart.title


def test_a_backtest_that_judged_too_little_says_why(watched: tuple[Bench, Monitor]) -> None:
    bench, monitor = watched
    record_measurements(bench, monitor, 4 * DAY)
    bench.clock.advance(days=3)
    found = replayed(bench, monitor)
    assert (found.hours_judged, found.is_judged) == (94, False)
    assert str(found.sentence).endswith("Most of the time that wasn't covered has no measurements.")


def test_a_backtest_without_earlier_days_says_why_most_hours_were_not_judged(served: Bench) -> None:
    monitor = add_monitor(served, **BLOCKS)
    record_measurements(served, monitor, 8 * DAY)
    found = replayed(served, monitor, 8)
    assert found.hours_judged == 25
    assert "of the 7d needed. Evaluation starts at 2026-05-14 00:00 UTC." in str(found.sentence)


def test_a_slow_decay_fires_in_a_backtest_as_it_does_live(watched: tuple[Bench, Monitor]) -> None:
    """A rolling baseline would follow the decay, and never find it."""
    bench, monitor = watched
    began = bench.clock.now()
    record_measurements(bench, monitor, 20 * DAY, lambda at: usual_value(at) * (1 - 0.004 * ((at - began) / DAY)))
    found = replayed(bench, monitor, 20)
    assert len(found.firings) == 1
    assert 5 * DAY < found.firings[0].at - began < 10 * DAY


def test_every_term_that_overlaps_the_span_is_replayed_from_its_start(
    watched: tuple[Bench, Monitor],
) -> None:
    bench, monitor = watched
    record_measurements(
        bench, monitor, 10 * DAY, lambda at: usual_value(at) / 2
    )  # failed from its third hour on: before the span
    found = replayed(bench, monitor, 7)
    assert (found.firings, found.has_failed) == ([], True)
    assert "It failed on 2026-05-28 03:10 UTC and hadn't recovered when the backtest began" in str(found.sentence)
    assert len(replayed(bench, monitor, 10).firings) == 1


def test_a_monitor_that_is_checked_every_ten_seconds_can_be_backtested(served: Bench) -> None:
    rule = MonitorConfig(**{"name": "m", "source": "push"} | BLOCKS | {"every": "10s"})
    monitor = Monitor(id="m", model="churn", rule=rule, created_at=served.clock.now())
    term = ProductionTerm(transition_id="b", version=2, since=served.clock.now())
    times = [term.since + timedelta(seconds=10) * number for number in range(-8 * 8640, 8640)]
    checks = [
        RecordedCheck(at, "b" if at > term.since else "a", 1, CheckOutcome.OK, usual_value(at), 1) for at in times
    ]
    found = backtests.replay(monitor, [term], checks, since=term.since, until=times[-1])
    assert (found.firings, round(found.coverage.judged_time / timedelta(hours=1))) == ([], 22)


# -- live and backtest -------------------------------------------------------------------------------------------------


WEEK: dict[str, Any] = {"greater_than": None, "history": "7h", "every": "3m", "window": "15m", "min_points": 1}


RULES: dict[str, dict[str, Any]] = {
    "blocks": WEEK | {"rule": "blocks", "warmup": "30m"},
    "live blocks": WEEK | {"rule": "blocks", "warmup": "30m", "baseline": "live"},
    "late blocks": WEEK | {"rule": "blocks", "warmup": "30m", "label_delay": "40m"},
    "default": WEEK | {"rule": "default", "warmup": "30m"},
    "live default": WEEK | {"rule": "default", "warmup": "30m", "baseline": "live"},
    "late default": WEEK | {"rule": "default", "warmup": "30m", "label_delay": "40m"},
    "sequential": WEEK | {"rule": "sequential", "warmup": "15m"},
    "late sequential": WEEK | {"rule": "sequential", "warmup": "15m", "label_delay": "40m"},
    "threshold": {"greater_than": 0.85, "every": "3m", "warmup": "15m"},
    "counts": WEEK | {"rule": "default", "warmup": "30m", "of": "predictions"},
    "many counts": WEEK | {"rule": "default", "warmup": "30m", "of": "predictions"},
}


CASES = {"counts": 20, "many counts": 1_000}


LEVELS = st.sampled_from([0.9, 0.9, 0.9, 0.895, 0.87, 0.8])


STRETCHES = st.lists(
    st.tuples(st.integers(5, 120), LEVELS, st.sampled_from(["", "", "", "promotion", "gap", "no data", "error"])),
    min_size=6,
    max_size=10,
)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(stretches=STRETCHES, seed=st.integers(0, 996))
@example(stretches=[(20, 0.9, ""), (5, 0.9, "no data"), (60, 0.8, "promotion"), (9, 0.8, "error")], seed=7)
def test_live_checks_and_a_backtest_agree(
    rule: str,
    stretches: list[tuple[int, float, str]],
    seed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A month with drops, gaps, and promotions at any time, for a rule whose week has seven hours."""
    assume(any(what not in {"no data", "error"} for *_, what in stretches))  # without a reading nothing is replayed
    bench = bench_on(f"sqlite:///{tmp_path / uuid4().hex}.db")
    bench.ledger.migrate()
    bench.watch.poll()
    monitor = add_monitor(bench, **RULES[rule] | {"action": "notify"})
    live: list[tuple[datetime, MonitorStatus, int, int]] = []
    version, number = 3, seed
    began = bench.clock.now()
    for count, level, what in stretches:
        if what == "promotion":
            version = 4 if version != 4 else 2
            promoted(bench, version)
        elif what == "gap":
            bench.clock.advance(minutes=100)
        for _ in range(count):
            bench.clock.advance(seconds=198 - number % 30)
            number += 1
            now = bench.clock.now()
            answers = {"no data": Answer(), "error": Answer(outcome=CheckOutcome.ERROR)}
            noise = 0.01 * ((number * 613) % 997 / 997 - 0.5)
            point: tuple[Any, ...] = (now - monitor.rule.label_delay, level + noise)
            if rule in CASES:
                point = (point[0], round(CASES[rule] * point[1]), CASES[rule])
            bench.sources.answers["accuracy"] = answers.get(what, Answer(points=[point]))
            if tick(bench):
                stands = monitor_state(bench, monitor)
                live.append((now, stands.state, stands.bad, stands.good))
    replayed: list[tuple[datetime, MonitorStatus, int, int]] = []

    def assessed(*given: Any, now: datetime, **more: Any) -> Verdict:
        verdict = consecutive_checks.assess(*given, now=now, **more)
        after = verdict.monitor_state
        replayed.append((now, after.state, after.bad, after.good))
        return verdict

    monkeypatch.setattr(backtests, "assess", assessed)
    bench.sources.answers["accuracy"] = Answer()
    found = Backtester(bench.context, bench.sources).backtest(monitor, bench.clock.now() - began)
    monkeypatch.undo()
    assert replayed == live
    fired = [
        at
        for (at, state, *_), before in zip(live, [MonitorStatus.OK, *(one[1] for one in live)], strict=False)
        if state is MonitorStatus.FAILED and before is not MonitorStatus.FAILED
    ]
    assert [one.at for one in found.firings] == fired
    bench.ledger.close()


def test_a_new_monitor_is_backtested_with_its_source_s_history_even_after_its_first_week(served: Bench) -> None:
    monitor = add_monitor(served, **BLOCKS)
    record_measurements(served, monitor, 8 * DAY)
    until = served.clock.now()
    values = [
        (until - timedelta(minutes=5) * back, usual_value(until - timedelta(minutes=5) * back))
        for back in range(20 * 288)
    ]
    served.sources.answers["accuracy"] = Answer(points=values)
    found = Backtester(served.context, served.sources).backtest(monitor, 7 * DAY)
    assert found.judged_time >= 0.9 * 7 * DAY
    assert found.points[-1][1] == usual_value(until)
