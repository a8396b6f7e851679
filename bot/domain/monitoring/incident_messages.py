"""Messages about incidents, for their threads, the channel, and the audit log: what happened and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.domain.core.actors import Actor, Automation, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Mention, MessageLink, Name, Sentence, join_sentences, say
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.transitions.transition import Transition, TransitionKind

NO_ACTION_NEEDED = say("No action needed.")
MAX_MENTIONED = 10  # people and groups on call, in one message


def version_code(version: int | None) -> Code:
    """Return a version formatted for a sentence: `v4`, or `?` if it's unknown."""
    return Code("?" if version is None else f"v{version}")


def subject(incident: Incident) -> Sentence:
    """Return what an incident is about: a model and its version, or a source."""
    if incident.is_of_source:
        return say("the source {source}", source=Code(incident.source))
    if incident.version is None:
        return say("{model}", model=Name(incident.model))
    return say("{model} {v}", model=Name(incident.model), v=version_code(incident.version))


def monitor_line(monitor: Monitor, why: Sentence) -> Sentence:
    """Return an incident's line for a monitor: its name and why it failed."""
    return say("{monitor}: {why}", monitor=Code(monitor.name), why=why)


def source_line(monitor: Monitor, why: Sentence) -> Sentence:
    """Return a monitor's line in an incident about a source. It also names the model, since several can be affected."""
    return say("{model} {monitor}: {why}", model=Name(monitor.model), monitor=Code(monitor.name), why=why)


def blind_reason(monitor: Monitor, status: MonitorStatus, why: Sentence) -> Sentence:
    """Return why there's no verdict and what that means for an armed monitor, for `monitor_line` and `source_line`."""
    if status is not MonitorStatus.CANT_JUDGE:
        return why
    if not monitor.is_armed:
        return say("can't judge. {why}", why=why)
    return say("can't judge. {why} It stays armed but won't roll back until it reaches a verdict again.", why=why)


# -- how it begins, and what was done ----------------------------------------------------------------------------------


def monitor_joined(line: Sentence) -> Sentence:
    """Return the message that another monitor has failed in the same incident."""
    return say("Also failing: {line}", line=line)


def target_skipped(version: int, min_served: timedelta) -> Sentence:
    """Return why the rollback skips the previous version."""
    return say(
        "Skipped {v}: under {least} in Production, not proven.",
        v=version_code(version),
        least=format_duration(min_served),
    )


def action_taken(incident: Incident) -> Sentence:
    """Return what was done, what prevented more, and what to do next. Post it when the incident's `doing` changes."""
    if incident.doing is IncidentStatus.INTENT:
        step = say("{old} → {new}", old=version_code(incident.version), new=version_code(incident.target))
        return say("Rolling back {step} automatically. {nothing}", step=step, nothing=NO_ACTION_NEEDED)
    parts = [status_sentence(incident), *([incident.why] if incident.why else []), next_step(incident)]
    return join_sentences(parts, " ")


def status_sentence(incident: Incident) -> Sentence:
    """Return what was done about an incident, in one sentence."""
    if incident.kind is IncidentKind.FILES and incident.is_open:
        return say("The files of {it} aren't the ones that were recorded.", it=subject(incident))
    return say(
        _STATUS_SENTENCES[incident.doing],
        it=subject(incident),
        to=version_code(incident.target),
        bad=version_code(incident.version),
    )


_STATUS_SENTENCES = {
    IncidentStatus.LOGGED: "Recorded; no alert sent.",
    IncidentStatus.NOTIFIED: "Production is unchanged.",
    IncidentStatus.AWAITING_HUMAN: "Production stays unchanged until someone decides.",
    IncidentStatus.INTENT: "Rolling {it} back to {to}.",
    IncidentStatus.ROLLED_BACK: "Rolled back: {to} is in Production, verified in {product}. {bad} is blocked.",
    IncidentStatus.NOT_FOLLOWED: "Rolled back: {to} is in Production and {bad} is blocked, "
    "but the endpoint hasn't confirmed it.",
    IncidentStatus.SILENCED: "Production is unchanged.",
    IncidentStatus.FROZEN: "Production is unchanged because it's frozen.",
    IncidentStatus.COOLDOWN: "Production is unchanged: the last rollback is too recent for another automatic one.",
    IncidentStatus.TRIPPED: "Production is unchanged: automatic rollbacks have stopped.",
    IncidentStatus.SUPERSEDED: "No rollback: this incident is superseded.",
    IncidentStatus.HELD: "Production is unchanged.",
    IncidentStatus.FAILED: "The rollback to {to} failed, so {bad} is still in Production.",
}


def next_step(incident: Incident) -> Sentence:
    """Return what a person has to do now, with the exact command if there is one."""
    if not incident.is_open or incident.doing in _STATUSES_WITHOUT_ACTION:
        return NO_ACTION_NEEDED
    if incident.kind is IncidentKind.FILES:
        return say("Find out who changed the files. Restore them, or run {back}", back=rollback_command(incident))
    if incident.kind is not IncidentKind.FAILED:
        return _source_step(incident)
    return _decision_step(incident)


def _decision_step(incident: Incident) -> Sentence:
    decide, back = say("Roll back to {to}?", to=version_code(incident.target)), rollback_command(incident)
    match incident.doing:
        case IncidentStatus.AWAITING_HUMAN | IncidentStatus.COOLDOWN if incident.target is not None:
            return say("{decide} Press the button or run {back}", decide=decide, back=back)
        case IncidentStatus.TRIPPED if incident.target is not None:
            return say(
                "{decide} Press the button or run {back} (an admin can resume automatic rollbacks with {reset})",
                decide=decide,
                back=back,
                reset=_reset_command(incident),
            )
        case IncidentStatus.FROZEN if incident.target is not None:
            return say(
                "{decide} The freeze doesn't block a manual rollback. Press the button or run {back}",
                decide=decide,
                back=back,
            )
        case IncidentStatus.HELD if incident.target is None:
            return say("Choose a version to roll back to. Nothing happens automatically.")
        case IncidentStatus.HELD if reason_of(incident.why) == Reason.MAY_NOT_LOAD:
            return say(
                "Roll back to another version ({history} lists them), or to this one with --force.",
                history=Code(f"/model history {incident.model}"),
            )
        case IncidentStatus.HELD if reason_of(incident.why) == Reason.LOADABILITY_UNKNOWN:
            return say(
                "Wait. If {bad} is at fault, run {back}",
                bad=version_code(incident.version),
                back=rollback_command(incident, " --force"),
            )
        case IncidentStatus.FAILED:
            return say(
                "Run {back} (if that fails too, put {to} into Production in {product})",
                back=back,
                to=version_code(incident.target),
            )
        case _:
            return say("If {bad} is at fault, run {back}", bad=version_code(incident.version), back=back)


_STATUSES_WITHOUT_ACTION = {
    IncidentStatus.LOGGED,
    IncidentStatus.INTENT,
    IncidentStatus.ROLLED_BACK,
    IncidentStatus.NOT_FOLLOWED,
    IncidentStatus.SUPERSEDED,
}


def rollback_command(incident: Incident, flag: str = "") -> Code:
    """Return the command for running the incident's rollback manually."""
    to = "" if incident.target is None else f" {incident.target}"
    return Code(f'/model rollback {incident.model}{to}{flag} --reason "…"')


def _reset_command(incident: Incident) -> Code:
    """Return the command that resumes automatic rollbacks: for this model, or for all if that limit was reached."""
    is_of_all = reason_of(incident.why) == Reason.LIMIT_OF_ALL_REACHED
    return Code("/model monitor reset --all" if is_of_all else f"/model monitor reset {incident.model}")


def _source_step(incident: Incident) -> Sentence:
    if incident.model and incident.monitors:
        check = Code(f"/model monitor check {incident.model} {incident.monitors[0]}")
        return say("Find out why the monitor can't reach a verdict, then run {check}", check=check)
    return say("Check that {source} is up and that its values are correct.", source=Code(incident.source))


# -- while it's open ---------------------------------------------------------------------------------------------------


def ownership(incident: Incident, on_call: Sequence[str] = ()) -> Sentence:
    """Return who acknowledged the incident and when. If no one has, mention the users or user groups on call."""
    if incident.acknowledged_by is None:
        return say("Unacknowledged. On call: {who}", who=_mentions(on_call)) if on_call else say("Unacknowledged.")
    return say("Acknowledged by {who}, {at}.", who=format_actor(incident.acknowledged_by), at=incident.acknowledged_at)


def acknowledged(by: Actor) -> Sentence:
    """Return the message that someone acknowledged an incident."""
    return say("{who} acknowledged this. No more reminders.", who=format_actor(by))


def acknowledged_before(incident: Incident, now: datetime) -> Sentence:
    """Return the answer to someone who acknowledges an incident that someone else has already acknowledged."""
    return say(
        "{who} acknowledged this {age} ago.",
        who=format_actor(incident.acknowledged_by) if incident.acknowledged_by else "Someone",
        age=format_duration(now - (incident.acknowledged_at or now)),
    )


def silenced(by: Actor, until: datetime, reason: str = "") -> Sentence:
    """Return the message that an incident's monitors are silenced."""
    why = say(": {reason}", reason=reason) if reason else say("")
    return say(
        "{who} silenced this until {until}{why}. No alerts and no rollback until then; checks continue.",
        who=format_actor(by),
        until=until,
        why=why,
    )


def reminder(incident: Incident, now: datetime, on_call: Sequence[str] = ()) -> Sentence:
    """Return the reminder about an open, unacknowledged incident; it mentions those on call again."""
    return say(
        "Still open and unacknowledged after {age}. {who}{next}",
        age=format_duration(now - incident.since),
        next=next_step(incident),
        who=say("On call: {who}. ", who=_mentions(on_call)) if on_call else "",
    )


def _mentions(people: Sequence[str]) -> list[Mention]:
    return [Mention(slack_id) for slack_id in people[:MAX_MENTIONED]]


# -- how it ends: sentences for `resolution` ---------------------------------------------------------------------------


def restored(version: int, since: datetime, blocked_version: int | None, by: Actor | None = None) -> Sentence:
    """Return the resolution after a successful rollback; `by` is the person who pressed the button, if anyone did."""
    who = say(" {who} rolled it back.", who=format_actor(by)) if by else say("")
    if blocked_version is None:
        return say(
            "Restored: {v} has been in Production since {since}.{who}", v=version_code(version), since=since, who=who
        )
    return say(
        "Restored: {v} has been in Production since {since}; {bad} is blocked.{who}",
        v=version_code(version),
        since=since,
        bad=version_code(blocked_version),
        who=who,
    )


def recovered_after_rollback(version: int, since: datetime, now: datetime) -> Sentence:
    """Return the resolution after the restored version has passed its checks."""
    return say(
        "Restored and recovered: {v} is healthy {age} after the rollback.",
        v=version_code(version),
        age=format_duration(now - since),
    )


def recovered(version: int | None, since: datetime, now: datetime) -> Sentence:
    """Return the resolution of an incident that recovered without a rollback."""
    return say(
        "Recovered: {v} is healthy again after {age}. Production is unchanged.",
        v=version_code(version),
        age=format_duration(now - since),
    )


def not_confirmed(version: int) -> Sentence:
    """Return the resolution after a rollback that the endpoint didn't confirm in time."""
    return say(
        "Failed: {v} is in Production, but the endpoint didn't confirm it in time. Check the endpoint and reload {v} "
        "there. Another rollback would only change the registry.",
        v=version_code(version),
    )


def monitoring_is_back(since: datetime, now: datetime) -> Sentence:
    """Return the resolution after all of an incident's monitors have a verdict again or are warming up."""
    return say("Monitoring is back after {age}.", age=format_duration(now - since))


def source_recovered(source: str, since: datetime, now: datetime) -> Sentence:
    """Return the resolution of an incident about a source whose monitors have recovered."""
    return say(
        "The monitors that use {source} have recovered, after failing together for {age}.",
        source=Code(source),
        age=format_duration(now - since),
    )


def rolled_back_manually(move: Transition) -> Sentence:
    """Return the resolution after a manual rollback of Production."""
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
    """Return the resolution after Production changed, but not by this incident's rollback or a manual one.

    `transition` is the one that changed it; None if the version left Production without a successor.
    """
    v = version_code(version)
    if transition is None:
        return say("Superseded: {v} left Production, and nothing replaced it.", v=v)
    how = say(_TRANSITION_SENTENCES.get(transition.kind, "{who} changed it."), who=format_actor(transition.actor))
    if transition.version == version:
        return say(
            "Superseded: {v} left Production and came back. This was about its earlier time in Production. {how}",
            v=v,
            how=how,
        )
    now = version_code(transition.version)
    return say("Superseded: {now} replaced {v} in Production. {how}", v=v, now=now, how=how)


_TRANSITION_SENTENCES = {
    TransitionKind.PROMOTION: "{who} gave the last approval.",
    TransitionKind.BREAK_GLASS: "{who} used break glass.",
    TransitionKind.ROLLBACK: "{who} rolled it back.",
    TransitionKind.OBSERVED: "It was changed in {product}.",
}


def unwatched(ending: IncidentEnding, monitor: str, by: Actor | None) -> Sentence:
    """Return the resolution after an incident's last active monitor was paused, changed, or removed."""
    if by is None:
        return say(
            "Ended: {monitor} was paused, changed, or removed, so nothing monitors this now.", monitor=Code(monitor)
        )
    who = say("The policy file") if isinstance(by, Automation) else say("{who}", who=format_actor(by))
    return say(_UNWATCHED_SENTENCES[ending], who=who, monitor=Code(monitor))


_UNWATCHED_SENTENCES = {
    IncidentEnding.PAUSED: "{who} paused {monitor}, so nothing monitors this now.",
    IncidentEnding.EDITED: "{who} changed {monitor}, so its checks start over and this incident is closed.",
    IncidentEnding.REMOVED: "{who} removed {monitor}, so nothing monitors this now.",
}


def resolved(incident: Incident) -> Sentence:
    """Return how the incident ended, for its thread."""
    return incident.resolution or say("Resolved.")


# -- the circuit breaker -----------------------------------------------------------------------------------------------


def breaker_tripped(breaker: TrippedBreaker, incident: MessageLink) -> Sentence:
    """Return the channel message that automatic rollbacks have stopped because of an incident."""
    reset = Code(f"/model monitor reset {breaker.model or '--all'}")
    return say(
        "⛔ Automatic rollbacks of {model} have stopped. {why} Monitors now ask before rolling back. {incident}. An "
        "admin can resume automatic rollbacks with {reset}",
        model=_model_or_all(breaker.model),
        why=breaker.why,
        incident=incident,
        reset=reset,
    )


def breaker_reset(model: str, by: Actor) -> Sentence:
    """Return the channel message that someone resumed automatic rollbacks."""
    return say("{who} resumed automatic rollbacks of {model}.", who=format_actor(by), model=_model_or_all(model))


def _model_or_all(model: str) -> object:
    return Name(model) if model else "all models"
