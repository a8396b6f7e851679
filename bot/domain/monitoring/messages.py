"""What people read of monitors: the rule and the action in a sentence, how one stands, and what somebody did to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.core.actors import Actor, shown
from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import counted, number, share
from bot.domain.core.sentence import Code, Name, Say, either, joined, say
from bot.domain.monitoring.assessment import UNJUDGED_MOST
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.rule_messages import _value, action, metric, rule
from bot.domain.monitoring.rules.false_rollbacks import Expected
from bot.domain.monitoring.state import BLIND, Standing, State, Term
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.monitor_config import MonitorRule

MEASURES_ANEW = "It measures something else now, so its earlier figures count no more, in its baseline neither."
NAMED_MOST = 10  # monitors named in one sentence; the others are only counted


def which(monitor: Monitor) -> Say:
    """Return a monitor's name with its model's."""
    return say("{model} {name}", model=Name(monitor.model), name=Code(monitor.name))


# -- what it does ------------------------------------------------------------------------------------------------------


# -- how it stands -----------------------------------------------------------------------------------------------------


def state(monitor: Monitor, standing: Standing) -> Say:
    """Return how a monitor stands, in a few words."""
    if monitor.is_paused:
        return say("paused")
    if standing.at is None:
        return say("not checked yet")
    if is_unmeasured(standing):
        return say("nothing measured yet of {v}", v=Code(f"v{standing.version}"))
    if standing.state is State.PENDING:
        return say("failed {n} of {all}", n=standing.bad or standing.beyond, all=monitor.rule.fail_after)
    if standing.state is State.FAILED and standing.since is not None:
        blind = say("; can't judge now") if standing.unjudged >= UNJUDGED_MOST else say("")
        return say("failed, since {since}{blind}", since=standing.since, blind=blind)
    if standing.state is State.CANT_JUDGE:
        return _cant_judge(monitor, standing)
    if standing.state in BLIND and not standing.has_no_figure:
        return say("measured again, but not judged yet")
    if standing.state is State.OK and (standing.has_no_figure or standing.unjudged):
        return _was_well(monitor, standing)
    return _STATES[standing.state]


def reason(monitor: Monitor, standing: Standing) -> Say | None:
    """Return what the last check came to; None if that's unknown, or if `state` says so in the same words."""
    if standing.why is None:
        return None
    why, stands = (str(one).rstrip(".").casefold() for one in (standing.why, state(monitor, standing)))
    return None if stands.endswith(why) else standing.why


_STATES = {
    State.DISABLED: say("nothing is in Production"),
    State.WARMUP: say("warming up"),
    State.OK: say("well"),
    State.FAILED: say("failed"),
    State.NO_DATA: say("no data"),
    State.ERROR: say("the source gives errors"),
}


def _cant_judge(monitor: Monitor, standing: Standing) -> Say:
    why = standing.why or say("There's no verdict yet.")
    why = replace(why, template=why.template.removesuffix("."))  # more follows it
    if monitor.is_armed:
        return say("armed, but can't judge: {why}", why=why)
    return say("can't judge{yet}: {why}", yet=say(" yet") if standing.judged_at is None else say(""), why=why)


def _was_well(monitor: Monitor, standing: Standing) -> Say:
    """Return how a monitor stands that was well and could not be measured since, not often enough yet to be told."""
    if standing.broken:
        return say("well when last measured; error {n} of {all}", n=standing.broken, all=monitor.rule.error)
    if standing.empty:
        return say("well when last measured; no data {n} of {all}", n=standing.empty, all=monitor.rule.no_data)
    return say("healthy when last judged; can't judge {n} of {all}", n=standing.unjudged, all=UNJUDGED_MOST)


def is_unmeasured(standing: Standing) -> bool:
    """Tell whether a new version serves of which there is no figure yet: it is not known to be well."""
    return standing.state is State.OK and standing.value is None and standing.version is not None


def value(standing: Standing) -> Say:
    """Return the last value, and the bound that it was judged against."""
    if standing.value is None:
        return say("no value yet")
    shown = share(standing.value, standing.total)
    if standing.bound is None:
        return say("{value}", value=shown)
    return say("{value}, bound {bound}", value=shown, bound=number(standing.bound))


def expected(it: Expected) -> Say:
    """Return how many monitors are armed, and how often to expect them to act although nothing is wrong."""
    is_one = it.armed == 1
    armed = say("{monitors} {are} armed.", monitors=counted(it.armed, "monitor"), are="is" if is_one else "are")
    if not it.counted:
        return say(
            "{armed} Backtest {them} to see how often {they} would act without a cause.",
            armed=armed,
            them="it" if is_one else "them",
            they="it" if is_one else "they",
        )
    some = (
        (it.thresholds, "threshold", ""),
        (it.hard_limits, "hard limit", ""),
        (it.others, "monitor", " with looser settings"),
    )
    left_out = [counted(n, what) + how for n, what, how in some if n]
    return say(
        "{armed} Simulations expect at most {n} rollbacks a month without a cause (docs/rules.md).{left_out}",
        armed=armed,
        n=number(it.per_month, 3),
        left_out=say(" Not counted: {them}.", them=either(left_out, "and")) if left_out else "",
    )


# -- what somebody did: the answer to them, and the channel's line -----------------------------------------------------


def added(monitor: Monitor, by: Actor) -> Say:
    """Return what the channel hears of a new monitor."""
    return say("{who} added the monitor {it}. {what}", who=shown(by), it=which(monitor), what=_told(monitor))


def added_by_you(monitor: Monitor, first: datetime) -> Say:
    """Return the answer to whoever added it."""
    return say(
        "{it} is watched from now on, every {every} from {source}; the first check is at {first}. {what}",
        it=which(monitor),
        every=show_duration(monitor.rule.every),
        source=Code(monitor.rule.source),
        first=first,
        what=_told(monitor),
    )


def edited(monitor: Monitor, by: Actor, *, was_armed: bool) -> Say:
    """Return what the channel hears of a changed monitor."""
    armed = say(" It was armed, and is no longer.") if was_armed else say("")
    anew = say(" " + MEASURES_ANEW) if monitor.measured_from == monitor.revision else say("")
    return say(
        "{who} changed the monitor {it}. {what}{anew}{armed}",
        who=shown(by),
        it=which(monitor),
        what=_told(monitor),
        anew=anew,
        armed=armed,
    )


def _told(monitor: Monitor) -> Say:
    return joined([rule(monitor.rule), action(monitor)], " ")


def judged_by_default(monitors: Sequence[Monitor]) -> Say:
    """Return the message about monitors that are now judged by `default`, since the policy file sets no rule."""
    is_one, armed = len(monitors) == 1, sum(one.is_armed for one in monitors)
    more = say(" and {n} more", n=len(monitors) - NAMED_MOST) if len(monitors) > NAMED_MOST else say("")
    said = [
        say(
            "The policy file sets no rule for the {what} {names}{more}, so {default} now judges {them} instead of "
            "{blocks}.",
            what="monitor" if is_one else "monitors",
            names=[which(one) for one in monitors[:NAMED_MOST]],
            more=more,
            default=Code("default"),
            them="it" if is_one else "them",
            blocks=Code("blocks"),
        )
    ]
    if armed == len(monitors):
        said.append(say("It stays armed.") if is_one else say("They stay armed."))
    elif armed:
        said.append(say("Those that were armed stay armed."))
    return joined([*said, say("To keep {blocks}, set {rule}.", blocks=Code("blocks"), rule=Code("rule: blocks"))], " ")


def better(monitor: Monitor, term: Term, baseline: FrozenBaseline, before: float, after: float) -> Say:
    """Return the message that a version's own days now replace its baseline, with both levels."""
    return say(
        "{v} has been better than its baseline for {days}. The monitor {it} now compares {v} with its own days: "
        "{after} is usual instead of {before}.",
        v=Code(f"v{term.version}"),
        it=which(monitor),
        days=show_duration(baseline.until - baseline.since),
        after=number(after),
        before=number(before),
    )


def paused(monitor: Monitor, by: Actor) -> Say:
    """Return what the channel hears of a paused monitor."""
    return say(
        "{who} paused the monitor {it}; nobody checks until it is resumed: {resume}",
        who=shown(by),
        it=which(monitor),
        resume=Code(f"/model monitor resume {monitor.model} {monitor.name}"),
    )


def resumed(monitor: Monitor, by: Actor) -> Say:
    """Return what the channel hears of a resumed monitor."""
    return say("{who} resumed the monitor {it}.", who=shown(by), it=which(monitor))


def removed(monitor: Monitor, by: Actor) -> Say:
    """Return what the channel hears of a monitor that was taken away."""
    return say("{who} removed the monitor {it}.", who=shown(by), it=which(monitor))


def silenced(monitors: list[Monitor], by: Actor, until: datetime, reason: str) -> Say:
    """Return what the channel hears of silenced monitors."""
    why = say(": {reason}", reason=reason) if reason else say("")
    measured = "It is measured all the same." if len(monitors) == 1 else "They are measured all the same."
    return say(
        "{who} silenced {them} until {until}{why}. " + measured,
        who=shown(by),
        them=_all(monitors),
        until=until,
        why=why,
    )


def unsilenced(monitors: list[Monitor], by: Actor) -> Say:
    """Return what the channel hears of monitors that post and act again."""
    return say("{who} lets {them} post and act again.", who=shown(by), them=_all(monitors))


def _all(monitors: list[Monitor]) -> Say:
    if len(monitors) == 1:
        return say("the monitor {it}", it=which(monitors[0]))
    names = [Code(one.name) for one in monitors[:NAMED_MOST]]
    more = say(" and {n} more", n=len(monitors) - NAMED_MOST) if len(monitors) > NAMED_MOST else say("")
    return say("the monitors {names}{more} of {model}", names=names, more=more, model=Name(monitors[0].model))


def armed(monitor: Monitor, by: Actor, reason: str) -> Say:
    """Return what the channel hears of a monitor that rolls back by itself from now on."""
    why = say(" It has not tried itself out first: {reason}", reason=reason) if reason else say("")
    return say(
        "{who} armed the monitor {it}: from now on it rolls back by itself.{why}",
        who=shown(by),
        it=which(monitor),
        why=why,
    )


def checked(monitor: Monitor, standing: Standing) -> Say:
    """Return the answer to whoever had it checked now: its state, what was read, and why it's judged that way."""
    said = [say("Checked {it}: {state}.", it=which(monitor), state=state(monitor, standing))]
    if standing.value is not None and not standing.has_no_figure:
        said.append(_read(monitor.rule, standing))
    if (why := reason(monitor, standing)) is not None:
        said.append(why)
    return joined(said, " ")


def _read(it: MonitorRule, standing: Standing) -> Say:
    """Return what was read. Against a baseline, that is one reading of many, and the bound is for their mean."""
    v = Code(f"v{standing.version}")
    if it.is_threshold:
        return say("{query} of {v}: {value}.", query=_value(it), v=v, value=value(standing))
    return say(
        "The latest reading of {metric} for {v} is {value}.",
        metric=metric(it),
        v=v,
        value=share(standing.value or 0.0, standing.total),
    )


# -- why not -----------------------------------------------------------------------------------------------------------


def in_the_file(monitor: Monitor) -> Say:
    """Return why somebody cannot change it here."""
    return say("{it} stands in the policy file; change it there.", it=which(monitor))


def not_armed_by_its_author(monitor: Monitor) -> Say:
    """Return why whoever wrote it cannot arm it."""
    return say("You wrote {it} or changed it last, so somebody else has to arm it.", it=which(monitor))


def too_young(monitor: Monitor, until: datetime) -> Say:
    """Return why it cannot be armed yet."""
    return say(
        "{it} has to be measured for 24 hours as it is now before it is armed: until {until}. An admin can do "
        "it sooner: {override}",
        it=which(monitor),
        until=until,
        override=arm_anyway(monitor),
    )


def not_measured(monitor: Monitor, values: int, wanted: int) -> Say:
    """Return why a monitor that has measured too little as it is now cannot be armed."""
    return say(
        "{it} has to measure for 24 hours as it is now before it is armed: at least {wanted} of its checks have "
        "to come to a value, and {had} did. Look with {show}",
        it=which(monitor),
        wanted=f"{wanted:,}",
        had=f"{values:,}",
        show=Code(f"/model monitor show {monitor.model} {monitor.name}"),
    )


def not_armed_blind(monitor: Monitor, standing: Standing) -> Say:
    """Return why a monitor that can't judge now isn't armed: it couldn't roll back."""
    return say(
        "{it} can be armed once it can judge. {why} An admin can arm it anyway: {override}",
        it=which(monitor),
        why=standing.why or say("There's no verdict yet."),
        override=arm_anyway(monitor),
    )


def backtest_forbids(monitor: Monitor, sentence: Say) -> Say:
    """Return why a backtest keeps it from being armed."""
    return say(
        "{it} can be armed once a backtest has judged 90% of 7 days and it has not fired. {sentence} An admin can arm "
        "it anyway: {override}",
        it=which(monitor),
        sentence=sentence,
        override=arm_anyway(monitor),
    )


def arm_anyway(monitor: Monitor) -> Code:
    """Return what an admin types to arm it although it has not tried itself out."""
    return Code(f'/model monitor arm {monitor.model} {monitor.name} --override --reason "…"')


def acknowledged_by_you() -> Say:
    """Return the answer to whoever acknowledged an incident."""
    return say("You look after it, and the channel sees that. I stop reminding.")
