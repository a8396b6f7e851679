"""A backtest: what a monitor's rule would have said of the past. The replay is elsewhere; here is what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.durations import show_duration
from bot.domain.incidents import Chart
from bot.domain.monitor_views import bounds_of
from bot.domain.monitors import Firing, Monitor, Point
from bot.domain.numbers import counted
from bot.domain.text import Code, Name, Say, say

DATES_MOST = 5  # that are named; of more, the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of a replay. `why` says why it cannot be told, and there are no firings then.

    `bound` is where worse begins and `usual` what the baseline has, as they were at the end; `points` are the values
    that were judged, oldest first.
    """

    monitor: Monitor
    since: datetime
    until: datetime
    points: Sequence[Point] = ()
    firings: Sequence[Firing] = ()
    bound: float | None = None
    usual: float | None = None
    why: Say | None = None
    moves: Sequence[tuple[datetime, str]] = ()  # when Production moved, and to what

    @property
    def sentence(self) -> Say:
        """Return in one sentence what it would have done."""
        name = {"model": Name(self.monitor.model), "name": Code(self.monitor.name)}
        span = show_duration(self.until - self.since)
        if self.why is not None:
            return say("What {model} {name} would have done in {span} cannot be told. {why}", span=span, why=self.why,
                       **name)  # fmt: skip
        if not self.firings:
            return say("{model} {name} would not have fired in {span} ({n}).", span=span,
                       n=counted(len(self.points), "value"), **name)  # fmt: skip
        count = len(self.firings)
        times = "once" if count == 1 else f"{count} times"
        more = say(" and {n} more", n=count - DATES_MOST) if count > DATES_MOST else say("")
        return say("{model} {name} would have fired {times} in {span}: on {dates}{more}.", times=times, span=span,
                   dates=[one.at for one in self.firings[:DATES_MOST]], more=more, **name)  # fmt: skip

    @property
    def chart(self) -> Chart:
        """Return the picture: the values, what must hold, and where it would have fired."""
        fired = {one.at: one.value for one in self.firings}
        shown = sorted((dict(self.points) | fired).items())
        return Chart(
            title=f"{self.monitor.model}: {self.monitor.name}, replayed",
            times=[at for at, _ in shown], values=[value for _, value in shown],
            failed=[at in fired for at, _ in shown], bounds=bounds_of(self.monitor.rule, self.bound, self.usual),
            moves=self.moves,
        )  # fmt: skip
