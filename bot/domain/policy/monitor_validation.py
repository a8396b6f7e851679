"""Finds rules that could never reach a verdict. Pure.

This runs when the policy file is read and when a monitor is added or changed, but not when a monitor is loaded from the
ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bot.domain.core.durations import format_duration, parse_duration
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_with_conjunction, say, truncate
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from bot.domain.policy.monitor_config import MonitorConfig

MAX_BASELINE_DAYS = 21  # the longest baseline, unless `history` is longer
CHECK_RETENTION = timedelta(days=35)  # how long checks are kept: five weeks of the same hours
MIN_BASELINE_WINDOWS = 5  # past windows to compare a window with
MIN_DAY_COVERAGE = 0.9  # fraction of a day; the part outside all windows is never checked


@dataclass(frozen=True, slots=True)
class MonitorConfigProblem:
    """Why a monitor could never reach a verdict, and the field to change."""

    field: str
    reason: Sentence


def find_config_problem(config: MonitorConfig) -> MonitorConfigProblem | None:
    """Return why this rule could never reach a verdict or would skip part of the day, or None if it's fine.

    Only rules that compare with a baseline are checked.
    """
    if not config.uses_baseline:
        return None
    if config.min_effect.kind is EffectKind.OF_ERROR and not config.higher_is_better:
        why = say(
            "Lower is better for {query}, so a plain percentage is already relative to the error. Use {plain}.",
            query=Code(truncate(config.query, 60)),
            plain=Code(str(MinimumEffect(config.min_effect.amount))),
        )
        return MonitorConfigProblem("min_effect", why)
    if config.history > CHECK_RETENTION:
        why = say(
            "Checks are kept for {kept}, so a baseline can't cover {history}. Use at most {kept}.",
            kept=format_duration(CHECK_RETENTION),
            history=format_duration(config.history),
        )
        return MonitorConfigProblem("history", why)
    day = config.baseline_day
    max_baseline = max(config.history, MAX_BASELINE_DAYS * day)
    longest = day * (max_baseline // day // MIN_BASELINE_WINDOWS)
    if config.every > longest:
        why = say(
            "A baseline covers at most {most}. One check every {every} gives {readings}, but {least} are needed; "
            "check at least every {longest}.",
            most=format_duration(max_baseline),
            every=format_duration(config.every),
            readings=pluralize(_count_in_baseline(config.every, max_baseline, day), "reading"),
            least=MIN_BASELINE_WINDOWS,
            longest=format_duration(longest),
        )
        return MonitorConfigProblem("every", why)
    why_window = _window_problem(config, day, max_baseline, longest) if config.kind.compares_windows else None
    return MonitorConfigProblem("window", why_window) if why_window else None


def _window_problem(
    config: MonitorConfig, day: timedelta, max_baseline: timedelta, max_window: timedelta
) -> Sentence | None:
    window = config.window
    if window > max_window:
        return say(
            "A baseline covers at most {most}. A window of {window} fits {times}, but must fit {least} times; "
            "use at most {longest}.",
            most=format_duration(max_baseline),
            window=format_duration(window),
            times=pluralize(_count_in_baseline(window, max_baseline, day), "time"),
            least=MIN_BASELINE_WINDOWS,
            longest=format_duration(max_window),
        )
    if window < config.every:
        return say(
            "A window of {window} is shorter than the {every} between checks, so most windows would have no "
            "reading. Use at least {every}.",
            window=format_duration(window),
            every=format_duration(config.every),
        )
    period = day * _whole_days(window, day)
    times = period // window
    uncovered = period - times * window
    if uncovered <= (1 - MIN_DAY_COVERAGE) * period:
        return None
    instead = [
        Code(format_duration(candidate)) for candidate in nearest_windows(window, day) if candidate >= config.every
    ]
    return say(
        "A window of {window} fits {times} into {period}, so {left} would never be checked. Use {instead}.",
        window=format_duration(window),
        times=pluralize(times, "time"),
        period=format_duration(period),
        left=format_duration(uncovered),
        instead=join_with_conjunction(instead, "or"),
    )


def nearest_windows(window: timedelta, day: timedelta) -> tuple[timedelta, timedelta]:
    """Return the next shorter and the next longer window that divides a day or is a multiple of a day.

    Both are rounded down to a duration that can be typed.
    """
    days, times = window // day, day // window
    shorter, longer = (days * day, (days + 1) * day) if days else (day / (times + 1), day / times)
    return parse_duration(format_duration(shorter)), parse_duration(format_duration(longer))


def _count_in_baseline(span: timedelta, max_baseline: timedelta, day: timedelta) -> int:
    """Return how many times a span, rounded up to whole days, fits into the longest baseline."""
    return max_baseline // day // _whole_days(span, day)


def _whole_days(span: timedelta, day: timedelta) -> int:
    return -(-span // day)
