"""What people read about an incident, in its thread, the channel, and the audit log: what happened, and what to do."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.core.actors import Actor, Automation, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, say
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.transitions.transition import Transition, TransitionKind

NO_ACTION_NEEDED = say("Nobody has to do anything.")


def version_code(version: int | None) -> Code:
    """Return a version as a value for a sentence."""
    return Code("?" if version is None else f"v{version}")


def subject(incident: Incident) -> Sentence:
    """Return what it is about: a model and its version, or a source."""
    if incident.is_of_source:
        return say("the source {source}", source=Code(incident.source))
    if incident.version is None:
        return say("{model}", model=Name(incident.model))
    return say("{model} {v}", model=Name(incident.model), v=version_code(incident.version))


def monitor_line(monitor: Monitor, why: Sentence) -> Sentence:
    """Return what failed, as an incident keeps it: the monitor, and its value against the bound."""
    return say("{monitor}: {why}", monitor=Code(monitor.name), why=why)


def source_line(monitor: Monitor, why: Sentence) -> Sentence:
    """Return the same for an incident of a source, in which the monitors are of several models."""
    return say("{model} {monitor}: {why}", model=Name(monitor.model), monitor=Code(monitor.name), why=why)


def blind_reason(monitor: Monitor, status: MonitorStatus, why: Sentence) -> Sentence:
    """Return why nothing is known, for `line` and `source_line`, and what that means for an armed monitor."""
    if status is not MonitorStatus.CANT_JUDGE:
        return why
    if not monitor.is_armed:
        return say("can't judge. {why}", why=why)
    return say("can't judge. {why} It stays armed, but won't roll back until it judges again.", why=why)


# -- how it begins, and what is done -----------------------------------------------------------------------------------


def opened(incident: Incident) -> Sentence:
    """Return what an incident's thread, the audit and whoever is called hear first."""
    what = join_sentences(incident.lines, " ") if incident.lines else say("")
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


def monitor_joined(line: Sentence) -> Sentence:
    """Return the news that another monitor has failed in the same incident."""
    return say("Failed as well: {line}", line=line)


def target_skipped(version: int, min_served: timedelta) -> Sentence:
    """Return why the version before is not the one that is gone back to."""
    return say(
        "Not {v}: it served for less than {least}, so nobody knows that it is good.",
        v=version_code(version),
        least=format_duration(min_served),
    )


def action_taken(incident: Incident) -> Sentence:
    """Return what was done about it, or why not more, and what to do next: for the thread, whenever `doing` changes."""
    if incident.doing is IncidentStatus.INTENT:  # the line before says what is rolled back
        return say("It goes by itself. {nothing}", nothing=NO_ACTION_NEEDED)
    parts = [status_sentence(incident), *([incident.why] if incident.why else []), next_step(incident)]
    return join_sentences(parts, " ")


def status_sentence(incident: Incident) -> Sentence:
    """Return what was done about it, in one sentence."""
    return say(
        _STATUS_SENTENCES[incident.doing],
        it=subject(incident),
        to=version_code(incident.target),
        bad=version_code(incident.version),
    )


_STATUS_SENTENCES = {
    IncidentStatus.LOGGED: "Written down, and nobody was alerted.",
    IncidentStatus.NOTIFIED: "Nothing was moved.",
    IncidentStatus.AWAITING_HUMAN: "Nothing is moved until somebody decides.",
    IncidentStatus.INTENT: "Rolling {it} back to {to}.",
    IncidentStatus.ROLLED_BACK: "Rolled back: {to} is in Production, read back from {product}. {bad} is blocked.",
    IncidentStatus.NOT_FOLLOWED: "Rolled back: {to} is in Production, {bad} is blocked; "
    "the serving side has not confirmed it.",
    IncidentStatus.SILENCED: "Nothing was moved.",
    IncidentStatus.FROZEN: "Nothing was moved: Production is frozen.",
    IncidentStatus.COOLDOWN: "Nothing was moved: the last rollback is too recent to make another one without a person.",
    IncidentStatus.TRIPPED: "Nothing was moved: automatic rollbacks have stopped.",
    IncidentStatus.SUPERSEDED: "Nothing was moved: it is overtaken.",
    IncidentStatus.HELD: "Nothing was moved.",
    IncidentStatus.FAILED: "The rollback to {to} failed, so {bad} still serves.",
}


def next_step(incident: Incident) -> Sentence:
    """Return in one sentence what a person has to do now, with the exact command where there is one."""
    if not incident.is_open or incident.doing in _STATUSES_WITHOUT_ACTION:
        return NO_ACTION_NEEDED
    if incident.kind is not IncidentKind.FAILED:
        return _source_step(incident)
    return _decision_step(incident)


def _decision_step(incident: Incident) -> Sentence:
    decide, back = say("Decide: roll back to {to}?", to=version_code(incident.target)), rollback_command(incident)
    match incident.doing:
        case IncidentStatus.AWAITING_HUMAN | IncidentStatus.COOLDOWN if incident.target is not None:
            return say("{decide} Press the button, or type {back}", decide=decide, back=back)
        case IncidentStatus.TRIPPED if incident.target is not None:
            return say(
                "{decide} Press the button, or type {back} An admin lets them go on with {reset}",
                decide=decide,
                back=back,
                reset=_reset_command(incident),
            )
        case IncidentStatus.FROZEN if incident.target is not None:
            return say(
                "{decide} A person may, frozen or not. Press the button, or type {back}", decide=decide, back=back
            )
        case IncidentStatus.HELD if incident.target is None:
            return say("Decide which version should serve; nothing happens by itself.")
        case IncidentStatus.HELD if reason_of(incident.why) == Reason.MAY_NOT_LOAD:
            return say(
                "Decide: another version, as {history} lists them, or this one with --force.",
                history=Code(f"/model history {incident.model}"),
            )
        case IncidentStatus.HELD if reason_of(incident.why) == Reason.LOADABILITY_UNKNOWN:
            return say(
                "Wait, or decide: if {bad} is really bad, type {back}",
                bad=version_code(incident.version),
                back=rollback_command(incident, " --force"),
            )
        case IncidentStatus.FAILED:
            return say(
                "Do this: {back} If that fails as well, move {to} to Production in {product}.",
                back=back,
                to=version_code(incident.target),
            )
        case _:
            return say("Decide: if {bad} is really bad, type {back}", bad=version_code(incident.version), back=back)


_STATUSES_WITHOUT_ACTION = {
    IncidentStatus.LOGGED,
    IncidentStatus.INTENT,
    IncidentStatus.ROLLED_BACK,
    IncidentStatus.NOT_FOLLOWED,
    IncidentStatus.SUPERSEDED,
}


def rollback_command(incident: Incident, flag: str = "") -> Code:
    """Return the command with which a person does by hand what the incident is about."""
    to = "" if incident.target is None else f" {incident.target}"
    return Code(f'/model rollback {incident.model}{to}{flag} --reason "…"')


def _reset_command(incident: Incident) -> Code:
    """Return the command that lets automatic rollbacks go on: of this model, or of all where that was the limit."""
    is_of_all = reason_of(incident.why) == Reason.LIMIT_OF_ALL_REACHED
    return Code("/model monitor reset --all" if is_of_all else f"/model monitor reset {incident.model}")


def _source_step(incident: Incident) -> Sentence:
    if incident.model and incident.monitors:
        check = Code(f"/model monitor check {incident.model} {incident.monitors[0]}")
        return say("Find out why it can't judge, then {check}", check=check)
    return say("Look at {source}: is it up, and are its figures right?", source=Code(incident.source))


# -- while it lasts ----------------------------------------------------------------------------------------------------


def acknowledged(incident: Incident) -> Sentence:
    """Return the news that somebody looks after it; without anybody, that nobody does."""
    if incident.acknowledged_by is None:
        return say("Nobody looks after it yet.")
    return say("{who} looks after it. I stop reminding.", who=format_actor(incident.acknowledged_by))


def silenced(by: Actor, until: datetime, reason: str = "") -> Sentence:
    """Return the news that an incident's monitors are silenced."""
    why = say(": {reason}", reason=reason) if reason else say("")
    return say(
        "{who} silenced this until {until}{why}. Until then nothing is posted and nothing moved; it is measured "
        "all the same.",
        who=format_actor(by),
        until=until,
        why=why,
    )


def reminder(incident: Incident, now: datetime) -> Sentence:
    """Return the reminder of an incident that goes on and that nobody looks after."""
    return say(
        "Still so, for {age} now, and nobody looks after it. {next}",
        age=format_duration(now - incident.since),
        next=next_step(incident),
    )


# -- how it ends: sentences for `resolution` ---------------------------------------------------------------------------


def restored(version: int, since: datetime, blocked_version: int | None, by: Actor | None = None) -> Sentence:
    """Return how a rollback ends that worked; `by` is the person who pressed the button, where one did."""
    who = say(" {who} rolled it back.", who=format_actor(by)) if by else say("")
    if blocked_version is None:
        return say("Restored: {v} has served since {since}.{who}", v=version_code(version), since=since, who=who)
    return say(
        "Restored: {v} has served since {since}, {bad} is blocked.{who}",
        v=version_code(version),
        since=since,
        bad=version_code(blocked_version),
        who=who,
    )


def recovered_after_rollback(version: int, since: datetime, now: datetime) -> Sentence:
    """Return how it ends where the restored version has passed its checks."""
    return say(
        "Restored and recovered: {v} is healthy, {age} after the rollback.",
        v=version_code(version),
        age=format_duration(now - since),
    )


def recovered(version: int | None, since: datetime, now: datetime) -> Sentence:
    """Return how it ends where the figures came back by themselves."""
    return say(
        "Recovered: {v} is well again, after {age}. Nothing was moved.",
        v=version_code(version),
        age=format_duration(now - since),
    )


def not_confirmed(version: int) -> Sentence:
    """Return how a rollback ends of which the serving side has not confirmed in time that it follows."""
    return say(
        "Failed: {v} is in Production, and the serving side has not confirmed in time that it serves it. Do this: ask "
        "it yourself, and let it load {v} anew, as after any deployment. Another rollback changes the registry only.",
        v=version_code(version),
    )


def monitoring_is_back(since: datetime, now: datetime) -> Sentence:
    """Return how it ends where the last of its monitors is measured and judged again, or warms up."""
    return say("Monitoring is back after {age}.", age=format_duration(now - since))


def source_recovered(source: str, since: datetime, now: datetime) -> Sentence:
    """Return how it ends where a source is trusted again."""
    return say(
        "The monitors of {source} no longer fail together, after {age}.",
        source=Code(source),
        age=format_duration(now - since),
    )


def rolled_back_manually(move: Transition) -> Sentence:
    """Return how it ends where a person rolled Production back."""
    if move.expected_incumbent is None:
        return say(
            "{who} rolled Production back to {now}.", who=format_actor(move.actor), now=version_code(move.version)
        )
    return say(
        "{who} rolled Production back from {was} to {now}.",
        who=format_actor(move.actor),
        was=version_code(move.expected_incumbent),
        now=version_code(move.version),
    )


def superseded(version: int | None, transition: Transition | None) -> Sentence:
    """Return how it ends where Production moved in another way.

    `transition` is the move that did it, None where it left.
    """
    v = version_code(version)
    if transition is None:
        return say("Overtaken: {v} serves no more, and nothing is in Production.", v=v)
    how = say(_TRANSITION_SENTENCES.get(transition.kind, "{who} moved it."), who=format_actor(transition.actor))
    if transition.version == version:
        return say(
            "Overtaken: {v} left Production and is back. This was about its earlier time there. {how}", v=v, how=how
        )
    now = version_code(transition.version)
    return say("Overtaken: {now} replaced {v} in Production. This was about {v} only. {how}", v=v, now=now, how=how)


_TRANSITION_SENTENCES = {
    TransitionKind.PROMOTION: "{who} approved that last.",
    TransitionKind.BREAK_GLASS: "{who} broke the glass.",
    TransitionKind.ROLLBACK: "{who} rolled it back.",
    TransitionKind.OBSERVED: "It was moved in {product}.",
}


def unwatched(ending: IncidentEnding, monitor: str, by: Actor | None) -> Sentence:
    """Return how it ends where its last monitor was paused, changed, or removed."""
    if by is None:
        return say(
            "Ended: {monitor} was paused, changed, or removed, so nothing watches this now.", monitor=Code(monitor)
        )
    who = say("The policy file") if isinstance(by, Automation) else say("{who}", who=format_actor(by))
    return say(_UNWATCHED_SENTENCES[ending], who=who, monitor=Code(monitor))


_UNWATCHED_SENTENCES = {
    IncidentEnding.PAUSED: "{who} paused {monitor}, so nothing watches this now.",
    IncidentEnding.EDITED: "{who} changed {monitor}, so it starts over, and this ends.",
    IncidentEnding.REMOVED: "{who} removed {monitor}, so nothing watches this now.",
}


def resolved(incident: Incident) -> Sentence:
    """Return how it ended, for the thread."""
    return incident.resolution or say("It is over.")


# -- the breaker -------------------------------------------------------------------------------------------------------


def breaker_tripped(breaker: TrippedBreaker) -> Sentence:
    """Return what the channel hears when automatic rollbacks stop."""
    reset = Code(f"/model monitor reset {breaker.model or '--all'}")
    return say(
        "⛔ Automatic rollbacks of {model} have stopped. {why} From now on every monitor asks first; an admin "
        "lets them go on with {reset}",
        model=_model_or_all(breaker.model),
        why=breaker.why,
        reset=reset,
    )


def breaker_reset(model: str, by: Actor) -> Sentence:
    """Return what the channel hears when they go on."""
    return say("{who} lets automatic rollbacks of {model} go on.", who=format_actor(by), model=_model_or_all(model))


def _model_or_all(model: str) -> object:
    return Name(model) if model else "all models"
