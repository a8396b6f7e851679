"""What people read of an incident: in its thread, in the channel, in the audit. Read at night; so what to do is said.

The engine keeps the sentences of `line` and of "how it ends" in the incident; all else is made of its present state.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.core.actors import Actor, Automation, shown
from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import Code, Name, Say, joined, say
from bot.domain.monitoring.incident import OF_ALL, Doing, Ending, Incident, IncidentKind, Tripped
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import State
from bot.domain.rollbacks.messages import CANNOT_BE_TOLD, NOT_LOOKED_AT, UNFIT
from bot.domain.transitions.transition import Move, MoveKind

NOTHING_TO_DO = say("Nobody has to do anything.")


def v(version: int | None) -> Code:
    """Return a version as a value for a sentence."""
    return Code("?" if version is None else f"v{version}")


def subject(incident: Incident) -> Say:
    """Return what it is about: a model and its version, or a source."""
    if incident.is_of_source:
        return say("the source {source}", source=Code(incident.source))
    if incident.version is None:
        return say("{model}", model=Name(incident.model))
    return say("{model} {v}", model=Name(incident.model), v=v(incident.version))


def line(monitor: Monitor, why: Say) -> Say:
    """Return what failed, as an incident keeps it: the monitor, and its value against the bound."""
    return say("{monitor}: {why}", monitor=Code(monitor.name), why=why)


def source_line(monitor: Monitor, why: Say) -> Say:
    """Return the same for an incident of a source, in which the monitors are of several models."""
    return say("{model} {monitor}: {why}", model=Name(monitor.model), monitor=Code(monitor.name), why=why)


def blind(monitor: Monitor, state: State, why: Say) -> Say:
    """Return why nothing is known, for `line` and `source_line`, and what that means for an armed monitor."""
    if state is not State.CANT_JUDGE:
        return why
    if not monitor.is_armed:
        return say("can't judge. {why}", why=why)
    return say("can't judge. {why} It stays armed, but won't roll back until it judges again.", why=why)


# -- how it begins, and what is done -----------------------------------------------------------------------------------


def opened(incident: Incident) -> Say:
    """Return what an incident's thread, the audit and whoever is called hear first."""
    what = joined(incident.lines, " ") if incident.lines else say("")
    match incident.kind:
        case IncidentKind.FAILED:
            return say(
                "{it} fails in Production, since {since}. {what}", it=subject(incident), since=incident.since, what=what
            )
        case IncidentKind.BLIND if incident.is_of_source:
            return say(
                "Many monitors of {it} can't judge, since {since}, so they won't roll anything back. {what}",
                it=subject(incident),
                since=incident.since,
                what=what,
            )
        case IncidentKind.BLIND:
            return say(
                "{monitors} of {it} can't judge, since {since}, so {they} won't roll anything back. {what}",
                monitors="A monitor" if len(incident.monitors) == 1 else "Monitors",
                it=subject(incident),
                since=incident.since,
                they="it" if len(incident.monitors) == 1 else "they",
                what=what,
            )
        case IncidentKind.SOURCE:
            return say(
                "Many monitors of {it} fail together, since {since}: look at the source, not at the models. "
                "Nothing is moved. {what}",
                it=subject(incident),
                since=incident.since,
                what=what,
            )


def joined_by(line: Say) -> Say:
    """Return the news that another monitor has failed in the same incident."""
    return say("Failed as well: {line}", line=line)


def passed_over(version: int, least: timedelta) -> Say:
    """Return why the version before is not the one that is gone back to."""
    return say(
        "Not {v}: it served for less than {least}, so nobody knows that it is good.",
        v=v(version),
        least=show_duration(least),
    )


def acted(incident: Incident) -> Say:
    """Return what was done about it, or why not more, and what to do next: for the thread, whenever `doing` changes."""
    if incident.doing is Doing.INTENT:  # the line before says what is rolled back
        return say("It goes by itself. {nothing}", nothing=NOTHING_TO_DO)
    parts = [did(incident), *([incident.why] if incident.why else []), next_step(incident)]
    return joined(parts, " ")


def did(incident: Incident) -> Say:
    """Return what was done about it, in one sentence."""
    return say(_DID[incident.doing], it=subject(incident), to=v(incident.target), bad=v(incident.version))


_DID = {
    Doing.LOGGED: "Written down, and nobody was alerted.",
    Doing.NOTIFIED: "Nothing was moved.",
    Doing.AWAITING_HUMAN: "Nothing is moved until somebody decides.",
    Doing.INTENT: "Rolling {it} back to {to}.",
    Doing.ROLLED_BACK: "Rolled back: {to} is in Production, read back from MLflow. {bad} is blocked.",
    Doing.NOT_FOLLOWED: "Rolled back: {to} is in Production, {bad} is blocked; the serving side has not confirmed it.",
    Doing.SILENCED: "Nothing was moved.",
    Doing.FROZEN: "Nothing was moved: Production is frozen.",
    Doing.COOLDOWN: "Nothing was moved: the last rollback is too recent to make another one without a person.",
    Doing.TRIPPED: "Nothing was moved: automatic rollbacks have stopped.",
    Doing.SUPERSEDED: "Nothing was moved: it is overtaken.",
    Doing.HELD: "Nothing was moved.",
    Doing.FAILED: "The rollback to {to} failed, so {bad} still serves.",
}


def next_step(incident: Incident) -> Say:
    """Return in one sentence what a person has to do now, with the exact command where there is one."""
    if not incident.is_open or incident.doing in _NOBODYS:
        return NOTHING_TO_DO
    if incident.kind is not IncidentKind.FAILED:
        return _look_at_source(incident)
    return _decide(incident)


def _decide(incident: Incident) -> Say:
    decide, back = say("Decide: roll back to {to}?", to=v(incident.target)), roll_back(incident)
    match incident.doing:
        case Doing.AWAITING_HUMAN | Doing.COOLDOWN if incident.target is not None:
            return say("{decide} Press the button, or type {back}", decide=decide, back=back)
        case Doing.TRIPPED if incident.target is not None:
            return say(
                "{decide} Press the button, or type {back} An admin lets them go on with {reset}",
                decide=decide,
                back=back,
                reset=_reset(incident),
            )
        case Doing.FROZEN if incident.target is not None:
            return say(
                "{decide} A person may, frozen or not. Press the button, or type {back}", decide=decide, back=back
            )
        case Doing.HELD if incident.target is None:
            return say("Decide which version should serve; nothing happens by itself.")
        case Doing.HELD if _is_because(incident, UNFIT, NOT_LOOKED_AT):
            return say(
                "Decide: another version, as {history} lists them, or this one with --force.",
                history=Code(f"/model history {incident.model}"),
            )
        case Doing.HELD if _is_because(incident, CANNOT_BE_TOLD):
            return say(
                "Wait, or decide: if {bad} is really bad, type {back}",
                bad=v(incident.version),
                back=roll_back(incident, " --force"),
            )
        case Doing.FAILED:
            return say(
                "Do this: {back} If that fails as well, move {to} to Production in MLflow.",
                back=back,
                to=v(incident.target),
            )
        case _:
            return say("Decide: if {bad} is really bad, type {back}", bad=v(incident.version), back=back)


_NOBODYS = {Doing.LOGGED, Doing.INTENT, Doing.ROLLED_BACK, Doing.NOT_FOLLOWED, Doing.SUPERSEDED}


def roll_back(incident: Incident, flag: str = "") -> Code:
    """Return the command with which a person does by hand what the incident is about."""
    to = "" if incident.target is None else f" {incident.target}"
    return Code(f'/model rollback {incident.model}{to}{flag} --reason "…"')


def _reset(incident: Incident) -> Code:
    """Return the command that lets automatic rollbacks go on: of this model, or of all where that was the limit."""
    is_of_all = _is_because(incident, OF_ALL)
    return Code("/model monitor reset --all" if is_of_all else f"/model monitor reset {incident.model}")


def _is_because(incident: Incident, *templates: str) -> bool:
    return incident.why is not None and incident.why.template in templates


def _look_at_source(incident: Incident) -> Say:
    if incident.model and incident.monitors:
        check = Code(f"/model monitor check {incident.model} {incident.monitors[0]}")
        return say("Find out why it can't judge, then {check}", check=check)
    return say("Look at {source}: is it up, and are its figures right?", source=Code(incident.source))


# -- while it lasts ----------------------------------------------------------------------------------------------------


def acknowledged(incident: Incident) -> Say:
    """Return the news that somebody looks after it; without anybody, that nobody does."""
    if incident.acknowledged_by is None:
        return say("Nobody looks after it yet.")
    return say("{who} looks after it. I stop reminding.", who=shown(incident.acknowledged_by))


def silenced(by: Actor, until: datetime, reason: str = "") -> Say:
    """Return the news that an incident's monitors are silenced."""
    why = say(": {reason}", reason=reason) if reason else say("")
    return say(
        "{who} silenced this until {until}{why}. Until then nothing is posted and nothing moved; it is measured "
        "all the same.",
        who=shown(by),
        until=until,
        why=why,
    )


def repeated(incident: Incident, now: datetime) -> Say:
    """Return the reminder of an incident that goes on and that nobody looks after."""
    return say(
        "Still so, for {age} now, and nobody looks after it. {next}",
        age=show_duration(now - incident.since),
        next=next_step(incident),
    )


# -- how it ends: sentences for `resolution` ---------------------------------------------------------------------------


def restored(version: int, since: datetime, bad: int | None, by: Actor | None = None) -> Say:
    """Return how a rollback ends that worked; `by` is the person who pressed the button, where one did."""
    who = say(" {who} rolled it back.", who=shown(by)) if by else say("")
    if bad is None:
        return say("Restored: {v} has served since {since}.{who}", v=v(version), since=since, who=who)
    return say(
        "Restored: {v} has served since {since}, {bad} is blocked.{who}", v=v(version), since=since, bad=v(bad), who=who
    )


def recovered_since(version: int, since: datetime, now: datetime) -> Say:
    """Return how it ends where the restored version has passed its checks."""
    return say(
        "Restored and recovered: {v} is healthy, {age} after the rollback.",
        v=v(version),
        age=show_duration(now - since),
    )


def recovered(version: int | None, since: datetime, now: datetime) -> Say:
    """Return how it ends where the figures came back by themselves."""
    return say(
        "Recovered: {v} is well again, after {age}. Nothing was moved.", v=v(version), age=show_duration(now - since)
    )


def not_followed(version: int) -> Say:
    """Return how a rollback ends of which the serving side has not confirmed in time that it follows."""
    return say(
        "Failed: {v} is in Production, and the serving side has not confirmed in time that it serves it. Do this: ask "
        "it yourself, and let it load {v} anew, as after any deployment. Another rollback changes the registry only.",
        v=v(version),
    )


def sees_again(since: datetime, now: datetime) -> Say:
    """Return how it ends where the last of its monitors is measured and judged again, or warms up."""
    return say("Monitoring is back after {age}.", age=show_duration(now - since))


def source_is_well(source: str, since: datetime, now: datetime) -> Say:
    """Return how it ends where a source is trusted again."""
    return say(
        "The monitors of {source} no longer fail together, after {age}.",
        source=Code(source),
        age=show_duration(now - since),
    )


def rolled_back_by_hand(move: Move) -> Say:
    """Return how it ends where a person rolled Production back."""
    if move.expected_incumbent is None:
        return say("{who} rolled Production back to {now}.", who=shown(move.actor), now=v(move.version))
    return say(
        "{who} rolled Production back from {was} to {now}.",
        who=shown(move.actor),
        was=v(move.expected_incumbent),
        now=v(move.version),
    )


def overtaken(version: int | None, began: Move | None) -> Say:
    """Return how it ends where Production moved in another way; `began` is the move that did it, None where it left."""
    if began is None:
        return say("Overtaken: {v} serves no more, and nothing is in Production.", v=v(version))
    how = say(_MOVED_BY.get(began.kind, "{who} moved it."), who=shown(began.actor))
    if began.version == version:
        return say(
            "Overtaken: {v} left Production and is back. This was about its earlier time there. {how}",
            v=v(version),
            how=how,
        )
    return say(
        "Overtaken: {now} replaced {v} in Production. This was about {v} only. {how}",
        v=v(version),
        now=v(began.version),
        how=how,
    )


_MOVED_BY = {
    MoveKind.PROMOTION: "{who} approved that last.",
    MoveKind.BREAK_GLASS: "{who} broke the glass.",
    MoveKind.ROLLBACK: "{who} rolled it back.",
    MoveKind.OBSERVED: "It was moved in MLflow.",
}


def unwatched(ending: Ending, monitor: str, by: Actor | None) -> Say:
    """Return how it ends where its last monitor was paused, changed, or removed."""
    if by is None:
        return say(
            "Ended: {monitor} was paused, changed, or removed, so nothing watches this now.", monitor=Code(monitor)
        )
    who = say("The policy file") if isinstance(by, Automation) else say("{who}", who=shown(by))
    return say(_UNWATCHED[ending], who=who, monitor=Code(monitor))


_UNWATCHED = {
    Ending.PAUSED: "{who} paused {monitor}, so nothing watches this now.",
    Ending.EDITED: "{who} changed {monitor}, so it starts over, and this ends.",
    Ending.REMOVED: "{who} removed {monitor}, so nothing watches this now.",
}


def resolved(incident: Incident) -> Say:
    """Return how it ended, for the thread."""
    return incident.resolution or say("It is over.")


# -- the breaker -------------------------------------------------------------------------------------------------------


def tripped(breaker: Tripped) -> Say:
    """Return what the channel hears when automatic rollbacks stop."""
    reset = Code(f"/model monitor reset {breaker.model or '--all'}")
    return say(
        "⛔ Automatic rollbacks of {model} have stopped. {why} From now on every monitor asks first; an admin "
        "lets them go on with {reset}",
        model=_all_or(breaker.model),
        why=breaker.why,
        reset=reset,
    )


def breaker_reset(model: str, by: Actor) -> Say:
    """Return what the channel hears when they go on."""
    return say("{who} lets automatic rollbacks of {model} go on.", who=shown(by), model=_all_or(model))


def _all_or(model: str) -> object:
    return Name(model) if model else "all models"
