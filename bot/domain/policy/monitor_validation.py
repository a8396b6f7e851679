"""Which monitors could never judge anything: refused when they're made or changed, never when they're read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bot.domain.core.durations import parse_duration, show_duration
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Say, either, say, short
from bot.domain.policy.effect_size import Effect, EffectKind
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction

MOST_DAYS = 21  # of a baseline where `history` isn't longer
KEPT = timedelta(days=35)  # checks are kept for so long: five weeks of the same hours
LEAST = 5  # windows of the past that a window is compared with
COVERED = 0.9  # of a day, at least: what its windows leave over is never judged


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a monitor could never judge, and the field to change."""

    field: str
    why: Say


def unfit(rule: MonitorRule) -> Unfit | None:
    """Return why a monitor with this rule could never judge, or would leave times out; None if it can judge.

    Only rules against a baseline are concerned.
    """
    if rule.is_threshold:
        return None
    if rule.min_effect.kind is EffectKind.OF_ERROR and rule.better is Direction.LOWER:
        why = say(
            "Lower is better for {query}, so a plain percentage is already a part of the error. Use {plain}.",
            query=Code(short(rule.query, 60)),
            plain=Code(str(Effect(rule.min_effect.amount))),
        )
        return Unfit("min_effect", why)
    if rule.history > KEPT:
        why = say(
            "Checks are kept for {kept}, so a baseline never covers {history}. Use at most {kept}.",
            kept=show_duration(KEPT),
            history=show_duration(rule.history),
        )
        return Unfit("history", why)
    day = rule.day
    most = max(rule.history, MOST_DAYS * day)
    longest = day * (most // day // LEAST)
    if rule.every > longest:
        why = say(
            "A baseline has at most {most}; checked every {every}, it has {readings}, and {least} are needed. "
            "Check at least every {longest}.",
            most=show_duration(most),
            every=show_duration(rule.every),
            readings=counted(_fits(rule.every, most, day), "reading"),
            least=LEAST,
            longest=show_duration(longest),
        )
        return Unfit("every", why)
    why_window = _unfit_window(rule, day, most, longest) if rule.has_blocks else None
    return Unfit("window", why_window) if why_window else None


def _unfit_window(rule: MonitorRule, day: timedelta, most: timedelta, longest: timedelta) -> Say | None:
    window = rule.window
    if window > longest:
        return say(
            "A baseline has at most {most}; a window of {window} fits into it {times}, and {least} are needed. "
            "Use at most {longest}.",
            most=show_duration(most),
            window=show_duration(window),
            times=counted(_fits(window, most, day), "time"),
            least=LEAST,
            longest=show_duration(longest),
        )
    if window < rule.every:
        return say(
            "A window of {window} is shorter than the {every} between checks, so most windows would have no "
            "reading. Use at least {every}.",
            window=show_duration(window),
            every=show_duration(rule.every),
        )
    period = day * _days(window, day)
    times = period // window
    left = period - times * window
    if left <= (1 - COVERED) * period:
        return None
    instead = [Code(show_duration(one)) for one in nearest(window, day) if one >= rule.every]
    return say(
        "A window of {window} fits {times} into {period} and leaves {left} that are never judged. Use {instead}.",
        window=show_duration(window),
        times=counted(times, "time"),
        period=show_duration(period),
        left=show_duration(left),
        instead=either(instead, "or"),
    )


def nearest(window: timedelta, day: timedelta) -> tuple[timedelta, timedelta]:
    """Return the next shorter and the next longer window that divides a day, or that is whole days.

    Where they aren't whole, they're a little shorter, so that they can be typed.
    """
    days, times = window // day, day // window
    shorter, longer = (days * day, (days + 1) * day) if days else (day / (times + 1), day / times)
    return parse_duration(show_duration(shorter)), parse_duration(show_duration(longer))


def _fits(span: timedelta, most: timedelta, day: timedelta) -> int:
    """Return how many times a span fits into the longest baseline, in whole days."""
    return most // day // _days(span, day)


def _days(span: timedelta, day: timedelta) -> int:
    return -(-span // day)
