"""What the ledger has for a monitor's rule to look back at, and the span that a source is asked about."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckValue, Reading
from bot.domain.monitoring.rules.baseline_choice import (
    baseline_key,
    baseline_span,
    by_prediction_time,
    has_enough_history,
    summarize_for_rule,
)
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.state import ProductionTerm
from bot.domain.monitoring.stored_baselines import BaselineReplacement, FrozenBaseline, OwnBaselineKind
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_direction import Direction
from bot.ports import LedgerReader as Ledger

ONE_MICROSECOND = timedelta(microseconds=1)  # the least there is between two times


class LedgerMonitorHistory:
    """`bot.domain.monitoring.rules.evaluation.Past` for one check, from the ledger.

    `stored` and `own` are the baselines that the ledger has of this monitor, maybe of an earlier term. `made` is the
    frozen baseline where this check is the first to need it, and `kept` a new one of the version's own days, with why:
    to be written down with the check.
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
        self._reader, self._monitor, self._term = reader, monitor, term
        self._now, self._value, self._total = now, reading.value, reading.total
        self._stored_baseline, self._own_baseline = stored, own_baseline
        self._frozen: FrozenBaseline | None = None
        self.new_baseline: FrozenBaseline | None = None
        self.baseline_replacement: BaselineReplacement | None = None

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` on and before `until`."""
        return to_time_series(
            self._reader.series(
                self._monitor,
                since=since - ONE_MICROSECOND,
                until=until - ONE_MICROSECOND,
                transition_id=self._term.transition_id,
            )
        )

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, and the check's value, which isn't there yet."""
        earlier = self._reader.series(
            self._monitor, since=since, until=self._now, transition_id=self._term.transition_id
        )
        return to_time_series([*earlier, (self._now, self._value, self._total)])

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return what the ledger has of the version's own days, and up to when they go."""
        own = self._own_baseline
        is_it = own is not None and (own.move, own.key) == (self._term.transition_id, self._baseline_key(kind))
        return (own.until, own.summary) if own is not None and is_it else None

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Have it written down with the check. A better level is announced only once."""
        own = (
            self._own_baseline
            if self._own_baseline is not None and self._own_baseline.move == self._term.transition_id
            else None
        )
        is_known = (
            own is not None
            and own.key != self._baseline_key(kind)
            and own.key.endswith(_key_suffix(kind, self._monitor.rule))
        )
        before = (
            None
            if kind is OwnBaselineKind.LIVE or is_known
            else (self.own_baseline(kind) or (None, self.frozen_baseline()))[1]
        )
        self._own_baseline = self._build_frozen_baseline(self._baseline_key(kind), since, until, summary)
        self.baseline_replacement = BaselineReplacement(kind, self._own_baseline, before)

    def frozen_baseline(self) -> Baseline:
        """Return the baseline that the ledger has of this term, or make it of what was measured before."""
        if self._frozen is None:
            self._frozen = self._current_stored_baseline() or self._make_baseline()
        return self._frozen.summary

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, and of the check's value, which isn't there yet."""
        rule = self._monitor.rule
        found = by_prediction_time(rule, self.recent(since - ONE_MICROSECOND))
        return Tally.from_series(found, baseline, higher_is_better=rule.better_direction is Direction.HIGHER)

    def _current_stored_baseline(self) -> FrozenBaseline | None:
        found = self._stored_baseline
        return (
            found
            if found is not None and (found.move, found.key) == (self._term.transition_id, self._baseline_key())
            else None
        )

    def _baseline_key(self, kind: OwnBaselineKind | None = None) -> str:
        return baseline_key(self._monitor.rule, self._monitor.measured_from) + _key_suffix(kind, self._monitor.rule)

    def _build_frozen_baseline(self, key: str, since: datetime, until: datetime, summary: Baseline) -> FrozenBaseline:
        return FrozenBaseline(
            monitor=self._monitor.id,
            move=self._term.transition_id,
            key=key,
            since=since,
            until=until,
            made_at=self._now,
            summary=summary,
        )

    def _make_baseline(self) -> FrozenBaseline:
        """Return a new one, without versions that were rolled back as bad: they're nobody's baseline.

        After a bad version that served for weeks, it's made of the days that the baseline before was made of. They stay
        in the ledger for as long as the term lasts, also after an edit that needs fewer: the next one may need more.
        """
        monitor, term = self._monitor, self._term
        since, until = baseline_span(monitor.rule, term)
        summary, stored = self._summarize_earlier(since, until), self._stored_baseline
        has_enough = has_enough_history(monitor.rule, summary)
        if stored is not None and stored.since < since and (stored.move == term.transition_id or not has_enough):
            since = stored.since
            summary = summary if has_enough else self._summarize_earlier(since, until)
        self.new_baseline = self._build_frozen_baseline(self._baseline_key(), since, until, summary)
        return self.new_baseline

    def _summarize_earlier(self, since: datetime, until: datetime) -> Baseline:
        monitor, term = self._monitor, self._term
        bad = [bar.version for bar in self._reader.rollback_blocks(monitor.model)]
        before = self._reader.series(
            monitor, since=since, until=until, except_transition_id=term.transition_id, except_versions=bad
        )
        return summarize_for_rule(monitor.rule, term, to_time_series(before))


def _key_suffix(kind: OwnBaselineKind | None, rule: MonitorConfig) -> str:
    return f" {kind.value} {rule.better_direction.value}" if kind else ""


def to_time_series(values: list[CheckValue]) -> TimeSeries:
    """Return checks' values as the rules take them."""
    return TimeSeries.from_columns(
        (at.timestamp() for at, _, _ in values),
        (value for _, value, _ in values),
        (total for _, _, total in values),
    )
