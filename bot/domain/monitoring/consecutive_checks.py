"""Turns a check's reading and its rule's result into a verdict and the monitor's next state. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isnan, nan

from bot.domain.core.numbers import format_number, format_proportion
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.monitor import BLIND_STATUSES, JITTER, Monitor, MonitorState, MonitorStatus, ProductionTerm
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.monitoring.reasons import Reason
from bot.domain.policy.monitor_config import HARD_LIMIT_CHECKS, MonitorConfig

SOURCE_ERROR = say("The source returned an error.").with_code(Reason.SOURCE_ERROR)
NO_DATA = say("The source had no data.").with_code(Reason.NO_DATA)
TOO_SOON = say("Too soon after the promotion for a verdict.").with_code(Reason.TOO_SOON)
NO_VERDICT_YET = say("No verdict yet.").with_code(Reason.UNKNOWN_WHY)
MAX_UNJUDGED_CHECKS = 3  # consecutive checks without an expected verdict, after which the status is CANT_JUDGE


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """A rule's result for one value.

    `is_worse` is None if there's no verdict. In that case, a `why` or a `judged_to` means that the rule should have
    reached one but didn't; with neither, there's nothing new to evaluate.
    """

    is_worse: bool | None
    is_confirmed: bool = False  # the result is based on `fail_after` readings, so no further check has to confirm it
    is_recovered: bool = True  # back within the bound by a large enough distance
    bound: float = nan
    baseline_value: float = nan  # what the baseline expects
    why: Sentence | None = None
    judged_to: datetime | None = None
    evidence: tuple[float, ...] | None = None  # gathered so far; None if there's none


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A check's outcome, the reason for it, the monitor's previous status, and its new state."""

    outcome: CheckOutcome
    monitor_state: MonitorState
    previous_status: MonitorStatus
    why: Sentence

    @property
    def has_changed(self) -> bool:
        """Whether the monitor's status changed."""
        return self.monitor_state.state is not self.previous_status

    @property
    def is_new_failure(self) -> bool:
        """Whether this check changed the monitor's status to FAILED."""
        return self.has_changed and self.monitor_state.state is MonitorStatus.FAILED


def _is_beyond_hard_limit(rule: MonitorConfig, value: float) -> bool:
    """Return whether the value is outside the hard limit; a value equal to the limit isn't, and neither is NaN."""
    return rule.hard_limit is not None and (
        value < rule.hard_limit if rule.higher_is_better else value > rule.hard_limit
    )


def is_warmed_up(monitor: Monitor, term: ProductionTerm, now: datetime) -> bool:
    """Return whether the warm-up after the promotion is over; until then, only the hard limit applies."""
    return now >= term.since + monitor.rule.warmup_duration


def verdicts_due_since(monitor: Monitor, term: ProductionTerm, now: datetime) -> datetime:
    """Return when verdicts became due: the end of the warm-up or the monitor's last change, whichever is later.

    A change that's in the future because the clock was set back doesn't count.
    """
    warm = term.since + monitor.rule.warmup_duration
    return max(warm, monitor.created_at) if monitor.created_at <= now else warm


def assess(
    monitor: Monitor,
    previous: MonitorState,
    reading: Reading,
    result: RuleResult | None,
    *,
    now: datetime,
    warmed_up: bool,
    due_since: datetime | None = None,
) -> Verdict:
    """Return the verdict for a check.

    `previous` comes from `state_for_term`. `result` is None if the rule wasn't applied, because the monitor isn't
    `warmed_up` yet or there's no value. `due_since` comes from `verdicts_due_since`; without it, a monitor that never
    has anything new to evaluate goes unnoticed. Pure: the same arguments give the same verdict.
    """
    rule = monitor.rule
    seen = replace(
        previous,
        slot=previous.slot + 1,
        at=now,
        points=previous.points + reading.fresh,
        newest=max(filter(None, (previous.newest, reading.newest)), default=None),
    )
    early_state = MonitorStatus.FAILED if previous.state is MonitorStatus.FAILED else MonitorStatus.WARMUP
    if reading.outcome is CheckOutcome.NO_DATA and result is not None and not warmed_up:
        return _make_verdict(CheckOutcome.NO_DATA, previous, seen, early_state, result.why or NO_VERDICT_YET)
    if reading.outcome is not CheckOutcome.OK:
        return _verdict_without_value(rule, previous, seen, reading)
    seen = replace(seen, value=reading.value, total=reading.total, broken=0, empty=0)
    if _is_beyond_hard_limit(rule, reading.value):
        return _hard_limit_verdict(rule, previous, seen, now)
    seen = replace(seen, beyond=0)
    if not warmed_up:
        return _make_verdict(CheckOutcome.OK, previous, seen, early_state, TOO_SOON)
    result = result or RuleResult(is_worse=None)
    seen = replace(
        seen,
        bound=_or_previous(result.bound, seen.bound),
        usual=_or_previous(result.baseline_value, seen.usual),
        judged_to=result.judged_to or seen.judged_to,
        evidence=result.evidence or seen.evidence,
    )
    if result.is_worse is not None:
        return _rule_verdict(rule, previous, replace(seen, unjudged=0, judged_at=now), result, now)
    if result.why is None and result.judged_to is None:
        return _no_new_verdict(rule, previous, seen, due_since)
    why = result.why or NO_VERDICT_YET
    if _is_waiting_for_readings(rule, seen, result, due_since):
        state = previous.state if previous.state in {MonitorStatus.FAILED, *BLIND_STATUSES} else MonitorStatus.WARMUP
        return _make_verdict(CheckOutcome.OK, previous, seen, state, why)
    return _unjudged_verdict(previous, seen, why)


def _no_new_verdict(
    rule: MonitorConfig, previous: MonitorState, current: MonitorState, due_since: datetime | None
) -> Verdict:
    """Return the verdict when there's nothing new to evaluate. If the last window got none, there still isn't one."""
    if previous.state in {MonitorStatus.NO_DATA, MonitorStatus.ERROR}:
        why = say("Data is back, but there's no verdict yet.").with_code(Reason.NOT_JUDGED_YET)
        return _make_verdict(CheckOutcome.OK, previous, current, previous.state, why)
    if previous.unjudged:
        return _unjudged_verdict(previous, current, previous.why or NO_VERDICT_YET)
    if (overdue := _overdue_reason(rule, current, due_since)) is not None:
        return _unjudged_verdict(previous, current, overdue)
    return _make_verdict(
        CheckOutcome.OK, previous, current, previous.state, previous.why or say("The first window isn't complete yet.")
    )


def _overdue_reason(rule: MonitorConfig, current: MonitorState, due_since: datetime | None) -> Sentence | None:
    """Return a sentence that says a verdict is overdue, and since when or why; None if none is overdue."""
    if due_since is None or current.at is None:
        return None
    window = rule.window if rule.kind.compares_windows else timedelta()
    checks = MAX_UNJUDGED_CHECKS * (1 + JITTER) * rule.every
    last = max(due_since, current.judged_at or due_since)
    if current.judged_to is not None and current.judged_to - current.at > window + checks:
        return say(
            "The last evaluated window ends in the future ({to}) because the clock was set back.", to=current.judged_to
        ).with_code(Reason.CLOCK_SET_BACK)
    if current.at - last > 2 * window + checks:
        return say("No verdict since {since}.", since=last).with_code(Reason.OVERDUE)
    return None


def _is_waiting_for_readings(
    rule: MonitorConfig, current: MonitorState, result: RuleResult, due_since: datetime | None
) -> bool:
    """Return whether the monitor lacks a first verdict only because it can't have enough readings yet."""
    if due_since is None or current.at is None:
        return current.points < rule.required_points
    if result.judged_to is not None and result.judged_to - rule.window < due_since:
        return True  # the monitor, or its last change, is younger than this window
    is_first = current.judged_at is None or current.judged_at <= due_since
    needed = (
        rule.required_points if current.points < rule.required_points else rule.kind.first_verdict_checks * is_first
    )
    return needed > 0 and current.at <= due_since + 2 * needed * rule.every


def _unjudged_verdict(previous: MonitorState, current: MonitorState, why: Sentence) -> Verdict:
    """Return the verdict when the rule should have reached one but didn't. A failed monitor stays failed."""
    current = replace(current, unjudged=previous.unjudged + 1)
    return _make_verdict(CheckOutcome.UNJUDGED, previous, current, _unjudged_status(previous, current), why)


def _unjudged_status(previous: MonitorState, current: MonitorState) -> MonitorStatus:
    if previous.state is MonitorStatus.FAILED or current.unjudged < MAX_UNJUDGED_CHECKS:
        return previous.state
    return MonitorStatus.CANT_JUDGE


def _or_previous(value: float, previous: float | None) -> float | None:
    """Return the value, or the previous one if it's NaN, since nothing new is known until a window is complete."""
    return previous if isnan(value) else value


def _rule_verdict(
    rule: MonitorConfig, previous: MonitorState, current: MonitorState, result: RuleResult, now: datetime
) -> Verdict:
    why = result.why or say("{value}", value=format_number(current.value if current.value is not None else nan))
    if result.is_worse:
        current = replace(current, bad=current.bad + 1, good=0, since=current.since or now, failed_at=now)
        if previous.state is MonitorStatus.FAILED or result.is_confirmed or current.bad >= rule.fail_after:
            return _make_verdict(CheckOutcome.FAILED, previous, current, MonitorStatus.FAILED, why)
        return _make_verdict(CheckOutcome.FAILED, previous, current, MonitorStatus.PENDING, why)
    if previous.state is MonitorStatus.FAILED:
        current = replace(current, good=current.good + 1 if result.is_recovered else 0)
        if current.good < rule.recover_after:
            return _make_verdict(CheckOutcome.OK, previous, current, MonitorStatus.FAILED, why)
    return _make_verdict(CheckOutcome.OK, previous, replace(current, bad=0, good=0, since=None), MonitorStatus.OK, why)


def _hard_limit_verdict(rule: MonitorConfig, previous: MonitorState, current: MonitorState, now: datetime) -> Verdict:
    current = replace(current, beyond=current.beyond + 1, bound=rule.hard_limit, good=0, since=current.since or now)
    why = say(
        "{value} is outside the hard limit of {limit} (consecutive checks: {n}).",
        value=format_proportion(current.value if current.value is not None else nan, current.total),
        limit=format_number(rule.hard_limit or 0.0),
        n=current.beyond,
    )
    if previous.state is MonitorStatus.FAILED or current.beyond >= HARD_LIMIT_CHECKS:
        current, status = replace(current, unjudged=0, failed_at=now), MonitorStatus.FAILED
    else:  # one reading outside the hard limit isn't a verdict yet, so BLIND statuses stay
        status = previous.state if previous.state in BLIND_STATUSES else MonitorStatus.PENDING
    return _make_verdict(CheckOutcome.FAILED, previous, current, status, why)


def _verdict_without_value(
    rule: MonitorConfig, previous: MonitorState, current: MonitorState, reading: Reading
) -> Verdict:
    """Return the verdict for a check without a value. A failed monitor stays failed, and its counts are kept.

    If a verdict was already missing, it's still missing for the same reason.
    """
    is_error = reading.outcome is CheckOutcome.ERROR
    why = reading.why or (SOURCE_ERROR if is_error else NO_DATA)
    current = replace(current, beyond=0, missed_at=current.at)
    if is_error:
        current = replace(current, broken=current.broken + 1)
        new_status = MonitorStatus.ERROR if current.broken >= rule.error else None
    else:
        current = replace(current, empty=current.empty + 1, broken=0)
        new_status = MonitorStatus.NO_DATA if current.empty >= rule.no_data else None
    if previous.state is not MonitorStatus.FAILED and new_status is not None:
        return _make_verdict(reading.outcome, previous, current, new_status, why)
    if not previous.unjudged or previous.state in {MonitorStatus.NO_DATA, MonitorStatus.ERROR}:
        return _make_verdict(reading.outcome, previous, current, previous.state, why)
    current = replace(current, unjudged=previous.unjudged + 1)
    verdict = _make_verdict(reading.outcome, previous, current, _unjudged_status(previous, current), why)
    return replace(verdict, monitor_state=replace(verdict.monitor_state, why=previous.why or why))


def _make_verdict(
    outcome: CheckOutcome, previous: MonitorState, current: MonitorState, status: MonitorStatus, why: Sentence
) -> Verdict:
    return Verdict(
        outcome=outcome, monitor_state=replace(current, state=status, why=why), previous_status=previous.state, why=why
    )
