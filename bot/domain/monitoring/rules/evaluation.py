"""Applies a monitor's rule to a check: the evaluation behind both live checks and backtests. Pure.

A rule reads earlier data through `MonitorHistory`: from the ledger in bot/services/monitoring/check_evaluation.py, and
from memory in bot/services/monitoring/backtests.py. Live checks and backtests don't differ otherwise.
`compare_with_baseline` compares a value with the expected one, for every rule that has a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from math import inf, isfinite, isnan, nan
from typing import Protocol

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.monitor import Monitor, MonitorState, OwnBaselineKind, ProductionTerm
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.baselines import MIN_COVERAGE, Baseline, Tally
from bot.domain.monitoring.rules.time_series import ROUNDING, TimeSeries
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from bot.domain.policy.monitor_config import MonitorConfig


class MonitorHistory(Protocol):
    """The earlier readings and baselines of one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` up to, but not including, `until`."""
        ...

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, including the one that's being evaluated."""
        ...

    def frozen_baseline(self) -> Baseline:
        """Return the baseline from before the term."""
        ...

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return when the version's own baseline ends, and the baseline itself; None if there's none."""
        ...

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Save a baseline built from the version's own readings, replacing any earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, including the one that's being evaluated."""
        ...


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What a rule evaluates: one check's reading, the monitor's state before that check, and the earlier data."""

    rule: MonitorConfig
    monitor_state: MonitorState
    term: ProductionTerm
    reading: Reading
    now: datetime
    history: MonitorHistory


def evaluate_rule(
    monitor: Monitor,
    monitor_state: MonitorState,
    term: ProductionTerm,
    reading: Reading,
    now: datetime,
    history: MonitorHistory,
) -> RuleResult | None:
    """Return the rule's result for a check; None if there's no value or it's too soon after the promotion.

    `monitor_state` is the state before the check, from `state_for_term`. If even the first labels can't have arrived
    yet, the result says so.
    """
    rule = monitor.rule
    if reading.outcome is CheckOutcome.NO_DATA and term.since <= now < term.since + rule.label_delay:
        why = say(
            "Labels arrive {delay} late, so {v} can't be measured before {at}.",
            delay=format_duration(rule.label_delay),
            v=Code(f"v{term.version}"),
            at=term.since + rule.label_delay,
        )
        return no_verdict(why.with_code(Reason.LABELS_DELAYED))
    if reading.outcome is not CheckOutcome.OK or now < term.since + rule.warmup_duration:
        return None
    seen = monitor_state.points + reading.fresh
    if seen < rule.required_points:
        why = say("The rule needs {n} readings since the promotion and has {seen}.", n=rule.required_points, seen=seen)
        return no_verdict(why.with_code(Reason.TOO_FEW_READINGS))
    judge = import_module(f"bot.domain.monitoring.rules.{rule.rule}")  # so a new rule doesn't have to be listed here
    result: RuleResult = judge.evaluate(RuleInput(rule, monitor_state, term, reading, now, history))
    return result


def to_rule_result(
    rule: MonitorConfig, deviation: Deviation, remark: Sentence | None = None, judged_to: datetime | None = None
) -> RuleResult:
    """Return a rule's result from a comparison with a baseline, and whether it has recovered (with hysteresis)."""
    why = deviation.why
    if remark is not None:
        why = join_sentences([why, remark], " ").with_code(why.code)
    if deviation.is_worse is None:
        return no_verdict(why, judged_to)
    enough = rule.hysteresis * rule.min_effect.absolute_distance(deviation.expected).item()
    return RuleResult(
        is_worse=deviation.is_worse,
        is_recovered=isnan(deviation.gap) or deviation.gap < enough,
        bound=deviation.bound,
        baseline_value=deviation.expected,
        why=why,
        judged_to=judged_to,
    )


def no_verdict(why: Sentence | None, judged_to: datetime | None = None) -> RuleResult:
    """Return the result of a rule that should have reached a verdict but can't."""
    return RuleResult(is_worse=None, why=why, judged_to=judged_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How a value compares with what's expected. Unknown numbers are NaN."""

    is_worse: bool | None  # None: no verdict
    value: float
    bound: float  # where worse begins
    expected: float = nan  # what the baseline has; NaN for a threshold
    gap: float = nan  # by how much it's worse, in the unit of the metric; negative if better
    sigmas: float = nan  # how many sigmas worse
    why: Sentence


def describe_margin(effect: MinimumEffect, sigma: float) -> Sentence:
    """Return how much worse a value must be to fail, such as `2% and 3 σ`."""
    return say("{effect} and {sigma} σ", effect=effect.in_words, sigma=format_number(sigma))


def compare_with_baseline(
    value: float,
    expected: float,
    limit: float,
    noise: float,
    higher_is_better: bool,
    effect: MinimumEffect,
    *,
    margin: Sentence,
    caveat: str = "",
) -> Deviation:
    """Compare a value with the expected one. It counts as worse if it's worse by more than `limit`.

    `margin` describes `limit`. `caveat`, if set, says why a value beyond that still doesn't count as worse.
    """
    sign = 1 if higher_is_better else -1
    gap = (expected - value) * sign
    nothing = ROUNDING * max(abs(value), abs(expected))
    gap = gap if abs(gap) > nothing else 0.0
    sigmas = _fraction(gap, noise if noise > nothing else 0.0)
    is_far = gap > limit
    far = f"over the margin of {{by}}{', ' + caveat if caveat else ''}" if is_far else "within the margin of {by}"
    template = f"{{value}} is {{gap}} {{way}} than the usual {{expected}} ({{sigmas}} σ), {far}."
    why = say(
        template,
        value=format_number(value),
        expected=format_number(expected),
        gap=_describe_gap(abs(gap), expected, effect),
        way="better" if gap < 0 else "worse",
        sigmas=format_number(abs(sigmas), 3),
        by=margin,
    )
    return Deviation(
        is_worse=is_far and not caveat,
        value=value,
        bound=expected - sign * limit,
        expected=expected,
        gap=gap,
        sigmas=sigmas,
        why=why,
    )


def _describe_gap(gap: float, expected: float, effect: MinimumEffect) -> str:
    """Return a difference in the unit of its effect: relative, absolute, or as a share of the error."""
    if effect.kind is EffectKind.ABSOLUTE:
        return format_number(gap, 3)
    of = abs(expected if effect.kind is EffectKind.RELATIVE else 1 - expected)
    return f"{format_number(100 * _fraction(gap, of), 3)}%{_EFFECT_SUFFIXES[effect.kind]}"


_EFFECT_SUFFIXES = {EffectKind.RELATIVE: "", EffectKind.OF_ERROR: " of the error"}


def _fraction(gap: float, whole: float) -> float:
    """Return gap ÷ whole; infinite if `whole` is 0 and there's a gap."""
    if gap == 0 or whole > 0:
        return gap / whole if gap else 0.0
    return inf if gap > 0 else -inf


def undecided(value: float, why: Sentence, reason: Reason | None = None) -> Deviation:
    """Return the result of a comparison that can't be made."""
    return Deviation(is_worse=None, value=value, bound=nan, why=why.with_code(reason) if reason else why)


def unusable_baseline_reason(
    baseline: Baseline, history: float, effect: MinimumEffect, higher_is_better: bool
) -> Sentence | None:
    """Return why values can't be compared with a baseline; None if they can."""
    if baseline.covers < MIN_COVERAGE * history:
        covers, needed = (format_duration(timedelta(seconds=span)) for span in (baseline.covers, history))
        why = say("The baseline covers only {covers} of the {needed} needed.", covers=covers, needed=needed)
        return why.with_code(Reason.BASELINE_TOO_SHORT)
    if not isfinite(baseline.noise):
        # Nothing would ever exceed the noise.
        return say("The baseline's readings are too large for a comparison.").with_code(Reason.BASELINE_TOO_LARGE)
    if effect.kind is EffectKind.RELATIVE and effect.amount >= 1 and higher_is_better and baseline.low >= 0:
        never = say(
            "The metric can't fall by more than 100%, so an effect of {effect} is impossible. Set a smaller one, such "
            "as {instead}.",
            effect=effect.in_words,
            instead=Code("--min-effect 2%"),
        )
        return never.with_code(Reason.EFFECT_MEANINGLESS)
    meaningless = effect.meaningless_reason(baseline.low, baseline.high)
    return None if meaningless is None else meaningless.with_code(Reason.EFFECT_MEANINGLESS)
