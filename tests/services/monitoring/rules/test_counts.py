"""Monitors of counts: k of n is queried, judged as a proportion, and stored and shown with its total."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.monitoring.messages import checked_answer, value_text
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.monitoring.readings import Measurement, PushedReading, Reading
from bot.domain.monitoring.rules import baseline_choice, blocks
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.policy.monitor_config import MonitorConfig, rule_sentence
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.check_evaluation import LedgerMonitorHistory
from bot.services.monitoring.checks import current_term
from bot.services.monitoring.monitors import Monitors
from bot.slack.monitoring.answers import monitor_list, monitor_view
from bot.sources.push import PushSource
from tests.support.monitoring.monitoring import add_monitor, monitor_state, tick
from tests.support.services.bench import Bench

COUNTS: dict[str, Any] = {
    "name": "correct",
    "of": "predictions",
    "source": "prom",
    "greater_than": 0.85,
    "action": "notify",
}
STEP = timedelta(seconds=12)


def counted(bench: Bench, *pairs: tuple[float, float]) -> None:
    """Give the source these counts one after the other, and check each."""
    for pair in pairs:
        bench.clock.advance(seconds=STEP.total_seconds())
        bench.sources.say("correct", (bench.clock.now(), *pair))
        tick(bench)


def last(bench: Bench, monitor: Monitor) -> Measurement:
    with bench.ledger.read() as reading:
        return reading.measurements(monitor.id)[0]


def test_a_check_queries_count_and_total_together(served: Bench) -> None:
    add_monitor(served, **COUNTS)
    counted(served, (93, 100))
    [[query]] = served.sources.asked
    assert (query.query, query.of) == ("correct", "predictions")


def test_a_bound_applies_to_the_proportion(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS)
    counted(served, (93, 100))
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).value) == (MonitorStatus.OK, 0.93)
    counted(served, (85, 100), (84, 100))
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED


def test_a_count_s_total_is_kept_until_the_next_value(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS)
    counted(served, (93, 100), (0, 0))
    assert (monitor_state(served, monitor).value, monitor_state(served, monitor).total) == (0.93, 100)
    assert (last(served, monitor).value, last(served, monitor).total) == (None, None)
    assert str(last(served, monitor).why) == "Nothing was counted: 0 of 0."
    counted(served, (9, 10))
    assert (last(served, monitor).value, last(served, monitor).total) == (0.9, 10)


def test_a_metric_that_is_not_a_count_has_no_total(served: Bench) -> None:
    monitor = add_monitor(served)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    tick(served)
    assert (last(served, monitor).value, last(served, monitor).total, monitor_state(served, monitor).total) == (
        0.9,
        None,
        None,
    )


def test_pushed_counts_are_judged_without_the_option_of(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS | {"of": None, "source": "push"})
    served.clock.advance(seconds=12)
    now = served.clock.now()
    with served.ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source="push",
                    model="churn",
                    version=4,
                    metric="correct",
                    at=now,
                    value=93,
                    total=100,
                    received_at=now,
                    client="ci",
                )
            ]
        )
    pushed = PushSource(served.ledger, "push")
    served.sources.read = lambda name, queries: pushed.read(queries)  # type: ignore[method-assign]
    tick(served)
    assert (monitor_state(served, monitor).value, monitor_state(served, monitor).total) == (0.93, 100)


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Fails when correct out of predictions is at most 0.85 for 2 checks in a row."),
        ({"aggregate": "mean"}, "Fails when the mean of correct out of predictions over 1h is at most 0.85"),
        ({"rule": "blocks", "greater_than": None}, "the mean of correct out of predictions over 1h is worse than"),
    ],
)
def test_a_rule_says_what_is_counted_out_of_what(served: Bench, fields: dict[str, Any], said: str) -> None:
    assert said in str(rule_sentence(add_monitor(served, **COUNTS | fields).rule))


def test_the_answer_to_a_check_has_the_count(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS)
    counted(served, (84, 100))
    said = str(checked_answer(monitor, monitor_state(served, monitor)))
    assert "correct out of predictions of v4: 0.84 (84 of 100), bound 0.85." in said
    assert "0.84 (84 of 100) isn't greater than 0.85." in said


def test_a_rule_with_a_baseline_reports_the_latest_reading_s_count(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS | {"rule": "blocks", "greater_than": None})
    counted(served, (84, 100))
    assert "The latest reading of correct out of predictions for v4 is 0.84 (84 of 100)." in str(
        checked_answer(monitor, monitor_state(served, monitor))
    )


def test_an_alert_and_a_hard_limit_report_the_count(served: Bench) -> None:
    add_monitor(served, **COUNTS | {"hard_limit": 0.5})
    counted(served, (49, 100), (4900, 10_000))
    with served.ledger.read() as reading:
        [incident] = reading.incidents()
    assert "0.49 (4,900 of 10,000) is outside the hard limit of 0.5" in str(incident.lines[0])


def test_a_monitor_is_listed_and_shown_with_its_counts(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS)
    counted(served, (93, 100), (9, 10), (0, 0))
    service = Monitors(served.context, served.gatekeeper, lambda one, span: pytest.fail("no backtest"))
    shown = str(monitor_view(service.view(monitor.id)).blocks)
    assert "`correct` out of `predictions`" in shown
    for line in ("0.93 (93 of 100) is greater than 0.85.", "0.9 (9 of 10) is greater", "Nothing was counted: 0 of 0."):
        assert line in shown
    rows = [MonitorRow(monitor, monitor_state(served, monitor))]
    assert "0.9 (9 of 10), bound 0.85" in str(monitor_list(rows, served.clock.now()).blocks)
    assert str(value_text(monitor_state(served, monitor))) == "0.9 (9 of 10), bound 0.85"


# -- what a rule looks back at -----------------------------------------------------------------------------------------


def test_the_ledger_returns_totals(served: Bench) -> None:
    monitor = add_monitor(served, **COUNTS)
    began = served.clock.now()
    counted(served, (93, 100), (0, 0), (9, 10))
    now = served.clock.now()
    with served.ledger.read() as reading:
        series = reading.series(monitor, since=began, until=now)
        checks = reading.checks(monitor, since=began, until=now)
        term = current_term(reading, "churn")
        assert term is not None
        past = LedgerMonitorHistory(reading, monitor, term, now, Reading(value=0.5, total=2), stored=None)
        assert totals(past.readings(began, now + STEP)) == [100, 10]
        assert totals(past.recent(began)) == [100, 10, 2]
    assert series == [(began + STEP, 0.93, 100), (began + 3 * STEP, 0.9, 10)]
    assert [(one.value, one.total) for one in checks] == [(0.93, 100), (None, None), (0.9, 10)]


def test_a_backtest_of_recorded_checks_gives_the_rule_the_same_windows(served: Bench, looked: list[TimeSeries]) -> None:
    monitor = add_monitor(served, **COUNTS | {"rule": "blocks", "greater_than": None, "window": "1m", "history": "7m"})
    counted(served, *[(90, 100)] * 60)
    live = [totals(one) for one in looked if len(one)]
    looked.clear()
    Backtester(served.context, served.sources).backtest(monitor, timedelta(hours=1))
    assert [100] * 5 in live
    assert [totals(one) for one in looked if len(one)] == live


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[TimeSeries]:
    """Return the windows that `blocks` gets, in order."""
    found: list[TimeSeries] = []
    plain = baseline_choice.by_prediction_time

    def keep(rule: MonitorConfig, points: TimeSeries) -> TimeSeries:
        found.append(points)
        return plain(rule, points)

    monkeypatch.setattr(blocks, "by_prediction_time", keep)
    return found


def totals(points: TimeSeries) -> list[float] | None:
    return None if points.total is None else points.total.tolist()


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, [2, 3]),
        ({"aggregate": "mean", "window": "15m"}, []),
        ({"aggregate": "mean", "window": "15m", "greater_than": 0.94}, [3]),
    ],
    ids=["each by itself", "added up", "added up, another bound"],
)
def test_a_source_s_counts_are_replayed_as_checks_would_have_summed_them(
    served: Bench,
    fields: dict[str, Any],
    fires: list[int],
) -> None:
    monitor = add_monitor(served, **COUNTS | {"every": "5m", "fail_after": 1, "recover_after": 1} | fields)
    pairs = [(950, 1000), (950, 1000), (8, 10), (80, 100), (6, 5), (0, 0)]
    times = [served.clock.now() - timedelta(minutes=5) * back for back in reversed(range(len(pairs)))]
    served.sources.say("correct", *((at, *pair) for at, pair in zip(times, pairs, strict=True)))
    found = Backtester(served.context, served.sources).backtest(monitor, timedelta(hours=1))
    assert [one.at for one in found.firings] == [times[at] for at in fires]


# -- what they are evidence of -----------------------------------------------------------------------------------------

DEFAULT = COUNTS | {"rule": "default", "greater_than": None, "window": "1m", "history": "7m", "warmup": "1m"}


@pytest.fixture
def promoted(served: Bench) -> tuple[Bench, Monitor]:
    """Return a bench with twelve minutes of counts for v4, 9 of 10 each, and v1 just promoted."""
    monitor = add_monitor(served, **DEFAULT)
    counted(served, *[(9, 10)] * 60)
    promote(served, 1)
    return served, monitor


def promote(bench: Bench, version: int) -> None:
    bench.approved(f"promote churn {version} production")
    bench.moves.execute_due("churn")


def failed_after(bench: Bench, monitor: Monitor, *pairs: tuple[float, float]) -> int | None:
    """Return the position, from 1, of the count that makes the monitor fail."""
    for number, pair in enumerate(pairs, start=1):
        counted(bench, pair)
        if monitor_state(bench, monitor).state is MonitorStatus.FAILED:
            return number
    return None


def test_few_cases_with_a_higher_share_of_bad_ones_fail_within_minutes(promoted: tuple[Bench, Monitor]) -> None:
    bench, monitor = promoted
    assert failed_after(bench, monitor, *[(9, 10)] * 10) is None
    assert failed_after(bench, monitor, *[(5, 10)] * 10) == 3
    assert str(monitor_state(bench, monitor).why).startswith("15 of 30 since ")


def test_one_burst_of_bad_cases_is_not_enough(promoted: tuple[Bench, Monitor]) -> None:
    bench, monitor = promoted
    assert failed_after(bench, monitor, *[(9, 10)] * 10, (0, 500), *[(9, 10)] * 10) is None


def test_checks_without_cases_do_not_change_the_evidence(promoted: tuple[Bench, Monitor]) -> None:
    bench, monitor = promoted
    counted(bench, *[(9, 10)] * 10, (5, 10), (5, 10))
    before = monitor_state(bench, monitor).evidence
    counted(bench, (0, 0), (0, 0))
    assert monitor_state(bench, monitor).evidence == before
    assert failed_after(bench, monitor, (5, 10)) == 1


def test_a_failed_monitor_is_healthy_once_the_evidence_is_gone(promoted: tuple[Bench, Monitor]) -> None:
    bench, monitor = promoted
    counted(bench, *[(9, 10)] * 10, *[(5, 10)] * 30, *[(10, 10)] * 2)
    assert monitor_state(bench, monitor).state is MonitorStatus.FAILED
    counted(bench, *[(10, 10)] * 20)
    assert monitor_state(bench, monitor).state is MonitorStatus.OK


def test_evidence_does_not_carry_over_to_the_next_version(promoted: tuple[Bench, Monitor]) -> None:
    bench, monitor = promoted
    counted(bench, *[(9, 10)] * 10, *[(5, 10)] * 3)
    assert monitor_state(bench, monitor).evidence is not None
    promote(bench, 2)
    counted(bench, (9, 10))
    assert monitor_state(bench, monitor).evidence is None


def answered(bench: Bench, *values: int) -> None:
    """Give the source these values one after the other, and check each."""
    for one in values:
        bench.clock.advance(seconds=STEP.total_seconds())
        bench.sources.say("correct", (bench.clock.now(), one))
        tick(bench)


def test_single_cases_count_without_the_option_of(served: Bench) -> None:
    monitor = add_monitor(served, **DEFAULT | {"of": None})
    answered(served, *[0, 1, 1, 1, 1, 1, 1, 1, 1, 1] * 8)
    promote(served, 1)
    answered(served, *[0, 1, 1, 1, 1, 1, 1, 1, 1, 1] * 2)
    assert monitor_state(served, monitor).state is MonitorStatus.OK
    answered(served, *[0, 0, 1] * 8)
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED


def test_a_reading_without_a_total_is_not_judged_by_counts(served: Bench) -> None:
    monitor = add_monitor(served, **DEFAULT | {"of": None})
    counted(served, *[(9, 10)] * 60)
    promote(served, 1)
    counted(served, *[(9, 10)] * 10)
    answered(served, 1)
    assert str(monitor_state(served, monitor).why) == "The reading has no total, but the baseline's readings do."
