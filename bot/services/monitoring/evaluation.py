"""What the ledger has for a monitor's rule to look back at, and the span that a source is asked about."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measured, Reading
from bot.domain.monitoring.rules.baseline_choice import is_enough, key_of, predicted, span_of_baseline, summary_of
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import Points
from bot.domain.monitoring.state import Term
from bot.domain.monitoring.stored_baselines import FrozenBaseline, Kept, Own
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction
from bot.ports import Reading as Ledger

TICK = timedelta(microseconds=1)  # the least there is between two times


class LedgerPast:
    """`bot.domain.monitoring.rules.evaluation.Past` for one check, from the ledger.

    `stored` and `own` are the baselines that the ledger has of this monitor, maybe of an earlier term. `made` is the
    frozen baseline where this check is the first to need it, and `kept` a new one of the version's own days, with why:
    to be written down with the check.
    """

    def __init__(
        self,
        reading: Ledger,
        monitor: Monitor,
        term: Term,
        now: datetime,
        found: Reading,
        *,
        stored: FrozenBaseline | None,
        own: FrozenBaseline | None = None,
    ) -> None:
        self._reading, self._monitor, self._term = reading, monitor, term
        self._now, self._value, self._total = now, found.value, found.total
        self._before, self._own = stored, own
        self._frozen: FrozenBaseline | None = None
        self.made: FrozenBaseline | None = None
        self.kept: Kept | None = None

    def readings(self, since: datetime, until: datetime) -> Points:
        """Return the term's readings from `since` on and before `until`."""
        return points(self._reading.series(self._monitor, since=since - TICK, until=until - TICK, move=self._term.move))

    def recent(self, since: datetime) -> Points:
        """Return the term's readings after `since`, and the check's value, which isn't there yet."""
        earlier = self._reading.series(self._monitor, since=since, until=self._now, move=self._term.move)
        return points([*earlier, (self._now, self._value, self._total)])

    def own(self, kind: Own) -> tuple[datetime, Baseline] | None:
        """Return what the ledger has of the version's own days, and up to when they go."""
        own = self._own
        is_it = own is not None and (own.move, own.key) == (self._term.move, self._key(kind))
        return (own.until, own.summary) if own is not None and is_it else None

    def keep(self, kind: Own, since: datetime, until: datetime, summary: Baseline) -> None:
        """Have it written down with the check. A better level is announced only once."""
        own = self._own if self._own is not None and self._own.move == self._term.move else None
        is_known = (
            own is not None and own.key != self._key(kind) and own.key.endswith(_suffix(kind, self._monitor.rule))
        )
        before = None if kind is Own.LIVE or is_known else (self.own(kind) or (None, self.frozen()))[1]
        self._own = self._baseline(self._key(kind), since, until, summary)
        self.kept = Kept(kind, self._own, before)

    def frozen(self) -> Baseline:
        """Return the baseline that the ledger has of this term, or make it of what was measured before."""
        if self._frozen is None:
            self._frozen = self._stored() or self._make()
        return self._frozen.summary

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, and of the check's value, which isn't there yet."""
        rule = self._monitor.rule
        found = predicted(rule, self.recent(since - TICK))
        return Tally.of(found, baseline, higher_is_better=rule.better is Direction.HIGHER)

    def _stored(self) -> FrozenBaseline | None:
        found = self._before
        return found if found is not None and (found.move, found.key) == (self._term.move, self._key()) else None

    def _key(self, kind: Own | None = None) -> str:
        return key_of(self._monitor.rule, self._monitor.measured_from) + _suffix(kind, self._monitor.rule)

    def _baseline(self, key: str, since: datetime, until: datetime, summary: Baseline) -> FrozenBaseline:
        return FrozenBaseline(
            monitor=self._monitor.id,
            move=self._term.move,
            key=key,
            since=since,
            until=until,
            made_at=self._now,
            summary=summary,
        )

    def _make(self) -> FrozenBaseline:
        """Return a new one, without versions that were rolled back as bad: they're nobody's baseline.

        After a bad version that served for weeks, it's made of the days that the baseline before was made of. They stay
        in the ledger for as long as the term lasts, also after an edit that needs fewer: the next one may need more.
        """
        monitor, term = self._monitor, self._term
        since, until = span_of_baseline(monitor.rule, term)
        summary, stored = self._summary(since, until), self._before
        has_enough = is_enough(monitor.rule, summary)
        if stored is not None and stored.since < since and (stored.move == term.move or not has_enough):
            since = stored.since
            summary = summary if has_enough else self._summary(since, until)
        self.made = self._baseline(self._key(), since, until, summary)
        return self.made

    def _summary(self, since: datetime, until: datetime) -> Baseline:
        monitor, term = self._monitor, self._term
        bad = [bar.version for bar in self._reading.bars(monitor.model)]
        before = self._reading.series(monitor, since=since, until=until, but=term.move, without=bad)
        return summary_of(monitor.rule, term, points(before))


def _suffix(kind: Own | None, rule: MonitorRule) -> str:
    return f" {kind.value} {rule.better.value}" if kind else ""


def points(measured: list[Measured]) -> Points:
    """Return checks' values as the rules take them."""
    return Points.of(
        (at.timestamp() for at, _, _ in measured),
        (value for _, value, _ in measured),
        (total for _, _, total in measured),
    )
