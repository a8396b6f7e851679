"""Rules and actions of monitors in sentences."""

from __future__ import annotations

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_direction import Direction


def rule_sentence(rule: MonitorConfig) -> Sentence:
    """Return a sentence that says when a rule fails."""
    what = [_threshold_condition(rule) if rule.is_threshold else _baseline_condition(rule)]
    if rule.hard_limit is not None:
        way = "below" if rule.better_direction is Direction.HIGHER else "above"
        what.append(
            say("or twice in a row {way} the hard limit of {limit}", way=way, limit=format_number(rule.hard_limit))
        )
    return say("Fails when {what}.", what=join_sentences(what, ", "))


def _threshold_condition(rule: MonitorConfig) -> Sentence:
    sides = []
    if rule.greater_than is not None:
        sides.append(say("at most {bound}", bound=format_number(rule.greater_than)))
    if rule.less_than is not None:
        sides.append(say("at least {bound}", bound=format_number(rule.less_than)))
    return say(
        "{value} is {sides}{times}",
        value=measured_value(rule),
        sides=join_sentences(sides, " or "),
        times=_in_a_row(rule, "checks"),
    )


def _baseline_condition(rule: MonitorConfig) -> Sentence:
    before = "the Production before it" if rule.baseline == "previous" else "its own past days"
    least = say("by more than {effect}", effect=effect_size(rule.min_effect))
    if rule.rule == "sequential":
        return say(
            "{value} is worse than {before} {least}, with at most {alpha}% risk of a false alarm{times}",
            value=_compared_mean(rule),
            before=before,
            least=least,
            alpha=format_number(100 * rule.alpha),
            times=_in_a_row(rule, "checks"),
        )
    blocks = say(
        "{value} is worse than {before} {least} and {sigma} standard deviations{times}",
        value=_compared_mean(rule),
        before=before,
        least=least,
        sigma=format_number(rule.sigma),
        times=_in_a_row(rule, "windows"),
    )
    if rule.rule == "blocks":
        return blocks
    return say(
        "{blocks}, or the mean over any of {short} to {long} is, by about twice as many{times}",
        blocks=blocks,
        short=format_duration(rule.window / 2),
        long=format_duration(8 * rule.window),
        times=_in_a_row(rule, "checks"),
    )


def effect_size(effect: MinimumEffect) -> Sentence:
    """Return an effect size in words: `2%`, `0.01`, `10% of the error`."""
    if effect.kind is EffectKind.ABSOLUTE:
        return say("{amount}", amount=format_number(effect.amount))
    of = " of the error" if effect.kind is EffectKind.OF_ERROR else ""
    return say("{amount}%" + of, amount=format_number(100 * effect.amount))


def measured_value(rule: MonitorConfig) -> Sentence:
    if rule.effective_aggregate == "last":
        return metric_name(rule)
    return say(
        "the {reckons} of {metric} over {window}",
        reckons=rule.effective_aggregate,
        metric=metric_name(rule),
        window=format_duration(rule.window),
    )


def metric_name(rule: MonitorConfig) -> Sentence:
    """Return the name of what's measured: `accuracy`, or `correct of predictions`."""
    if rule.of is None:
        return say("{query}", query=Code(rule.query))
    return say("{query} of {total}", query=Code(rule.query), total=Code(rule.of))


def _compared_mean(rule: MonitorConfig) -> Sentence:
    """Return the name of what's compared with a baseline: the mean of the checks' values."""
    of = "" if rule.effective_aggregate in {"mean", "last"} else f" {rule.effective_aggregate}"
    over = (
        say("since the promotion")
        if rule.rule == "sequential"
        else say("over {window}", window=format_duration(rule.window))
    )
    return say("the mean{of} of {metric} {over}", of=of, metric=metric_name(rule), over=over)


def _in_a_row(rule: MonitorConfig, unit: str) -> Sentence:
    return say(", {n} {what} in a row", n=rule.fail_after, what=unit) if rule.fail_after > 1 else say("")


def action_sentence(monitor: Monitor) -> Sentence:
    """Return a sentence that says what a failure currently leads to."""
    if monitor.rule.action == "auto" and not monitor.is_armed:
        return say(
            "It is to roll back by itself, but until a second person arms it, it asks: {arm}",
            arm=Code(f"/model monitor arm {monitor.model} {monitor.name}"),
        )
    return _ACTIONS[monitor.effective_action]


_ACTIONS = {
    "dry_run": say("It tries itself out: nobody is alerted, and nothing is moved."),
    "notify": say("It tells the channel, and moves nothing."),
    "ask": say("It asks in the channel whether to roll back."),
    "auto": say("It rolls back by itself."),
}
