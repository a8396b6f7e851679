"""The result of a backtest: what a monitor's rule would have found in the past. bot/services does the replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.incident import MonitorChart
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.monitor_overview import chart_bounds
from bot.domain.monitoring.readings import Firing, Point
from bot.domain.monitoring.reasons import Reason
from bot.domain.policy.monitor_config import MonitorConfig

MAX_DATES = 5  # listed; the rest are counted
MIN_JUDGED_SHARE = 0.9  # of the time; a rule that covered less could have missed failures
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class BacktestCoverage:
    """How much of the period from `since` to `until` a replayed rule covered, and why it didn't cover the rest.

    A block with a verdict covers its window. With rules that don't use blocks, a check with a verdict covers the time
    since the previous check, but at most twice the interval between checks.
    """

    since: datetime
    until: datetime
    judged_time: timedelta = timedelta()
    last_check_at: datetime | None = None  # the last check so far
    _reasons: dict[str, tuple[timedelta, Sentence]] = field(default_factory=dict)  # by code: how long, and why

    def add(self, rule: MonitorConfig, at: datetime, result: RuleResult | None, why: Sentence | None) -> None:
        """Count a check. If the rule wasn't applied, `why` is the reason."""
        last = max(self.last_check_at or self.since, self.since)
        share = min(at - last, 2 * rule.every)
        if at - last > share:
            self._add_unjudged(at - last - share, _NOT_MEASURED)
        if result is None:
            self._add_unjudged(share, why or _NOT_MEASURED)
            return
        if result.judged_to is not None:
            share = min(result.judged_to, self.until) - max(result.judged_to - rule.window, self.since)
        if result.is_worse is not None:
            self.judged_time += max(share, timedelta())
        elif result.why is not None:
            self._add_unjudged(share, result.why)

    @property
    def why(self) -> Sentence | None:
        """The main reason why part of the period wasn't covered; None if enough of it was."""
        if self.judged_time >= MIN_JUDGED_SHARE * (self.until - self.since):
            return None
        left = {**self._reasons}
        end = self.until - max(self.last_check_at or self.since, self.since)
        left[_NOT_MEASURED.code] = (left.get(_NOT_MEASURED.code, (timedelta(),))[0] + end, _NOT_MEASURED)
        return max(left.values(), key=lambda one: one[0])[1]

    def _add_unjudged(self, span: timedelta, why: Sentence) -> None:
        self._reasons[why.code] = (self._reasons.get(why.code, (timedelta(),))[0] + span, why)


_NOT_MEASURED = say("Most of the time that wasn't covered has no measurements.").with_code(Reason.NOT_MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The result of replaying the period from `since` to `until`.

    `judged_time` is how much of it the rule covered; if that's less than `MIN_JUDGED_SHARE`, `why` is the reason.
    `bound` and `baseline_value` are the final ones; `points` are the measured values, oldest first.
    """

    monitor: Monitor
    since: datetime
    until: datetime
    points: Sequence[Point] = ()
    firings: Sequence[Firing] = ()
    earlier_failure: Firing | None = None  # before `since`, if the monitor was still failing then
    bound: float | None = None
    baseline_value: float | None = None
    judged_time: timedelta = timedelta()
    why: Sentence | None = None
    transitions: Sequence[tuple[datetime, str]] = ()  # when Production changed, and to what
    value_label: str = ""  # what the values are, with their unit

    @property
    def hours(self) -> int:
        """How many hours were replayed."""
        return round((self.until - self.since) / HOUR)

    @property
    def hours_judged(self) -> int:
        """How many of the replayed hours the rule covered."""
        return round(self.judged_time / HOUR)

    @property
    def is_judged(self) -> bool:
        """Whether the rule covered enough of the period to draw a conclusion."""
        return self.judged_time >= MIN_JUDGED_SHARE * (self.until - self.since)

    @property
    def has_failed(self) -> bool:
        """Whether the monitor would have failed during the period, or was already failing when it began."""
        return bool(self.firings) or self.earlier_failure is not None

    @property
    def facts(self) -> dict[str, Any]:
        """What the backtest covered, as plain JSON values for the audit log."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "values": len(self.points),
            "hours": self.hours,
            "hours_judged": self.hours_judged,
        }

    @property
    def coverage(self) -> str:
        """How much the rule covered, such as `covered 166 of 168 hours`."""
        return f"covered {self.hours_judged:,} of {self.hours:,} hours"

    @property
    def sentence(self) -> Sentence:
        """A summary: when the monitor would have fired, how much was covered, and why the rest wasn't."""
        name = {"model": Name(self.monitor.model), "name": Code(self.monitor.name), "coverage": self.coverage}
        span = format_duration(self.until - self.since)
        why = say(" {why}", why=self.why) if self.why is not None else say("")
        if self.earlier_failure is not None:
            why = say(
                " It failed on {at} and hadn't recovered when the backtest began.{why}",
                why=why,
                at=self.earlier_failure.at,
            )
        if not self.judged_time and not self.firings:
            return say(
                "Can't tell what {model} {name} would have done in {span} ({coverage}).{why}",
                span=span,
                why=why,
                **name,
            )
        if not self.firings:
            return say(
                "{model} {name} wouldn't have fired in {span} ({coverage}, {n}).{why}",
                span=span,
                n=pluralize(len(self.points), "value"),
                why=why,
                **name,
            )
        count = len(self.firings)
        times = "once" if count == 1 else f"{count} times"
        more = say(" and {n} more", n=count - MAX_DATES) if count > MAX_DATES else say("")
        return say(
            "{model} {name} would have fired {times} in {span} ({coverage}): on {dates}{more}.{why}",
            times=times,
            span=span,
            dates=[one.at for one in self.firings[:MAX_DATES]],
            more=more,
            why=why,
            **name,
        )

    @property
    def chart(self) -> MonitorChart:
        """The chart: the values, the bounds, and when the monitor would have fired."""
        fired = {one.at: one.value for one in self.firings}
        shown = sorted((dict(self.points) | fired).items())
        return MonitorChart(
            title=f"{self.monitor.model}: {self.monitor.name} ({self.coverage})",
            times=[at for at, _ in shown],
            values=[value for _, value in shown],
            failed=[at in fired for at, _ in shown],
            bounds=chart_bounds(self.monitor.rule, self.bound, self.baseline_value),
            transitions=self.transitions,
            value_label=self.value_label,
        )
