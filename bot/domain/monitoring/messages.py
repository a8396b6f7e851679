"""Messages about monitors: their rules and actions, their status, and the changes that people make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number, format_proportion, pluralize
from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, join_with_conjunction, say
from bot.domain.monitoring.consecutive_checks import MAX_UNJUDGED_CHECKS
from bot.domain.monitoring.monitor import (
    BLIND_STATUSES,
    FrozenBaseline,
    Monitor,
    MonitorState,
    MonitorStatus,
    ProductionTerm,
)
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.monitoring.rules.false_rollbacks import FalseRollbackEstimate
from bot.domain.policy.monitor_config import (
    HARD_LIMIT_CHECKS,
    RULE_IF_UNSET,
    RULE_IF_UNSET_BEFORE,
    MonitorConfig,
    measured_value,
    metric_name,
    rule_sentence,
)

MEASURES_SOMETHING_ELSE = (
    "It now measures something else, so its earlier values no longer count, including in its baseline."
)
MAX_NAMED = 10  # monitors named in one sentence; the others are only counted


def qualified_name(monitor: Monitor) -> Sentence:
    """Return a monitor's name, preceded by its model's name."""
    return say("{model} {name}", model=Name(monitor.model), name=Code(monitor.name))


def action_sentence(monitor: Monitor) -> Sentence:
    """Return a sentence that says what the monitor currently does when it fails."""
    if monitor.rule.action == "auto" and not monitor.is_armed:
        return say(
            "It asks before rolling back until a second person arms it: {arm}",
            arm=Code(f"/model monitor arm {monitor.model} {monitor.name}"),
        )
    return _ACTIONS[monitor.effective_action]


_ACTIONS = {
    "dry_run": say("Dry run: results are recorded; no alerts, no rollback."),
    "notify": say("It alerts the channel; no rollback."),
    "ask": say("It alerts the channel and asks whether to roll back."),
    "auto": say("It rolls back automatically."),
}


# -- status -----------------------------------------------------------------------------------------------------------


def status_text(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return a monitor's status in a few words."""
    if monitor.is_paused:
        return say("paused")
    if monitor_state.at is None:
        return say("not checked yet")
    if is_unmeasured(monitor_state):
        return say("{v} not measured yet", v=Code(f"v{monitor_state.version}"))
    if monitor_state.state is MonitorStatus.PENDING:
        n, required = monitor_state.bad, monitor.rule.fail_after
        if not n:  # only the hard limit failed
            n, required = monitor_state.beyond, HARD_LIMIT_CHECKS
        return say("failed {n} of {all} checks", n=n, all=required)
    if monitor_state.state is MonitorStatus.FAILED and monitor_state.since is not None:
        blind = say("; can't judge now") if monitor_state.unjudged >= MAX_UNJUDGED_CHECKS else say("")
        return say("failing since {since}{blind}", since=monitor_state.since, blind=blind)
    if monitor_state.state is MonitorStatus.CANT_JUDGE:
        return _cant_judge(monitor, monitor_state)
    if monitor_state.state in BLIND_STATUSES and not monitor_state.has_no_value:
        return say("data is back, no verdict yet")
    if monitor_state.state is MonitorStatus.OK and (monitor_state.has_no_value or monitor_state.unjudged):
        return _last_known_healthy(monitor, monitor_state)
    return _STATUS_TEXTS[monitor_state.state]


def last_check_reason(monitor: Monitor, monitor_state: MonitorState) -> Sentence | None:
    """Return the reason for the latest check's outcome; None if it's unknown, or if `status_text` includes it."""
    is_in_status = monitor_state.state in {MonitorStatus.CANT_JUDGE, MonitorStatus.DISABLED}
    is_said = is_in_status or reason_of(monitor_state.why) == Reason.NOT_JUDGED_YET
    return None if is_said and not monitor.is_paused else monitor_state.why


_STATUS_TEXTS = {
    MonitorStatus.DISABLED: say("nothing in Production"),
    MonitorStatus.WARMUP: say("warming up"),
    MonitorStatus.OK: say("healthy"),
    MonitorStatus.FAILED: say("failing"),
    MonitorStatus.NO_DATA: say("no data"),
    MonitorStatus.ERROR: say("source error"),
}


def _cant_judge(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    why = monitor_state.why or say("No verdict yet.")
    why = replace(why, template=why.template.removesuffix("."))  # more follows it
    if monitor.is_armed:
        return say("armed, but can't judge: {why}", why=why)
    return say("can't judge{yet}: {why}", yet=say(" yet") if monitor_state.judged_at is None else say(""), why=why)


def _last_known_healthy(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return the status of a monitor whose recent checks had no value or verdict, but not often enough for an alert."""
    if monitor_state.broken:
        return say("last healthy; source error in {n} of {all} checks", n=monitor_state.broken, all=monitor.rule.error)
    if monitor_state.empty:
        return say("last healthy; no data in {n} of {all} checks", n=monitor_state.empty, all=monitor.rule.no_data)
    return say("last healthy; no verdict in {n} of {all} checks", n=monitor_state.unjudged, all=MAX_UNJUDGED_CHECKS)


def is_unmeasured(monitor_state: MonitorState) -> bool:
    """Return whether the version in Production is new and has no value yet, so its health is unknown."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is None and monitor_state.version is not None


def value_text(monitor_state: MonitorState) -> Sentence:
    """Return the latest value and the bound that it was compared with."""
    if monitor_state.value is None:
        return say("no value yet")
    shown = format_proportion(monitor_state.value, monitor_state.total)
    if monitor_state.bound is None:
        return say("{value}", value=shown)
    return say("{value}, bound {bound}", value=shown, bound=format_number(monitor_state.bound))


def false_rollback_sentence(estimate: FalseRollbackEstimate) -> Sentence:
    """Return how many monitors are armed, and how many false rollbacks to expect from them."""
    is_one = estimate.armed == 1
    armed = say("{monitors} {are} armed.", monitors=pluralize(estimate.armed, "monitor"), are="is" if is_one else "are")
    if not estimate.counted:
        return say(
            "{armed} Backtest {them} to see how often {they} would roll back for no reason.",
            armed=armed,
            them="it" if is_one else "them",
            they="it" if is_one else "they",
        )
    others = (estimate.others, "monitor", " with looser settings")
    some = ((estimate.thresholds, "threshold", ""), (estimate.hard_limits, "hard limit", ""), others)
    left_out = [pluralize(n, what) + how for n, what, how in some if n]
    return say(
        "{armed} Based on simulations, expect at most {n} false rollbacks a month "
        "(docs/explanation/statistics.md).{left_out}",
        armed=armed,
        n=format_number(estimate.per_month, 3),
        left_out=say(" Not counted: {them}.", them=join_with_conjunction(left_out, "and")) if left_out else "",
    )


# -- changes: the answer to the person who made one, and the channel message ----------------------------------------


def added(monitor: Monitor, by: Actor) -> Sentence:
    """Return the channel message about a new monitor."""
    return say(
        "{who} added the monitor {it}. {what}",
        who=format_actor(by),
        it=qualified_name(monitor),
        what=_rule_and_action(monitor),
    )


def added_answer(monitor: Monitor, first_check_at: datetime) -> Sentence:
    """Return the answer to the person who added a monitor."""
    return say(
        "Added {it}. It checks {source} every {every}, first at {first}. {what}",
        it=qualified_name(monitor),
        every=format_duration(monitor.rule.every),
        source=Code(monitor.rule.source),
        first=first_check_at,
        what=_rule_and_action(monitor),
    )


def edited(monitor: Monitor, by: Actor, *, was_armed: bool) -> Sentence:
    """Return the channel message about a changed monitor."""
    armed = say(" It's no longer armed.") if was_armed else say("")
    anew = say(" " + MEASURES_SOMETHING_ELSE) if monitor.measured_from == monitor.revision else say("")
    return say(
        "{who} changed the monitor {it}. {what}{anew}{armed}",
        who=format_actor(by),
        it=qualified_name(monitor),
        what=_rule_and_action(monitor),
        anew=anew,
        armed=armed,
    )


def _rule_and_action(monitor: Monitor) -> Sentence:
    return join_sentences([rule_sentence(monitor.rule), action_sentence(monitor)], " ")


def judged_by_default(monitors: Sequence[Monitor]) -> Sentence:
    """Return the message about monitors that now use the rule `default` because the policy file doesn't set one."""
    is_one, armed = len(monitors) == 1, sum(one.is_armed for one in monitors)
    more = say(" and {n} more", n=len(monitors) - MAX_NAMED) if len(monitors) > MAX_NAMED else say("")
    said = [
        say(
            "The policy file doesn't set a rule for the {what} {names}{more}, so {default} now evaluates {them} "
            "instead of {blocks}.",
            what="monitor" if is_one else "monitors",
            names=[qualified_name(one) for one in monitors[:MAX_NAMED]],
            more=more,
            default=Code(RULE_IF_UNSET),
            them="it" if is_one else "them",
            blocks=Code(RULE_IF_UNSET_BEFORE),
        )
    ]
    if armed == len(monitors):
        said.append(say("It stays armed.") if is_one else say("They stay armed."))
    elif armed:
        said.append(say("Those that were armed stay armed."))
    return join_sentences(
        [
            *said,
            say(
                "To keep {blocks}, set {rule}.",
                blocks=Code(RULE_IF_UNSET_BEFORE),
                rule=Code(f"rule: {RULE_IF_UNSET_BEFORE}"),
            ),
        ],
        " ",
    )


def baseline_improved(
    monitor: Monitor, term: ProductionTerm, baseline: FrozenBaseline, old_level: float, new_level: float
) -> Sentence:
    """Return the message that a version's own history now replaces its baseline, with the old and new levels."""
    return say(
        "{v} has been better than its baseline for {days}. The monitor {it} now compares {v} with its own history: "
        "the baseline changes from {before} to {after}.",
        v=Code(f"v{term.version}"),
        it=qualified_name(monitor),
        days=format_duration(baseline.until - baseline.since),
        after=format_number(new_level),
        before=format_number(old_level),
    )


def paused(monitor: Monitor, by: Actor) -> Sentence:
    """Return the channel message about a paused monitor."""
    return say(
        "{who} paused the monitor {it}. To resume its checks: {resume}",
        who=format_actor(by),
        it=qualified_name(monitor),
        resume=Code(f"/model monitor resume {monitor.model} {monitor.name}"),
    )


def resumed(monitor: Monitor, by: Actor) -> Sentence:
    """Return the channel message about a resumed monitor."""
    return say("{who} resumed the monitor {it}.", who=format_actor(by), it=qualified_name(monitor))


def removed(monitor: Monitor, by: Actor) -> Sentence:
    """Return the channel message about a removed monitor."""
    return say("{who} removed the monitor {it}.", who=format_actor(by), it=qualified_name(monitor))


def silenced(monitors: list[Monitor], by: Actor, until: datetime, reason: str) -> Sentence:
    """Return the channel message about silenced monitors."""
    why = say(": {reason}", reason=reason) if reason else say("")
    measured = "Its checks continue." if len(monitors) == 1 else "Their checks continue."
    return say(
        "{who} silenced {them} until {until}{why}. " + measured,
        who=format_actor(by),
        them=_name_all(monitors),
        until=until,
        why=why,
    )


def unsilenced(monitors: list[Monitor], by: Actor) -> Sentence:
    """Return the channel message about unsilenced monitors."""
    return say("{who} unsilenced {them}.", who=format_actor(by), them=_name_all(monitors))


def _name_all(monitors: list[Monitor]) -> Sentence:
    if len(monitors) == 1:
        return say("the monitor {it}", it=qualified_name(monitors[0]))
    names = [Code(one.name) for one in monitors[:MAX_NAMED]]
    more = say(" and {n} more", n=len(monitors) - MAX_NAMED) if len(monitors) > MAX_NAMED else say("")
    return say("the monitors {names}{more} of {model}", names=names, more=more, model=Name(monitors[0].model))


def armed(monitor: Monitor, by: Actor, reason: str) -> Sentence:
    """Return the channel message about an armed monitor; `reason` is set if an admin overrode the requirements."""
    why = say(" The requirements for arming were overridden: {reason}", reason=reason) if reason else say("")
    return say(
        "{who} armed the monitor {it}. It now rolls back automatically.{why}",
        who=format_actor(by),
        it=qualified_name(monitor),
        why=why,
    )


def checked_answer(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return the answer to a requested check: the monitor's status, the value, and the reason for the verdict."""
    said = [say("Checked {it}: {state}.", it=qualified_name(monitor), state=status_text(monitor, monitor_state))]
    if monitor_state.value is not None and not monitor_state.has_no_value:
        said.append(_latest_reading(monitor.rule, monitor_state))
    if (why := last_check_reason(monitor, monitor_state)) is not None:
        said.append(why)
    return join_sentences(said, " ")


def _latest_reading(rule: MonitorConfig, monitor_state: MonitorState) -> Sentence:
    """Return the latest value. With a baseline, leave out the bound, which applies to the mean of many readings."""
    v = Code(f"v{monitor_state.version}")
    if not rule.uses_baseline:
        return say("{query} of {v}: {value}.", query=measured_value(rule), v=v, value=value_text(monitor_state))
    return say(
        "The latest reading of {metric} for {v} is {value}.",
        metric=metric_name(rule),
        v=v,
        value=format_proportion(monitor_state.value or 0.0, monitor_state.total),
    )


# -- refusals ----------------------------------------------------------------------------------------------------------


def defined_in_policy_file(monitor: Monitor) -> Sentence:
    """Return why a command can't change a monitor that's defined in the policy file."""
    return say("{it} is defined in the policy file. Change it there.", it=qualified_name(monitor))


def author_cannot_arm(monitor: Monitor) -> Sentence:
    """Return why the person who created or last changed a monitor can't arm it."""
    return say("You created or last changed {it}, so someone else has to arm it.", it=qualified_name(monitor))


def measured_too_briefly(monitor: Monitor, until: datetime) -> Sentence:
    """Return why a monitor can't be armed within 24 hours of its last change."""
    return say(
        "{it} can't be armed before {until}: it has to run unchanged for 24 hours first. An admin can override "
        "this: {override}",
        it=qualified_name(monitor),
        until=until,
        override=arm_override_command(monitor),
    )


def measured_too_little(monitor: Monitor, values: int, required: int) -> Sentence:
    """Return why a monitor with too few values since its last change can't be armed."""
    return say(
        "{it} can't be armed yet: it needs values from at least {wanted} checks in the last 24 hours and has {had}. "
        "To see the checks: {show}",
        it=qualified_name(monitor),
        wanted=f"{required:,}",
        had=f"{values:,}",
        show=Code(f"/model monitor show {monitor.model} {monitor.name}"),
    )


def cannot_arm_unjudged(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return why a monitor that can't reach a verdict can't be armed."""
    return say(
        "{it} can't be armed while it can't reach a verdict. {why} An admin can override this: {override}",
        it=qualified_name(monitor),
        why=monitor_state.why or say("No verdict yet."),
        override=arm_override_command(monitor),
    )


def backtest_prevents_arming(monitor: Monitor, sentence: Sentence) -> Sentence:
    """Return why a backtest prevents a monitor from being armed; `sentence` summarizes the backtest."""
    return say(
        "{it} can't be armed until a backtest covers at least 90% of 7 days without firing. {sentence} An admin can "
        "override this: {override}",
        it=qualified_name(monitor),
        sentence=sentence,
        override=arm_override_command(monitor),
    )


def arm_override_command(monitor: Monitor) -> Code:
    """Return the command that an admin uses to arm a monitor that doesn't meet the requirements."""
    return Code(f'/model monitor arm {monitor.model} {monitor.name} --override --reason "…"')


def acknowledged_answer() -> Sentence:
    """Return the answer to the person who acknowledged an incident."""
    return say("Acknowledged. The channel can see this, and I'll stop sending reminders.")
