"""Replays past values, from the ledger or the source, through a monitor's rule to find when it would have fired.

As in a live check, `evaluate_rule` applies the rule, and `assess` turns its result into a verdict. The only difference
is that the history the rule reads is in memory.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.backtest import Backtest, BacktestCoverage
from bot.domain.monitoring.consecutive_checks import NO_DATA, SOURCE_ERROR, assess, is_warmed_up, verdicts_due_since
from bot.domain.monitoring.monitor import (
    FrozenBaseline,
    Monitor,
    MonitorState,
    MonitorStatus,
    OwnBaselineKind,
    ProductionTerm,
    state_for_term,
)
from bot.domain.monitoring.monitor_overview import transitions_since, value_label
from bot.domain.monitoring.readings import CheckOutcome, CheckValue, CountPoint, Firing, Point, Reading, RecordedCheck
from bot.domain.monitoring.rules.aggregation import aggregate, usable_points
from bot.domain.monitoring.rules.baseline_choice import (
    baseline_key,
    baseline_span,
    by_prediction_time,
    summarize_for_rule,
)
from bot.domain.monitoring.rules.baselines import MIN_COVERAGE, Baseline, Tally
from bot.domain.monitoring.rules.evaluation import evaluate_rule
from bot.domain.monitoring.rules.time_series import TimeSeries, to_time_series
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import CHECK_RETENTION
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks.rollback_targets import ServingPeriod, serving_periods
from bot.services.core.context import Context
from bot.services.monitoring.checks import SourceReader, build_query, to_term

UNKNOWN_TRANSITION = "unknown"  # the transition that began the term of a version that isn't in the ledger


class Backtester:
    """Replays history through rules, without changing anything."""

    def __init__(self, context: Context, sources: SourceReader) -> None:
        self._context = context
        self._sources = sources

    def backtest(self, monitor: Monitor, span: timedelta) -> Backtest:
        """Return when the monitor would have fired within the last `span`.

        Each Production term that overlaps the span is replayed from its start, because its live checks were evaluated
        that way. The monitor's own checks are replayed, unless the source's readings cover more of the span, as they do
        for a new monitor.
        """
        until = self._context.clock.now()
        since = until - span
        with self._context.ledger.read() as reader:
            transitions = reader.transitions(monitor.model, stage=Stage.PRODUCTION)
            all_periods = serving_periods(transitions)[::-1]
            periods = [period for period in all_periods if period.until is None or period.until > since]
            stored, blocks = reader.baselines([monitor.id]).get(monitor.id), reader.rollback_blocks(monitor.model)
            earliest = min([since, *(_checks_needed_since(monitor, to_term(period), stored) for period in periods)])
            checks = reader.checks(monitor, since=earliest, until=until)
        terms, why = [to_term(period) for period in periods], None
        result = replay(monitor, terms, checks, since=since, until=until, stored=stored, rollback_blocks=blocks)
        measured_time = _covered_time((check.at for check in checks if check.value is not None), since)
        if result.coverage.why is not None or measured_time < MIN_COVERAGE * span:
            earliest_of_source = max(min([since, *(term.since for term in terms)]), since - CHECK_RETENTION)
            first = _checks_needed_since(
                monitor, ProductionTerm(transition_id="", version=0, since=earliest_of_source), None
            )
            version = terms[-1].version if periods and periods[-1].until is None else 0
            source_points, why = self._read_source_history(monitor, version, first, until)
            if source_values := aggregate_like_checks(monitor.rule, source_points):
                before = [
                    period for period in all_periods if period.until is None or period.until > source_values[0][0]
                ]
                terms, source_checks = _to_checks(before, source_values)
                terms = terms[-max(len(periods), 1) :]  # the earlier terms only provide baselines
                source_result = replay(monitor, terms, source_checks, since=since, until=until, rollback_blocks=blocks)
                is_longer = MIN_COVERAGE * _covered_time((at for at, _, _ in source_values), since) > measured_time
                judges_more = MIN_COVERAGE * source_result.coverage.judged_time > result.coverage.judged_time
                if judges_more or (is_longer and not result.coverage.judged_time):
                    result, checks = source_result, source_checks
        points = [(check.at, check.value) for check in checks if check.value is not None and check.at > since]
        if not points:
            nothing = why or say("Neither the monitor nor its source has readings for that time.")
            return Backtest(monitor=monitor, since=since, until=until, why=nothing)
        bound = None if result.bound == monitor.rule.hard_limit else result.bound
        return Backtest(
            monitor=monitor,
            since=since,
            until=until,
            points=points,
            firings=result.firings,
            earlier_failure=result.earlier_failure,
            bound=bound,
            baseline_value=result.baseline_value,
            judged_time=result.coverage.judged_time,
            why=result.coverage.why,
            transitions=transitions_since(transitions, points[0][0]),
            value_label=value_label(monitor.rule, self._context.policy.metrics_for(monitor.model)),
        )

    def _read_source_history(
        self, monitor: Monitor, version: int, since: datetime, until: datetime
    ) -> tuple[list[Point | CountPoint], Sentence | None]:
        rule, query = monitor.rule, build_query(monitor, version, since, until)
        try:
            answer = self._sources.history(rule.source, query, rule.every)
        except RegistrarError as error:
            return [], error.sentence
        if answer.outcome is not CheckOutcome.OK:
            return [], answer.why
        return usable_points(answer.points, rule, lambda at: None)[0], None


# -- what is replayed --------------------------------------------------------------------------------------------------


def aggregate_like_checks(rule: MonitorConfig, readings: Sequence[Point | CountPoint]) -> list[CheckValue]:
    """Return the values that checks would have computed from a source's readings (oldest first).

    Each reading gives one value, unless a window or rate is still incomplete or the value isn't finite. As in a check,
    a threshold with an aggregate uses its window, and a rule with a baseline uses the readings since the previous
    check. The monitor's own values are already aggregated.
    """
    values = [
        (points[-1][0], *aggregate(points, rule.effective_aggregate)) for points in _reading_windows(rule, readings)
    ]
    return [check_value for check_value in values if math.isfinite(check_value[1])]


def _reading_windows(
    rule: MonitorConfig, readings: Sequence[Point | CountPoint]
) -> Iterator[Sequence[Point | CountPoint]]:
    if not rule.is_windowed and rule.effective_aggregate != "rate":
        yield from ([reading] for reading in readings)  # a source returns one reading for each check
        return
    span = rule.window if rule.is_windowed else 2 * rule.every
    first = 0
    for last, (at, *_) in enumerate(readings):
        while readings[first][0] <= at - span:
            first += 1
        points = readings[first : last + 1]
        is_whole = not rule.is_windowed or at - readings[0][0] >= span - rule.every  # otherwise, a check is warming up
        if is_whole and (rule.effective_aggregate != "rate" or len(points) > 1):
            yield points


def _to_checks(
    served: Sequence[ServingPeriod], points: Sequence[CheckValue]
) -> tuple[list[ProductionTerm], list[RecordedCheck]]:
    """Return the `served` periods as terms, and a source's readings as checks in those terms.

    A version that was in Production before Registrar started counts as serving since the first reading.
    """
    first = points[0][0]
    terms = [to_term(period) for period in served] or [
        ProductionTerm(transition_id=UNKNOWN_TRANSITION, version=0, since=first)
    ]
    ends = [period.until for period in served] or [None]
    if served and served[0].predates_registrar:
        terms[0] = replace(terms[0], since=min(first, terms[0].since))
    begins = [term.since for term in terms]
    checks = []
    for at, value, total in points:
        number = bisect_right(begins, at) - 1
        end = ends[number] if number >= 0 else None
        term = terms[number] if number >= 0 and (end is None or at <= end) else None
        transition, version = (term.transition_id, term.version) if term else (None, None)
        checks.append(RecordedCheck(at, transition, version, CheckOutcome.OK, value, 1, total))
    return terms, checks


def _checks_needed_since(monitor: Monitor, term: ProductionTerm, stored: FrozenBaseline | None) -> datetime:
    """Return the time from which checks are needed to replay a term and, unless it's stored, to make its baseline."""
    rule = monitor.rule
    if not rule.uses_frozen_baseline or _belongsto_term(stored, monitor, term):
        return term.since
    return baseline_span(rule, term)[0]


def _belongsto_term(stored: FrozenBaseline | None, monitor: Monitor, term: ProductionTerm) -> bool:
    key = baseline_key(monitor.rule, monitor.measured_from)
    return stored is not None and (stored.move, stored.key) == (term.transition_id, key)


# -- the replay --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ReplayResult:
    """The result of a replay: how much was covered, the monitor's state, and when it would have fired."""

    coverage: BacktestCoverage
    monitor_state: MonitorState
    firings: list[Firing] = field(default_factory=list)
    earlier_failure: Firing | None = None  # before the span, if the monitor was still failing when it began
    bound: float | None = None
    baseline_value: float | None = None


def replay(
    monitor: Monitor,
    terms: Sequence[ProductionTerm],
    checks: Sequence[RecordedCheck],
    *,
    since: datetime,
    until: datetime,
    stored: FrozenBaseline | None = None,
    rollback_blocks: Collection[RollbackBlock] = (),
) -> ReplayResult:
    """Replay checks (oldest first) in the given terms; return what the monitor would have found after `since`.

    `stored` is the monitor's stored frozen baseline, if there is one; the baselines of other terms are recomputed.
    """
    result = ReplayResult(BacktestCoverage(since, until), MonitorState(monitor=monitor.id))
    for term in terms:
        own_checks = [check for check in checks if check.move == term.transition_id]
        bad = {
            block.version for block in rollback_blocks if block.at <= term.since or block.move == term.transition_id
        }  # the blocks that were known then
        history = _InMemoryHistory(
            monitor.rule, term, own_checks, checks, bad, stored if _belongsto_term(stored, monitor, term) else None
        )
        _replay_term(monitor, term, own_checks, history, result)
    return result


def _replay_term(
    monitor: Monitor,
    term: ProductionTerm,
    checks: Sequence[RecordedCheck],
    history: _InMemoryHistory,
    result: ReplayResult,
) -> None:
    rule, coverage = monitor.rule, result.coverage
    monitor_state = state_for_term(result.monitor_state, monitor, term)
    for at, _, _, outcome, value, points, total in checks:
        history.now = at
        reading = _to_reading(rule, at, outcome, value, points, total)
        rule_result = evaluate_rule(monitor, monitor_state, term, reading, at, history)
        warmed_up = is_warmed_up(monitor, term, at)
        verdict = assess(
            monitor,
            monitor_state,
            reading,
            rule_result,
            now=at,
            warmed_up=warmed_up,
            due_since=verdicts_due_since(monitor, term, at),
        )
        if at > coverage.since:
            coverage.add(rule, at, rule_result, verdict.why if rule_result is None else None)
            if verdict.is_new_failure and value is not None:
                result.firings.append(Firing(at, value, verdict.why))
        elif verdict.is_new_failure and value is not None:
            result.earlier_failure = Firing(at, value, verdict.why)
        elif verdict.monitor_state.state is not MonitorStatus.FAILED:
            result.earlier_failure = None
        coverage.last_check_at = at
        monitor_state = verdict.monitor_state
    result.monitor_state = monitor_state
    result.bound = result.bound if monitor_state.bound is None else monitor_state.bound
    result.baseline_value = result.baseline_value if monitor_state.usual is None else monitor_state.usual


def _to_reading(
    rule: MonitorConfig, at: datetime, outcome: CheckOutcome, value: float | None, points: int, total: float | None
) -> Reading:
    """Return the source's reading, as far as it can be reconstructed from the recorded check."""
    if value is None:
        is_error = outcome is CheckOutcome.ERROR
        return Reading(
            outcome=CheckOutcome.ERROR if is_error else CheckOutcome.NO_DATA,
            why=SOURCE_ERROR if is_error else NO_DATA,
        )
    fresh = points if rule.uses_baseline else min(points, 1)  # a fixed bound uses some readings more than once
    return Reading(value=value, total=total, points=points, fresh=fresh, newest=at)


class _InMemoryHistory:
    """The `MonitorHistory` of one term, in memory. `now` is the time of the check that's being evaluated."""

    def __init__(
        self,
        rule: MonitorConfig,
        term: ProductionTerm,
        term_checks: Sequence[RecordedCheck],
        all_checks: Sequence[RecordedCheck],
        blocked_versions: Collection[int],
        stored: FrozenBaseline | None,
    ) -> None:
        self.now = term.since
        self._rule, self._term, self._all_checks, self._blocked_versions = rule, term, all_checks, blocked_versions
        self._term_series = _series_of(term_checks)
        self._frozen = stored.summary if stored else None
        self._own_baselines: dict[OwnBaselineKind, tuple[datetime, Baseline]] = {}
        self._tally: Tally | None = None
        self._tallied_count = 0  # readings that are in the tally or older than its start

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` (inclusive) to `until` (exclusive)."""
        return self._term_series.between(since.timestamp(), until.timestamp())

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, up to and including the one being evaluated."""
        first, after = (
            int(self._term_series.at.searchsorted(at.timestamp(), side="right")) for at in (since, self.now)
        )
        return self._term_series.slice(first, after)

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return the end time of the version's own baseline and the baseline, or None if there isn't one yet."""
        return self._own_baselines.get(kind)

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep the version's own baseline for the rest of the replay."""
        self._own_baselines[kind] = until, summary

    def frozen_baseline(self) -> Baseline:
        """Return the stored baseline, or one made from the checks before the term."""
        if self._frozen is None:
            since, until = baseline_span(self._rule, self._term)
            before = [
                check
                for check in self._all_checks
                if since < check.at <= until
                and check.move != self._term.transition_id
                and check.version not in self._blocked_versions
            ]
            self._frozen = summarize_for_rule(self._rule, self._term, _series_of(before))
        return self._frozen

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since`, up to and including the one being evaluated."""
        if self._tally is None:
            nothing = TimeSeries.from_columns([], [])
            self._tally = Tally.from_series(nothing, baseline, higher_is_better=self._rule.higher_is_better)
            self._tallied_count = int(self._term_series.at.searchsorted(since.timestamp()))
        until = int(self._term_series.at.searchsorted(self.now.timestamp(), side="right"))
        if until > self._tallied_count:
            self._tally.add(by_prediction_time(self._rule, self._term_series.slice(self._tallied_count, until)))
            self._tallied_count = until
        return self._tally


def _series_of(checks: Sequence[RecordedCheck]) -> TimeSeries:
    return to_time_series(
        (check.at, check.value, check.total) for check in checks if check.value is not None and check.move is not None
    )


def _covered_time(times: Iterable[datetime], since: datetime) -> timedelta:
    """Return the time from the first to the last of the `times` after `since`; zero if there aren't any."""
    covered = [at for at in times if at > since]
    return covered[-1] - covered[0] if covered else timedelta()
