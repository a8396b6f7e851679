"""TODO bot.domain.monitoring.rule_messages"""

from __future__ import annotations

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import number
from bot.domain.core.sentence import Code, Say, joined, say
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.effect_size import Effect, EffectKind
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction


def rule(it: MonitorRule) -> Say:
    """Return in one sentence when it fails."""
    what = [_hits(it) if it.is_threshold else _is_worse(it)]
    if it.hard_limit is not None:
        way = "below" if it.better is Direction.HIGHER else "above"
        what.append(say("or twice in a row {way} the hard limit of {limit}", way=way, limit=number(it.hard_limit)))
    return say("Fails when {what}.", what=joined(what, ", "))


def _hits(it: MonitorRule) -> Say:
    sides = []
    if it.greater_than is not None:
        sides.append(say("at most {bound}", bound=number(it.greater_than)))
    if it.less_than is not None:
        sides.append(say("at least {bound}", bound=number(it.less_than)))
    return say("{value} is {sides}{times}", value=_value(it), sides=joined(sides, " or "), times=_times(it, "checks"))


def _is_worse(it: MonitorRule) -> Say:
    before = "the Production before it" if it.baseline == "previous" else "its own past days"
    least = say("by more than {effect}", effect=effect(it.min_effect))
    if it.rule == "sequential":
        return say(
            "{value} is worse than {before} {least}, with at most {alpha}% risk of a false alarm{times}",
            value=_mean(it),
            before=before,
            least=least,
            alpha=number(100 * it.alpha),
            times=_times(it, "checks"),
        )
    blocks = say(
        "{value} is worse than {before} {least} and {sigma} standard deviations{times}",
        value=_mean(it),
        before=before,
        least=least,
        sigma=number(it.sigma),
        times=_times(it, "windows"),
    )
    if it.rule == "blocks":
        return blocks
    return say(
        "{blocks}, or the mean over any of {short} to {long} is, by about twice as many{times}",
        blocks=blocks,
        short=show_duration(it.window / 2),
        long=show_duration(8 * it.window),
        times=_times(it, "checks"),
    )


def effect(it: Effect) -> Say:
    """Return an effect in words: `2%`, `0.01`, `10% of the error`."""
    if it.kind is EffectKind.ABSOLUTE:
        return say("{amount}", amount=number(it.amount))
    of = " of the error" if it.kind is EffectKind.OF_ERROR else ""
    return say("{amount}%" + of, amount=number(100 * it.amount))


def _value(it: MonitorRule) -> Say:
    if it.reckons == "last":
        return metric(it)
    return say(
        "the {reckons} of {metric} over {window}",
        reckons=it.reckons,
        metric=metric(it),
        window=show_duration(it.window),
    )


def metric(it: MonitorRule) -> Say:
    """Return what it measures: `accuracy`, or `correct of predictions`."""
    if it.of is None:
        return say("{query}", query=Code(it.query))
    return say("{query} of {total}", query=Code(it.query), total=Code(it.of))


def _mean(it: MonitorRule) -> Say:
    """Return what is compared with a baseline: the mean of the checks' values."""
    of = "" if it.reckons in {"mean", "last"} else f" {it.reckons}"
    over = (
        say("since the promotion") if it.rule == "sequential" else say("over {window}", window=show_duration(it.window))
    )
    return say("the mean{of} of {metric} {over}", of=of, metric=metric(it), over=over)


def _times(it: MonitorRule, what: str) -> Say:
    return say(", {n} {what} in a row", n=it.fail_after, what=what) if it.fail_after > 1 else say("")


def action(monitor: Monitor) -> Say:
    """Return in one sentence what a failure does, as it holds now."""
    if monitor.rule.action == "auto" and not monitor.is_armed:
        return say(
            "It is to roll back by itself, but until a second person arms it, it asks: {arm}",
            arm=Code(f"/model monitor arm {monitor.model} {monitor.name}"),
        )
    return _ACTIONS[monitor.acts]


_ACTIONS = {
    "dry_run": say("It tries itself out: nobody is alerted, and nothing is moved."),
    "notify": say("It tells the channel, and moves nothing."),
    "ask": say("It asks in the channel whether to roll back."),
    "auto": say("It rolls back by itself."),
}
