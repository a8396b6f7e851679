"""Applies a monitor's rule to a check: the evaluation behind both live checks and backtests. Pure.

What a rule looks back at comes through `MonitorHistory`: from the ledger in bot/services/monitoring/evaluation.py, from
memory in bot/services/monitoring/backtests.py. Nothing else differs between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from math import isnan
from typing import Protocol

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.monitoring.assessment import RuleResult
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.baselines import Baseline, Tally
from bot.domain.monitoring.rules.deviation import Deviation
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.state import MonitorState, ProductionTerm
from bot.domain.monitoring.stored_baselines import OwnBaselineKind
from bot.domain.policy.monitor_config import MonitorConfig


class MonitorHistory(Protocol):
    """The earlier readings and baselines of one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` on and before `until`."""
        ...

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, including the one that's being judged."""
        ...

    def frozen_baseline(self) -> Baseline:
        """Return the baseline from before the term."""
        ...

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return the end of the version's own baseline and the baseline; None if there's none."""
        ...

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline of the version's own days; it replaces an earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, including the one that's being judged."""
        ...


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What a rule judges: one check's reading, the monitor's state before it, and what came earlier."""

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
    """Return the rule's result for a check; None without a value, or too soon after the promotion.

    `monitor_state` is that of `start`, before the check. Before the first labels can have come, it says that instead.
    """
    rule = monitor.rule
    if reading.outcome is CheckOutcome.NO_DATA and term.since <= now < term.since + rule.label_delay:
        why = say(
            "Labels come {delay} late, so {v} can't be measured before {at}.",
            delay=format_duration(rule.label_delay),
            v=Code(f"v{term.version}"),
            at=term.since + rule.label_delay,
        )
        return no_verdict(why.with_code(Reason.LABELS_DELAYED))
    if reading.outcome is not CheckOutcome.OK or now < term.since + rule.warmup_duration:
        return None
    seen = monitor_state.points + reading.fresh
    if seen < rule.required_points:
        why = say("It needs {n} readings since the promotion, and has {seen}.", n=rule.required_points, seen=seen)
        return no_verdict(why.with_code(Reason.TOO_FEW_READINGS))
    judge = import_module(f"bot.domain.monitoring.rules.{rule.rule}")  # so that a new rule is named nowhere else
    result: RuleResult = judge.evaluate(RuleInput(rule, monitor_state, term, reading, now, history))
    return result


def to_rule_result(
    rule: MonitorConfig, deviation: Deviation, remark: Sentence | None = None, judged_to: datetime | None = None
) -> RuleResult:
    """Return the result of a rule against a baseline, and whether it has recovered (with hysteresis)."""
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
    """Return the result of a rule that can't judge although a verdict was due."""
    return RuleResult(is_worse=None, why=why, judged_to=judged_to)
