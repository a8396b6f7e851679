"""TODO bot.domain.monitoring.assessment"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isnan, nan
from typing import TYPE_CHECKING

from bot.domain.core.numbers import number, share
from bot.domain.core.sentence import Say, say
from bot.domain.monitoring.readings import Outcome, Reading
from bot.domain.monitoring.state import BLIND, Standing, State, Term
from bot.domain.policy.monitor_config import HARD_LIMIT_AFTER, MonitorRule
from bot.domain.registry.metric_direction import Direction

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    pass
from bot.domain.monitoring.monitor import JITTER, Monitor

UNJUDGED_MOST = 3  # checks in a row without a verdict that was due, until the monitor can't judge


FIRST_FEW = 6  # checks that bring `sequential` the readings for its first verdict, with two to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a rule made of a value.

    `is_worse` None with a `why` or a `judged_to`: a verdict is due, and the rule can't give one. None with neither:
    there is nothing new to judge.
    """

    is_worse: bool | None
    is_sure: bool = False  # it already rests on `fail_after` readings, so no other check has to confirm it
    is_recovered: bool = True  # far enough back within the bound
    bound: float = nan
    usual: float = nan  # what the baseline has
    why: Say | None = None
    judged_to: datetime | None = None
    evidence: tuple[float, ...] | None = None  # what's gathered by now; None where nothing was


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check came to, and where the monitor stands after it. `is_news`: its state has changed."""

    outcome: Outcome
    standing: Standing
    before: State
    why: Say

    @property
    def is_news(self) -> bool:
        """Tell whether the state is another one than before."""
        return self.standing.state is not self.before

    @property
    def has_failed(self) -> bool:
        """Tell whether the monitor has failed with this very check."""
        return self.is_news and self.standing.state is State.FAILED


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times, each of which there may not be."""
    return max(filter(None, (one, other)), default=None)


def beyond_limit(rule: MonitorRule, value: float) -> bool:
    """Tell whether the value lies beyond the hard limit; on it is not beyond."""
    if rule.hard_limit is None or isnan(value):
        return False
    return value < rule.hard_limit if rule.better is Direction.HIGHER else value > rule.hard_limit


def is_warm(monitor: Monitor, term: Term, now: datetime) -> bool:
    """Tell whether the time after the promotion is over in which only the hard limit counts."""
    return now >= term.since + monitor.rule.warms_up


def due_from(monitor: Monitor, term: Term, now: datetime) -> datetime:
    """Return since when verdicts are due: the end of the warm-up, or the monitor's last change if that was later.

    A change that is yet to come, since the clock was set back, doesn't count.
    """
    warm = term.since + monitor.rule.warms_up
    return max(warm, monitor.created_at) if monitor.created_at <= now else warm


def assess(
    monitor: Monitor,
    standing: Standing,
    reading: Reading,
    judgement: Judgement | None,
    *,
    now: datetime,
    warm: bool,
    due: datetime | None = None,
) -> Verdict:
    """Return what a check comes to.

    `standing` is that of `begin`; `judgement` is the rule's, or None where the rule was not asked: while it is not
    `warm`, or where there is no value; with no data, it says that there can be none yet. `due` is that of `due_from`;
    without it, a monitor that only ever has nothing new to judge is not noticed. Pure: the same arguments give the
    same verdict.
    """
    rule = monitor.rule
    seen = replace(
        standing,
        slot=standing.slot + 1,
        at=now,
        points=standing.points + reading.fresh,
        newest=latest(standing.newest, reading.newest),
    )
    if reading.outcome is Outcome.ERROR:
        return _broken(rule, standing, seen, reading.why or say("The source gave an error."))
    if reading.outcome is Outcome.NO_DATA and judgement is not None and not warm:
        state = State.FAILED if standing.state is State.FAILED else State.WARMUP
        return _verdict(Outcome.NO_DATA, standing, seen, state, judgement.why or say("There's no verdict yet."))
    if reading.outcome is Outcome.NO_DATA:
        return _empty(rule, standing, seen, reading.why or say("The source had no data."))
    seen = replace(seen, value=reading.value, total=reading.total, broken=0, empty=0)
    if beyond_limit(rule, reading.value):
        return _beyond(rule, standing, seen, now)
    seen = replace(seen, beyond=0)
    if not warm:
        state = State.FAILED if standing.state is State.FAILED else State.WARMUP
        return _verdict(Outcome.OK, standing, seen, state, say("Too soon after the promotion to judge."))
    judgement = judgement or Judgement(is_worse=None)
    seen = replace(
        seen,
        bound=_known(judgement.bound, seen.bound),
        usual=_known(judgement.usual, seen.usual),
        judged_to=judgement.judged_to or seen.judged_to,
        evidence=judgement.evidence or seen.evidence,
    )
    if judgement.is_worse is not None:
        return _judged(rule, standing, replace(seen, unjudged=0, judged_at=now), judgement, now)
    if judgement.why is None and judgement.judged_to is None:
        return _nothing_new(rule, standing, seen, due)
    why = judgement.why or say("There's no verdict yet.")
    if _waits(rule, seen, judgement, due):
        state = standing.state if standing.state in {State.FAILED, *BLIND} else State.WARMUP
        return _verdict(Outcome.OK, standing, seen, state, why)
    return _unjudged(standing, seen, why)


def _nothing_new(rule: MonitorRule, before: Standing, seen: Standing, due: datetime | None) -> Verdict:
    """The last window has had its verdict, or has none: then each check until the next window counts as well."""
    if before.state in {State.NO_DATA, State.ERROR}:
        return _verdict(Outcome.OK, before, seen, before.state, say("Measured again, but not judged yet."))
    if before.unjudged:
        return _unjudged(before, seen, before.why or say("There's no verdict yet."))
    if (why := _late(rule, seen, due)) is not None:
        return _unjudged(before, seen, why)
    return _verdict(Outcome.OK, before, seen, before.state, before.why or say("The first window isn't complete yet."))


def _late(rule: MonitorRule, seen: Standing, due: datetime | None) -> Say | None:
    """Return since when there is no verdict, if that is longer ago than it can be, whatever the reason; else None."""
    if due is None or seen.at is None:
        return None
    window = rule.window if rule.has_blocks else timedelta()
    checks = UNJUDGED_MOST * (1 + JITTER) * rule.every
    last = max(due, seen.judged_at or due)
    if seen.judged_to is not None and seen.judged_to - seen.at > window + checks:
        return say("It has judged up to {to}, which is in the future: the clock was set back.", to=seen.judged_to)
    if seen.at - last > 2 * window + checks:
        return say("There's been no verdict since {since}.", since=last)
    return None


def _waits(rule: MonitorRule, seen: Standing, judgement: Judgement, due: datetime | None) -> bool:
    """Tell whether it merely lacks readings for its first verdict, and could not plausibly have them yet."""
    if due is None or seen.at is None:
        return seen.points < rule.points_needed
    if judgement.judged_to is not None and judgement.judged_to - rule.window < due:
        return True  # the monitor, or its last change, is younger than this window
    is_first = rule.rule == "sequential" and (seen.judged_at is None or seen.judged_at <= due)
    needed = rule.points_needed if seen.points < rule.points_needed else FIRST_FEW if is_first else 0
    return needed > 0 and seen.at <= due + 2 * needed * rule.every


def _unjudged(before: Standing, seen: Standing, why: Say) -> Verdict:
    """A verdict was due, and there is none. That proves nothing either: what failed before stays failed."""
    seen = replace(seen, unjudged=before.unjudged + 1)
    return _verdict(Outcome.UNJUDGED, before, seen, _unjudged_state(before, seen), why)


def _unjudged_state(before: Standing, seen: Standing) -> State:
    if before.state is State.FAILED or seen.unjudged < UNJUDGED_MOST:
        return before.state
    return State.CANT_JUDGE


def _known(value: float, before: float | None) -> float | None:
    """Return a figure, or the one before where there is none: within a window nothing new is known."""
    return before if isnan(value) else value


def _judged(rule: MonitorRule, before: Standing, seen: Standing, judgement: Judgement, now: datetime) -> Verdict:
    why = judgement.why or say("{value}", value=number(seen.value if seen.value is not None else nan))
    if judgement.is_worse:
        seen = replace(seen, bad=seen.bad + 1, good=0, since=seen.since or now, failed_at=now)
        if before.state is State.FAILED or judgement.is_sure or seen.bad >= rule.fail_after:
            return _verdict(Outcome.FAILED, before, seen, State.FAILED, why)
        return _verdict(Outcome.FAILED, before, seen, State.PENDING, why)
    if before.state is State.FAILED:
        seen = replace(seen, good=seen.good + 1 if judgement.is_recovered else 0)
        if seen.good < rule.recover_after:
            return _verdict(Outcome.OK, before, seen, State.FAILED, why)
    return _verdict(Outcome.OK, before, replace(seen, bad=0, good=0, since=None), State.OK, why)


def _beyond(rule: MonitorRule, before: Standing, seen: Standing, now: datetime) -> Verdict:
    seen = replace(seen, beyond=seen.beyond + 1, bound=rule.hard_limit, good=0, since=seen.since or now)
    why = say(
        "{value} lies beyond the hard limit of {limit}, {n} times in a row.",
        value=share(seen.value if seen.value is not None else nan, seen.total),
        limit=number(rule.hard_limit or 0.0),
        n=seen.beyond,
    )
    if before.state is State.FAILED or seen.beyond >= HARD_LIMIT_AFTER:
        return _verdict(Outcome.FAILED, before, replace(seen, unjudged=0, failed_at=now), State.FAILED, why)
    # One such reading is no verdict yet, so a monitor that knows nothing goes on knowing nothing.
    return _verdict(Outcome.FAILED, before, seen, before.state if before.state in BLIND else State.PENDING, why)


def _empty(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    """A gap proves nothing: what failed before stays failed, and what was counted so far is kept."""
    seen = replace(seen, empty=seen.empty + 1, broken=0, beyond=0, missed_at=seen.at)
    return _missed(Outcome.NO_DATA, before, seen, State.NO_DATA if seen.empty >= rule.no_data else None, why)


def _broken(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    seen = replace(seen, broken=seen.broken + 1, beyond=0, missed_at=seen.at)
    return _missed(Outcome.ERROR, before, seen, State.ERROR if seen.broken >= rule.error else None, why)


def _missed(outcome: Outcome, before: Standing, seen: Standing, silent: State | None, why: Say) -> Verdict:
    """A check without a figure. If a verdict is due, this one brings none either, and the reason remains."""
    if before.state is not State.FAILED and silent is not None:
        return _verdict(outcome, before, seen, silent, why)
    if not before.unjudged or before.state in {State.NO_DATA, State.ERROR}:
        return _verdict(outcome, before, seen, before.state, why)
    seen = replace(seen, unjudged=before.unjudged + 1, why=before.why or why)
    return Verdict(
        outcome=outcome, standing=replace(seen, state=_unjudged_state(before, seen)), before=before.state, why=why
    )


def _verdict(outcome: Outcome, before: Standing, seen: Standing, state: State, why: Say) -> Verdict:
    return Verdict(outcome=outcome, standing=replace(seen, state=state, why=why), before=before.state, why=why)
