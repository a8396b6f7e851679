"""Evaluates checks: queries sources, and applies a monitor's rule to the answer and to the history in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Code, say
from bot.domain.monitoring.consecutive_checks import RuleResult, Verdict, assess, is_warmed_up, verdicts_due_since
from bot.domain.monitoring.monitor import (
    BaselineReplacement,
    FrozenBaseline,
    Monitor,
    MonitorState,
    MonitorStatus,
    OwnBaselineKind,
    ProductionTerm,
    state_for_term,
)
from bot.domain.monitoring.readings import Answer, CheckOutcome, Reading
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.aggregation import measure
from bot.domain.monitoring.rules.baseline_choice import (
    baseline_key,
    baseline_span,
    by_prediction_time,
    has_enough_history,
    summarize_for_rule,
)
from bot.domain.monitoring.rules.baselines import Baseline, Tally
from bot.domain.monitoring.rules.evaluation import evaluate_rule
from bot.domain.monitoring.rules.time_series import TimeSeries, to_time_series
from bot.ports import LedgerReader as Ledger
from bot.ports import Query
from bot.services.core.context import Context
from bot.services.monitoring.checks import CheckResult, ClaimedCheck, SourceReader, build_query, current_term

log = logging.getLogger(__name__)

ONE_MICROSECOND = timedelta(microseconds=1)  # the resolution of timestamps


class LedgerMonitorHistory:
    """The `MonitorHistory` for one check, from the ledger.

    `stored` and `own_baseline` are the monitor's baselines in the ledger, possibly from an earlier term. The caller
    saves two results with the check: `new_baseline`, the frozen baseline if this check is the first to need it, and
    `baseline_replacement`, a new baseline from the version's own days.
    """

    def __init__(
        self,
        reader: Ledger,
        monitor: Monitor,
        term: ProductionTerm,
        now: datetime,
        reading: Reading,
        *,
        stored: FrozenBaseline | None,
        own_baseline: FrozenBaseline | None = None,
    ) -> None:
        self._reader, self._monitor, self._term, self._now, self._reading = reader, monitor, term, now, reading
        self._stored_baseline, self._own_baseline = stored, own_baseline
        self._frozen = stored if stored and self._is_current(stored) else None
        self.new_baseline: FrozenBaseline | None = None
        self.baseline_replacement: BaselineReplacement | None = None

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` (inclusive) to `until` (exclusive)."""
        return to_time_series(
            self._reader.series(
                self._monitor,
                since=since - ONE_MICROSECOND,
                until=until - ONE_MICROSECOND,
                transition_id=self._term.transition_id,
            )
        )

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, including the check's value, which isn't in the ledger yet."""
        earlier = self._reader.series(
            self._monitor, since=since, until=self._now, transition_id=self._term.transition_id
        )
        return to_time_series([*earlier, (self._now, self._reading.value, self._reading.total)])

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return the end time of the version's own baseline and the baseline, or None if this term has none yet."""
        own = self._own_baseline
        return (own.until, own.summary) if own and self._is_current(own, kind) else None

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline to save with the check. A better level is announced only once."""
        own = self._own_baseline
        is_of_term = own and own.move == self._term.transition_id and own.key.endswith(self._key_suffix(kind))
        is_known = own and is_of_term and not self._is_current(own, kind)
        replaced = None
        if kind is not OwnBaselineKind.LIVE and not is_known:
            replaced = (self.own_baseline(kind) or (None, self.frozen_baseline()))[1]
        self._own_baseline = self._to_frozen(since, until, summary, kind)
        self.baseline_replacement = BaselineReplacement(kind, self._own_baseline, replaced)

    def frozen_baseline(self) -> Baseline:
        """Return this term's baseline from the ledger, or make it from the checks before the term."""
        if self._frozen is None:
            self._frozen = self.new_baseline = self._make_baseline()
        return self._frozen.summary

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, including the check's value."""
        rule = self._monitor.rule
        series = by_prediction_time(rule, self.recent(since - ONE_MICROSECOND))
        return Tally.from_series(series, baseline, higher_is_better=rule.higher_is_better)

    def _is_current(self, baseline: FrozenBaseline, kind: OwnBaselineKind | None = None) -> bool:
        return (baseline.move, baseline.key) == (self._term.transition_id, self._key(kind))

    def _key(self, kind: OwnBaselineKind | None) -> str:
        return baseline_key(self._monitor.rule, self._monitor.measured_from) + self._key_suffix(kind)

    def _key_suffix(self, kind: OwnBaselineKind | None) -> str:
        return f" {kind.value} {self._monitor.rule.better_direction.value}" if kind else ""

    def _to_frozen(
        self, since: datetime, until: datetime, summary: Baseline, kind: OwnBaselineKind | None = None
    ) -> FrozenBaseline:
        return FrozenBaseline(
            monitor=self._monitor.id,
            move=self._term.transition_id,
            key=self._key(kind),
            since=since,
            until=until,
            made_at=self._now,
            summary=summary,
        )

    def _make_baseline(self) -> FrozenBaseline:
        """Make the frozen baseline, excluding the readings of blocked versions.

        After a bad version that served for weeks, it uses the same days as the previous baseline. Those days stay in
        the ledger as long as the term lasts, even after an edit that needs fewer of them, because the next edit may
        need more.
        """
        monitor, term = self._monitor, self._term
        since, until = baseline_span(monitor.rule, term)
        summary, stored = self._summarize_earlier(since, until), self._stored_baseline
        has_enough = has_enough_history(monitor.rule, summary)
        if stored is not None and stored.since < since and (stored.move == term.transition_id or not has_enough):
            since = stored.since
            summary = summary if has_enough else self._summarize_earlier(since, until)
        return self._to_frozen(since, until, summary)

    def _summarize_earlier(self, since: datetime, until: datetime) -> Baseline:
        monitor, term = self._monitor, self._term
        bad = [block.version for block in self._reader.rollback_blocks(monitor.model)]
        before = self._reader.series(
            monitor, since=since, until=until, except_transition_id=term.transition_id, except_versions=bad
        )
        return summarize_for_rule(monitor.rule, term, to_time_series(before))


class CheckEvaluator:
    """Queries a source for claimed checks and evaluates its answers. It doesn't write to the ledger."""

    def __init__(self, context: Context, sources: SourceReader) -> None:
        self._context = context
        self._sources = sources

    def query_source(self, source: str, checks: Sequence[ClaimedCheck]) -> list[Answer]:
        """Return the source's answer for each check; failed queries are retried as often as their monitors allow."""
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            terms = _current_terms(reader, {check.monitor.model for check in checks})
        answers: dict[int, Answer] = {}
        queries: dict[int, Query] = {}
        for at, check in enumerate(checks):
            term = terms[check.monitor.model]
            if term is None:
                answers[at] = Answer()
            else:
                queries[at] = build_query(check.monitor, term.version, *_query_span(check, term, now))
        for attempt in range(1 + max((check.monitor.rule.retries for check in checks), default=0)):
            pending = [
                at
                for at in queries
                if attempt <= checks[at].monitor.rule.retries
                and (at not in answers or answers[at].outcome is CheckOutcome.ERROR)
            ]
            if not pending:
                break
            answers |= dict(zip(pending, self._read_source(source, [queries[at] for at in pending]), strict=True))
        return [answers[at] for at in range(len(checks))]

    def _read_source(self, source: str, queries: list[Query]) -> list[Answer]:
        try:
            answers = self._sources.read(source, queries)
            if len(answers) != len(queries):
                raise ValueError(f"{len(answers)} answers to {len(queries)} queries")
        except RegistrarError as error:
            answers = [Answer(outcome=CheckOutcome.ERROR, why=error.sentence)] * len(queries)
        except Exception as error:  # a plugin can raise anything
            log.exception("source %s raised an error", source)
            why = say("The source raised an error ({kind}). See the log.", kind=type(error).__name__)
            answers = [Answer(outcome=CheckOutcome.ERROR, why=why)] * len(queries)
        return answers

    def judge_all(self, checks: Sequence[ClaimedCheck], answers: Sequence[Answer]) -> list[CheckResult]:
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            terms = _current_terms(reader, {check.monitor.model for check in checks})
            stored = reader.baselines([check.monitor.id for check in checks if check.monitor.rule.uses_frozen_baseline])
            daily = [check.monitor.id for check in checks if check.monitor.rule.kind.summarizes_daily]
            own = reader.baselines(daily, own=True)
            return [
                self._judge(
                    reader,
                    check,
                    terms[check.monitor.model],
                    answer,
                    now,
                    (stored.get(check.monitor.id), own.get(check.monitor.id)),
                )
                for check, answer in zip(checks, answers, strict=True)
            ]

    def _judge(
        self,
        reader: Ledger,
        check: ClaimedCheck,
        term: ProductionTerm | None,
        answer: Answer,
        now: datetime,
        baselines: tuple[FrozenBaseline | None, FrozenBaseline | None],
    ) -> CheckResult:
        """Evaluate a check against its `baselines`. After an unexpected error, its outcome is ERROR."""
        if term is None:
            return _idle_result(check, now)
        try:
            return self._judge_term(reader, check, term, answer, now, baselines)
        except RegistrarError:
            raise  # the ledger is down: nothing can be saved
        except Exception as error:
            log.exception("check of monitor %s (model %s) raised an error", check.monitor.name, check.monitor.model)
            why = say("The check raised an error ({kind}). See the log.", kind=type(error).__name__)
            return self._judge_term(reader, check, term, Answer(outcome=CheckOutcome.ERROR, why=why), now, baselines)

    def _judge_term(
        self,
        reader: Ledger,
        check: ClaimedCheck,
        term: ProductionTerm,
        answer: Answer,
        now: datetime,
        baselines: tuple[FrozenBaseline | None, FrozenBaseline | None],
    ) -> CheckResult:
        monitor = check.monitor
        monitor_state = state_for_term(check.monitor_state, monitor, term)
        since, until = _query_span(check, term, now)
        if now < term.since:
            why = say(
                "{v} entered Production in the future ({since}) because the clock was set back. Checks resume then.",
                v=Code(f"v{term.version}"),
                since=term.since,
            )
            reading = Reading(outcome=CheckOutcome.NO_DATA, why=why)
        else:
            newest = monitor_state.newest
            reading = measure(answer, monitor.rule, since=since, until=until, now=now, newest_seen=newest)
        warmed_up = is_warmed_up(monitor, term, now)
        history = LedgerMonitorHistory(
            reader, monitor, term, now, reading, stored=baselines[0], own_baseline=baselines[1]
        )
        is_new = monitor_state.points == 0 and now >= term.since and reading.outcome is not CheckOutcome.ERROR
        if is_new and monitor.rule.uses_frozen_baseline:
            history.frozen_baseline()  # now, while its checks are in the ledger: new data may not arrive for weeks
        rule_result = self._evaluate_rule(monitor, monitor_state, term, reading, now, history)
        verdict = assess(
            monitor,
            monitor_state,
            reading,
            rule_result,
            now=now,
            warmed_up=warmed_up,
            due_since=verdicts_due_since(monitor, term, now),
        )
        return CheckResult(
            claim=check,
            term=term,
            reading=reading,
            verdict=verdict,
            at=now,
            new_baseline=history.new_baseline,
            baseline_replacement=history.baseline_replacement,
        )

    def _evaluate_rule(
        self,
        monitor: Monitor,
        monitor_state: MonitorState,
        term: ProductionTerm,
        reading: Reading,
        now: datetime,
        history: LedgerMonitorHistory,
    ) -> RuleResult | None:
        """Return the rule's result. If the rule raises an unexpected error, the result has no verdict."""
        try:
            return evaluate_rule(monitor, monitor_state, term, reading, now, history)
        except RegistrarError:
            raise  # the ledger is down: nothing can be saved
        except Exception as error:
            log.exception("rule of monitor %s (model %s) raised an error", monitor.name, monitor.model)
            why = say("The monitor's rule raised an error ({kind}). See the log.", kind=type(error).__name__)
            return RuleResult(is_worse=None, why=why.with_code(Reason.RULE_ERROR))

    def missing_baselines(self, reader: Ledger, now: datetime) -> list[FrozenBaseline]:
        """Return the frozen baselines of the current terms that aren't in the ledger yet."""
        monitors = [monitor for monitor in reader.monitors() if monitor.rule.uses_frozen_baseline]
        terms = _current_terms(reader, {monitor.model for monitor in monitors})
        stored = reader.baselines([monitor.id for monitor in monitors])
        missing = []
        for monitor in monitors:
            if (term := terms[monitor.model]) is None or now < term.since:
                continue
            history = LedgerMonitorHistory(reader, monitor, term, now, Reading(), stored=stored.get(monitor.id))
            try:
                history.frozen_baseline()
            except RegistrarError:
                raise  # the ledger is down: nothing can be purged either
            except Exception:  # affects only this monitor, whose next check reports the error; the purge continues
                log.exception("can't make the baseline of monitor %s (model %s)", monitor.name, monitor.model)
            missing += [history.new_baseline] if history.new_baseline else []
        return missing


def _idle_result(check: ClaimedCheck, now: datetime) -> CheckResult:
    """Return the result of a check when nothing is in Production."""
    why = say("Nothing is in Production.")
    monitor_state = state_for_term(check.monitor_state, check.monitor, None)
    verdict = Verdict(
        outcome=CheckOutcome.NO_DATA,
        previous_status=check.monitor_state.state,
        why=why,
        monitor_state=replace(monitor_state, state=MonitorStatus.DISABLED, slot=check.slot, at=now, why=why),
    )
    reading = Reading(outcome=CheckOutcome.NO_DATA, why=why)
    return CheckResult(claim=check, term=None, reading=reading, verdict=verdict, at=now)


def _current_terms(reader: Ledger, models: Iterable[str]) -> dict[str, ProductionTerm | None]:
    return {model: current_term(reader, model) for model in models}


def _query_span(check: ClaimedCheck, term: ProductionTerm, now: datetime) -> tuple[datetime, datetime]:
    """Return the start and end of the period to query, which never begins before the version entered Production.

    A fixed bound needs the newest reading, or the readings in its window if it has an aggregate. A rule with a baseline
    needs the readings since the previous check.
    """
    rule, monitor_state = check.monitor.rule, check.monitor_state
    until = now - rule.label_delay
    if not rule.uses_baseline:
        span = rule.window if rule.is_windowed else 2 * rule.max_reading_age
        return max(term.since, until - span), until
    last = (
        monitor_state.at - rule.label_delay
        if monitor_state.at and monitor_state.move == term.transition_id
        else until - rule.every
    )
    return max(term.since, min(last, until)), until
