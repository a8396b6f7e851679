"""What people read of monitors: the rule and the action in a sentence, how one stands, and what somebody did to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number, format_proportion, pluralize
from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, join_with_conjunction, say
from bot.domain.monitoring.assessment import MAX_UNJUDGED_CHECKS
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
    RULE_IF_UNSET,
    RULE_IF_UNSET_BEFORE,
    MonitorConfig,
    measured_value,
    metric_name,
    rule_sentence,
)

MEASURES_SOMETHING_ELSE = (
    "It measures something else now, so its earlier figures count no more, in its baseline neither."
)
MAX_NAMED = 10  # monitors named in one sentence; the others are only counted


def qualified_name(monitor: Monitor) -> Sentence:
    """Return a monitor's name with its model's."""
    return say("{model} {name}", model=Name(monitor.model), name=Code(monitor.name))


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


# -- how it stands -----------------------------------------------------------------------------------------------------


def status_text(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return how a monitor stands, in a few words."""
    if monitor.is_paused:
        return say("paused")
    if monitor_state.at is None:
        return say("not checked yet")
    if is_unmeasured(monitor_state):
        return say("nothing measured yet of {v}", v=Code(f"v{monitor_state.version}"))
    if monitor_state.state is MonitorStatus.PENDING:
        return say("failed {n} of {all}", n=monitor_state.bad or monitor_state.beyond, all=monitor.rule.fail_after)
    if monitor_state.state is MonitorStatus.FAILED and monitor_state.since is not None:
        blind = say("; can't judge now") if monitor_state.unjudged >= MAX_UNJUDGED_CHECKS else say("")
        return say("failed, since {since}{blind}", since=monitor_state.since, blind=blind)
    if monitor_state.state is MonitorStatus.CANT_JUDGE:
        return _cant_judge(monitor, monitor_state)
    if monitor_state.state in BLIND_STATUSES and not monitor_state.has_no_value:
        return say("measured again, but not judged yet")
    if monitor_state.state is MonitorStatus.OK and (monitor_state.has_no_value or monitor_state.unjudged):
        return _last_known_healthy(monitor, monitor_state)
    return _STATUS_TEXTS[monitor_state.state]


def last_check_reason(monitor: Monitor, monitor_state: MonitorState) -> Sentence | None:
    """Return what the last check came to; None if that's unknown, or if `status_text` says it."""
    is_in_status = monitor_state.state in {MonitorStatus.CANT_JUDGE, MonitorStatus.DISABLED}
    is_said = is_in_status or reason_of(monitor_state.why) == Reason.NOT_JUDGED_YET
    return None if is_said and not monitor.is_paused else monitor_state.why


_STATUS_TEXTS = {
    MonitorStatus.DISABLED: say("nothing is in Production"),
    MonitorStatus.WARMUP: say("warming up"),
    MonitorStatus.OK: say("well"),
    MonitorStatus.FAILED: say("failed"),
    MonitorStatus.NO_DATA: say("no data"),
    MonitorStatus.ERROR: say("the source gives errors"),
}


def _cant_judge(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    why = monitor_state.why or say("There's no verdict yet.")
    why = replace(why, template=why.template.removesuffix("."))  # more follows it
    if monitor.is_armed:
        return say("armed, but can't judge: {why}", why=why)
    return say("can't judge{yet}: {why}", yet=say(" yet") if monitor_state.judged_at is None else say(""), why=why)


def _last_known_healthy(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return how a monitor stands that was well and could not be measured since, not often enough yet to be told."""
    if monitor_state.broken:
        return say("well when last measured; error {n} of {all}", n=monitor_state.broken, all=monitor.rule.error)
    if monitor_state.empty:
        return say("well when last measured; no data {n} of {all}", n=monitor_state.empty, all=monitor.rule.no_data)
    return say("healthy when last judged; can't judge {n} of {all}", n=monitor_state.unjudged, all=MAX_UNJUDGED_CHECKS)


def is_unmeasured(monitor_state: MonitorState) -> bool:
    """Tell whether a new version serves of which there is no figure yet: it is not known to be well."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is None and monitor_state.version is not None


def value_text(monitor_state: MonitorState) -> Sentence:
    """Return the last value, and the bound that it was judged against."""
    if monitor_state.value is None:
        return say("no value yet")
    shown = format_proportion(monitor_state.value, monitor_state.total)
    if monitor_state.bound is None:
        return say("{value}", value=shown)
    return say("{value}, bound {bound}", value=shown, bound=format_number(monitor_state.bound))


def false_rollback_sentence(estimate: FalseRollbackEstimate) -> Sentence:
    """Return how many monitors are armed, and how often to expect them to act although nothing is wrong."""
    is_one = estimate.armed == 1
    armed = say("{monitors} {are} armed.", monitors=pluralize(estimate.armed, "monitor"), are="is" if is_one else "are")
    if not estimate.counted:
        return say(
            "{armed} Backtest {them} to see how often {they} would act without a cause.",
            armed=armed,
            them="it" if is_one else "them",
            they="it" if is_one else "they",
        )
    some = (
        (estimate.thresholds, "threshold", ""),
        (estimate.hard_limits, "hard limit", ""),
        (estimate.others, "monitor", " with looser settings"),
    )
    left_out = [pluralize(n, what) + how for n, what, how in some if n]
    return say(
        "{armed} Simulations expect at most {n} rollbacks a month without a cause (docs/rules.md).{left_out}",
        armed=armed,
        n=format_number(estimate.per_month, 3),
        left_out=say(" Not counted: {them}.", them=join_with_conjunction(left_out, "and")) if left_out else "",
    )


# -- what somebody did: the answer to them, and the channel's line -----------------------------------------------------


def added(monitor: Monitor, by: Actor) -> Sentence:
    """Return what the channel hears of a new monitor."""
    return say(
        "{who} added the monitor {it}. {what}",
        who=format_actor(by),
        it=qualified_name(monitor),
        what=_rule_and_action(monitor),
    )


def added_answer(monitor: Monitor, first_check_at: datetime) -> Sentence:
    """Return the answer to whoever added it."""
    return say(
        "{it} is watched from now on, every {every} from {source}; the first check is at {first}. {what}",
        it=qualified_name(monitor),
        every=format_duration(monitor.rule.every),
        source=Code(monitor.rule.source),
        first=first_check_at,
        what=_rule_and_action(monitor),
    )


def edited(monitor: Monitor, by: Actor, *, was_armed: bool) -> Sentence:
    """Return what the channel hears of a changed monitor."""
    armed = say(" It was armed, and is no longer.") if was_armed else say("")
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
    """Return the message about monitors that are now judged by `default`, since the policy file sets no rule."""
    is_one, armed = len(monitors) == 1, sum(one.is_armed for one in monitors)
    more = say(" and {n} more", n=len(monitors) - MAX_NAMED) if len(monitors) > MAX_NAMED else say("")
    said = [
        say(
            "The policy file sets no rule for the {what} {names}{more}, so {default} now judges {them} instead of "
            "{blocks}.",
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
    """Return the message that a version's own days now replace its baseline, with both levels."""
    return say(
        "{v} has been better than its baseline for {days}. The monitor {it} now compares {v} with its own days: "
        "{after} is usual instead of {before}.",
        v=Code(f"v{term.version}"),
        it=qualified_name(monitor),
        days=format_duration(baseline.until - baseline.since),
        after=format_number(new_level),
        before=format_number(old_level),
    )


def paused(monitor: Monitor, by: Actor) -> Sentence:
    """Return what the channel hears of a paused monitor."""
    return say(
        "{who} paused the monitor {it}; nobody checks until it is resumed: {resume}",
        who=format_actor(by),
        it=qualified_name(monitor),
        resume=Code(f"/model monitor resume {monitor.model} {monitor.name}"),
    )


def resumed(monitor: Monitor, by: Actor) -> Sentence:
    """Return what the channel hears of a resumed monitor."""
    return say("{who} resumed the monitor {it}.", who=format_actor(by), it=qualified_name(monitor))


def removed(monitor: Monitor, by: Actor) -> Sentence:
    """Return what the channel hears of a monitor that was taken away."""
    return say("{who} removed the monitor {it}.", who=format_actor(by), it=qualified_name(monitor))


def silenced(monitors: list[Monitor], by: Actor, until: datetime, reason: str) -> Sentence:
    """Return what the channel hears of silenced monitors."""
    why = say(": {reason}", reason=reason) if reason else say("")
    measured = "It is measured all the same." if len(monitors) == 1 else "They are measured all the same."
    return say(
        "{who} silenced {them} until {until}{why}. " + measured,
        who=format_actor(by),
        them=_name_all(monitors),
        until=until,
        why=why,
    )


def unsilenced(monitors: list[Monitor], by: Actor) -> Sentence:
    """Return what the channel hears of monitors that post and act again."""
    return say("{who} lets {them} post and act again.", who=format_actor(by), them=_name_all(monitors))


def _name_all(monitors: list[Monitor]) -> Sentence:
    if len(monitors) == 1:
        return say("the monitor {it}", it=qualified_name(monitors[0]))
    names = [Code(one.name) for one in monitors[:MAX_NAMED]]
    more = say(" and {n} more", n=len(monitors) - MAX_NAMED) if len(monitors) > MAX_NAMED else say("")
    return say("the monitors {names}{more} of {model}", names=names, more=more, model=Name(monitors[0].model))


def armed(monitor: Monitor, by: Actor, reason: str) -> Sentence:
    """Return what the channel hears of a monitor that rolls back by itself from now on."""
    why = say(" It has not tried itself out first: {reason}", reason=reason) if reason else say("")
    return say(
        "{who} armed the monitor {it}: from now on it rolls back by itself.{why}",
        who=format_actor(by),
        it=qualified_name(monitor),
        why=why,
    )


def checked_answer(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return the answer to whoever had it checked now: its state, what was read, and why it's judged that way."""
    said = [say("Checked {it}: {state}.", it=qualified_name(monitor), state=status_text(monitor, monitor_state))]
    if monitor_state.value is not None and not monitor_state.has_no_value:
        said.append(_latest_reading(monitor.rule, monitor_state))
    if (why := last_check_reason(monitor, monitor_state)) is not None:
        said.append(why)
    return join_sentences(said, " ")


def _latest_reading(rule: MonitorConfig, monitor_state: MonitorState) -> Sentence:
    """Return what was read. Against a baseline, that is one reading of many, and the bound is for their mean."""
    v = Code(f"v{monitor_state.version}")
    if not rule.uses_baseline:
        return say("{query} of {v}: {value}.", query=measured_value(rule), v=v, value=value_text(monitor_state))
    return say(
        "The latest reading of {metric} for {v} is {value}.",
        metric=metric_name(rule),
        v=v,
        value=format_proportion(monitor_state.value or 0.0, monitor_state.total),
    )


# -- why not -----------------------------------------------------------------------------------------------------------


def defined_in_policy_file(monitor: Monitor) -> Sentence:
    """Return why somebody cannot change it here."""
    return say("{it} stands in the policy file; change it there.", it=qualified_name(monitor))


def author_cannot_arm(monitor: Monitor) -> Sentence:
    """Return why whoever wrote it cannot arm it."""
    return say("You wrote {it} or changed it last, so somebody else has to arm it.", it=qualified_name(monitor))


def measured_too_briefly(monitor: Monitor, until: datetime) -> Sentence:
    """Return why it cannot be armed yet."""
    return say(
        "{it} has to be measured for 24 hours as it is now before it is armed: until {until}. An admin can do "
        "it sooner: {override}",
        it=qualified_name(monitor),
        until=until,
        override=arm_override_command(monitor),
    )


def measured_too_little(monitor: Monitor, values: int, required: int) -> Sentence:
    """Return why a monitor that has measured too little as it is now cannot be armed."""
    return say(
        "{it} has to measure for 24 hours as it is now before it is armed: at least {wanted} of its checks have "
        "to come to a value, and {had} did. Look with {show}",
        it=qualified_name(monitor),
        wanted=f"{required:,}",
        had=f"{values:,}",
        show=Code(f"/model monitor show {monitor.model} {monitor.name}"),
    )


def cannot_arm_unjudged(monitor: Monitor, monitor_state: MonitorState) -> Sentence:
    """Return why a monitor that can't judge now isn't armed: it couldn't roll back."""
    return say(
        "{it} can be armed once it can judge. {why} An admin can arm it anyway: {override}",
        it=qualified_name(monitor),
        why=monitor_state.why or say("There's no verdict yet."),
        override=arm_override_command(monitor),
    )


def backtest_prevents_arming(monitor: Monitor, sentence: Sentence) -> Sentence:
    """Return why a backtest keeps it from being armed."""
    return say(
        "{it} can be armed once a backtest has judged 90% of 7 days and it has not fired. {sentence} An admin can arm "
        "it anyway: {override}",
        it=qualified_name(monitor),
        sentence=sentence,
        override=arm_override_command(monitor),
    )


def arm_override_command(monitor: Monitor) -> Code:
    """Return what an admin types to arm it although it has not tried itself out."""
    return Code(f'/model monitor arm {monitor.model} {monitor.name} --override --reason "…"')


def acknowledged_answer() -> Sentence:
    """Return the answer to whoever acknowledged an incident."""
    return say("You look after it, and the channel sees that. I stop reminding.")
