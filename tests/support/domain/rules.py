"""Readings, baselines, and the verdicts that rules come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from bot.domain.monitoring.rules import blocks, sequential
from bot.domain.monitoring.rules.baselines import MIN_BASELINE_SECONDS, Baseline, Tally
from bot.domain.monitoring.rules.evaluation import Deviation
from bot.domain.monitoring.rules.time_series import HOUR, TimeSeries
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from tests.support.domain.time_series import (
    START,
    a_week,
    summary,
)

NAN = math.nan


TWO_PERCENT = MinimumEffect(0.02)


TEN_PERCENT_OF_ERROR = MinimumEffect(0.1, EffectKind.OF_ERROR)


def absolute(amount: float) -> MinimumEffect:
    return MinimumEffect(amount, EffectKind.ABSOLUTE)


def judge_block(
    block: TimeSeries,
    baseline: TimeSeries | Baseline | None = None,
    start: float | None = None,
    window: float = HOUR,
    **changes: Any,
) -> Deviation:
    """Judge by the defaults of a monitor a block that began with its first reading."""
    how: dict[str, Any] = {
        "history": MIN_BASELINE_SECONDS,
        "higher_is_better": True,
        "effect": TWO_PERCENT,
        "sigma": 3.0,
    }
    how |= changes
    it = (
        baseline
        if isinstance(baseline, Baseline)
        else summary(a_week() if baseline is None else baseline, START, window, how["history"])
    )
    begin = start if start is not None else float(block.at[0]) if len(block) else START
    return blocks.judge_block(block, begin, it, **how)


def judge_since(
    recent: TimeSeries, baseline: TimeSeries | Baseline | None = None, window: float = HOUR, **changes: Any
) -> Deviation:
    """Judge by the defaults of a monitor what was read since a promotion."""
    how: dict[str, Any] = {
        "history": MIN_BASELINE_SECONDS,
        "alpha": 0.01,
        "effect": TWO_PERCENT,
        "higher_is_better": True,
    }
    how |= changes
    it = (
        baseline
        if isinstance(baseline, Baseline)
        else summary(a_week() if baseline is None else baseline, 0.0, window, how["history"])
    )
    tally = Tally.from_series(recent, it, higher_is_better=how.pop("higher_is_better"))
    return sequential.judge_sequence(tally, **how)


Rule = Callable[..., Deviation]


RULES = pytest.mark.parametrize("rule", [judge_block, judge_since])


def hours(live: TimeSeries, baseline: TimeSeries | Baseline, at: range, **changes: Any) -> list[bool | None]:
    """Return what is said of these hours of a week that begins at START."""
    it = baseline if isinstance(baseline, Baseline) else summary(baseline)
    begins = [START + hour * HOUR for hour in at]
    return [judge_block(live.between(begin, begin + HOUR), it, begin, **changes).is_worse for begin in begins]


@cache
def a_baseline() -> TimeSeries:
    """Return the baseline of the tests below. Not a constant: loading SciPy's signals costs every process seconds."""
    return a_week(phi=0.5, days=14)


@cache
def a_summary(start: float = START) -> Baseline:
    return summary(a_baseline(), start)
