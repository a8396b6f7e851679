"""TODO bot.domain.monitoring.rules.deviation"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf, isfinite, nan

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import number
from bot.domain.core.sentence import Code, Say, say
from bot.domain.monitoring.rules.baselines import MOSTLY, Baseline
from bot.domain.monitoring.rules.time_series import ROUNDING
from bot.domain.policy.effect_size import Effect, EffectKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a rule found. Where it could not be told, what is not known is NaN."""

    is_worse: bool | None  # None: cannot be told
    value: float
    bound: float  # where worse begins
    expected: float = nan  # what the baseline has; NaN for a threshold
    gap: float = nan  # by how much it is worse, in the unit of the metric; below 0 is better
    noise: float = nan  # how many sigmas worse
    why: Say


def by_noise(effect: Effect, sigma: float) -> Say:
    """Return how much worse something must be: `2% and 3 σ`."""
    return say("{effect} and {sigma} σ", effect=_show(effect), sigma=number(sigma))


def against(
    value: float,
    expected: float,
    least: float,
    noise: float,
    higher_is_better: bool,
    effect: Effect,
    *,
    by: Say,
    but: str = "",
) -> Judged:
    """Judge a value against what's expected: it's worse if it's worse by more than `least`.

    `by` says what `least` stands for, and `but` why it isn't worse anyway.
    """
    sign = 1 if higher_is_better else -1
    gap = (expected - value) * sign
    nothing = ROUNDING * max(abs(value), abs(expected))
    gap = gap if abs(gap) > nothing else 0.0
    sigmas = _part(gap, noise if noise > nothing else 0.0)
    is_far = gap > least
    far = f"more than {{by}}{', ' + but if but else ''}" if is_far else "not by more than {by}"
    template = f"{{value}}, where {{expected}} is usual, is {{gap}} {{way}} ({{sigmas}} σ): {far}."
    why = say(
        template,
        value=number(value),
        expected=number(expected),
        gap=_gap(abs(gap), expected, effect),
        way="better" if gap < 0 else "worse",
        sigmas=number(abs(sigmas), 3),
        by=by,
    )
    return Judged(
        is_worse=is_far and not but,
        value=value,
        bound=expected - sign * least,
        expected=expected,
        gap=gap,
        noise=sigmas,
        why=why,
    )


def _gap(gap: float, expected: float, effect: Effect) -> str:
    """Return a difference as its effect is measured: as a part of what is usual, a distance, or a part of the error."""
    if effect.kind is EffectKind.ABSOLUTE:
        return number(gap, 3)
    of = abs(expected if effect.kind is EffectKind.RELATIVE else 1 - expected)
    return f"{number(100 * _part(gap, of), 3)}%{_OF[effect.kind]}"


def _show(effect: Effect) -> str:
    if effect.kind is EffectKind.ABSOLUTE:
        return number(effect.amount)
    return f"{number(100 * effect.amount)}%{_OF[effect.kind]}"


_OF = {EffectKind.RELATIVE: "", EffectKind.OF_ERROR: " of the error"}


def _part(gap: float, of: float) -> float:
    """Return gap ÷ of; infinite where `of` is 0 and there is a gap."""
    if gap == 0 or of > 0:
        return gap / of if gap else 0.0
    return inf if gap > 0 else -inf


def _cannot_tell(value: float, why: Say) -> Judged:
    return Judged(is_worse=None, value=value, bound=nan, why=why)


def why_not(baseline: Baseline, history: float, effect: Effect, higher_is_better: bool) -> Say | None:
    """Return why nothing can be judged against a baseline; None where it can."""
    if baseline.covers < MOSTLY * history:
        covers, needed = (show_duration(timedelta(seconds=span)) for span in (baseline.covers, history))
        return say("The baseline covers {covers}, and {needed} are needed.", covers=covers, needed=needed)
    if not isfinite(baseline.noise):
        return say("The baseline's readings are too large to be judged.")  # nothing would ever be beyond the noise
    if effect.kind is EffectKind.RELATIVE and effect.amount >= 1 and higher_is_better and baseline.low >= 0:
        return say(
            "It can't fall by more than 100%, so an effect of {effect} never counts. Set a smaller one, such as "
            "{instead}.",
            effect=_show(effect),
            instead=Code("--min-effect 2%"),
        )
    return effect.senseless(baseline.low, baseline.high)
