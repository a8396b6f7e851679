"""An incident's review: its timeline, how long it took, who did what, and what to follow up on. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from bot.domain.audit.events import Event, EventTag
from bot.domain.audit.messages import describe_event
from bot.domain.core.actors import Automation, Person, format_actor, resolve_operator
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measurement
from bot.domain.rollbacks.history_messages import actor_label
from bot.domain.rollbacks.messages import blocked_version_notice
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState, transition_time

SLOW_ACKNOWLEDGMENT = timedelta(minutes=15)  # after this, the review says so
OLD_VERSION = timedelta(days=30)  # a restored version that first served longer ago might not fit its callers anymore
# What people do about an incident. Requests and refusals aren't listed.
REVIEWED_TAGS = (
    EventTag.INCIDENT_ACKNOWLEDGED,
    EventTag.MONITOR_SILENCED,
    EventTag.MONITOR_UNSILENCED,
    EventTag.MONITOR_PAUSED,
    EventTag.MONITOR_RESUMED,
    EventTag.MONITOR_EDITED,
    EventTag.MONITOR_REMOVED,
    EventTag.ROLLED_BACK,
    EventTag.ROLLBACK_FORCED,
    EventTag.UNBLOCKED,
    EventTag.BREAKER_RESET,
    EventTag.FROZEN,
    EventTag.UNFROZEN,
    EventTag.BROKE_GLASS,
    EventTag.APPROVED,
    EventTag.INCIDENT_RESOLVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFacts:
    """What the ledger knows about an incident."""

    incident: Incident
    monitors: Sequence[Monitor] = ()  # those of its monitors that still exist
    first_failure: Measurement | None = None  # the first failing check
    entered: Transition | None = None  # put the failing version into Production
    replaced: Transition | None = None  # put another version into Production, or was meant to
    serving: ServingCheck | None = None  # what the endpoint reported after that
    restored_first_at: datetime | None = None  # when the restored version first entered Production
    is_blocked: bool = False  # the failing version can't be rolled back to or requested
    breaker: TrippedBreaker | None = None
    events: Sequence[Event] = ()  # with one of REVIEWED_TAGS since the alert, oldest first


class ReviewEntry(NamedTuple):
    """Something that happened, and when."""

    at: datetime
    sentence: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReview:
    """The review of an incident. A duration is None if it's unknown or if what it measures didn't happen."""

    incident_id: str
    subject: Sentence
    failures: tuple[Sentence, ...]  # what failed, one for each monitor
    outcome: Sentence
    detected_after: timedelta  # from the first failing check to the alert
    acknowledged_after: timedelta | None  # from the alert
    restored_after: timedelta | None  # from the alert until the endpoint, or else the registry, had a good version
    timeline: tuple[ReviewEntry, ...]
    blocked: Sentence | None
    actions: tuple[ReviewEntry, ...]  # what people did
    follow_ups: tuple[Sentence, ...]
    names: Mapping[str, str]  # display names, by Slack ID, as the audit log recorded them


def has_review(incident: Incident) -> bool:
    """Return whether an incident gets a review when it ends. Only incidents about failed monitors do."""
    return incident.kind in {IncidentKind.FAILED, IncidentKind.SOURCE}


def review(facts: IncidentFacts) -> IncidentReview:
    """Return the review of an incident, or what's known so far if it isn't over."""
    incident = facts.incident
    people = [event for event in facts.events if not isinstance(event.actor, Automation)]
    ends = [event.at for event in facts.events if event.tag is EventTag.INCIDENT_RESOLVED]
    ended_at = max(ends, default=incident.resolved_at)
    restored_at = _restored_at(facts)
    return IncidentReview(
        incident_id=incident.id,
        subject=incident_messages.subject(incident),
        failures=incident.lines,
        outcome=incident.resolution or incident_messages.status_sentence(incident),
        detected_after=incident.opened_at - incident.since,
        acknowledged_after=incident.acknowledged_at - incident.opened_at if incident.acknowledged_at else None,
        restored_after=restored_at - incident.opened_at if restored_at else None,
        timeline=tuple(sorted(_timeline(facts, ended_at), key=lambda entry: entry.at)),
        blocked=blocked_version_notice(facts.replaced) if facts.is_blocked and facts.replaced else None,
        actions=tuple(
            ReviewEntry(event.at, describe_event(event, with_names=False))
            for event in people
            if event.tag is not EventTag.INCIDENT_RESOLVED and (ended_at is None or event.at <= ended_at)
        ),
        follow_ups=tuple(_follow_ups(facts)),
        names=_display_names(people),
    )


def _display_names(events: Sequence[Event]) -> dict[str, str]:
    actors = [(resolve_operator(event.actor), event.evidence.get("by") or {}) for event in events]
    return {actor.user: str(by["name"]) for actor, by in actors if isinstance(actor, Person) and by.get("name")}


def _restored_at(facts: IncidentFacts) -> datetime | None:
    """Return when a good version was serving again, according to the endpoint if it's checked, or else the registry."""
    if facts.incident.ending is IncidentEnding.NOT_CONFIRMED:
        return None
    if facts.serving is not None and facts.serving.confirmed_at:
        return facts.serving.confirmed_at
    if facts.replaced is not None and facts.replaced.state is TransitionState.DONE:
        return transition_time(facts.replaced)
    return facts.incident.resolved_at if facts.incident.ending is IncidentEnding.RECOVERED else None


# -- the timeline ------------------------------------------------------------------------------------------------------


def _timeline(facts: IncidentFacts, ended_at: datetime | None) -> Iterator[ReviewEntry]:
    incident, first = facts.incident, facts.first_failure
    if facts.entered is not None:
        entered = say("{v} entered Production.", v=incident_messages.version_code(facts.entered.version))
        yield ReviewEntry(transition_time(facts.entered), entered)
    why = say(" {why}", why=first.why) if first and first.why else say("")
    yield ReviewEntry(incident.since, say("First failing check.{why}", why=why))
    yield ReviewEntry(incident.opened_at, say("Alert posted."))
    if incident.acknowledged_at and incident.acknowledged_by:
        by = format_actor(incident.acknowledged_by)
        yield ReviewEntry(incident.acknowledged_at, say("Acknowledged by {who}.", who=by))
    if facts.replaced is not None:
        yield from _transition_entries(facts.replaced, facts.serving)
    if ended_at is not None:
        has_recovered = incident.ending is IncidentEnding.RECOVERED
        yield ReviewEntry(ended_at, say("Recovered.") if has_recovered else say("Incident closed."))


def _transition_entries(replaced: Transition, serving: ServingCheck | None) -> Iterator[ReviewEntry]:
    v = incident_messages.version_code(replaced.version)
    if replaced.kind is TransitionKind.ROLLBACK:
        started = say("Rollback to {v} started by {who}.", v=v, who=actor_label(replaced.actor))
        yield ReviewEntry(replaced.intended_at, started)
    if replaced.state is TransitionState.DONE:
        yield ReviewEntry(transition_time(replaced), say("{v} in Production, verified.", v=v))
    elif replaced.finished_at is not None:
        yield ReviewEntry(replaced.finished_at, say("{v} didn't reach Production. {why}", v=v, why=replaced.why))
    if serving is not None and serving.confirmed_at:
        yield ReviewEntry(serving.confirmed_at, say("The endpoint reported {v}.", v=v))
    elif serving is not None and serving.state is ServingCheckState.TIMED_OUT and serving.deadline:
        yield ReviewEntry(serving.deadline, say("Timed out waiting for the endpoint to report {v}.", v=v))


# -- follow-ups --------------------------------------------------------------------------------------------------------


def _follow_ups(facts: IncidentFacts) -> Iterator[Sentence]:
    incident, v = facts.incident, incident_messages.version_code(facts.incident.version)
    if incident.is_of_source:
        yield say("Find out why the source {source} affected several models.", source=Code(incident.source))
    elif facts.is_blocked:
        yield say("Find out why {v} failed before anyone requests it again.", v=v)
    elif facts.replaced is not None and facts.replaced.state is TransitionState.DONE:
        yield say("Find out why {v} failed. It isn't blocked, so it can still be requested or rolled back to.", v=v)
    else:  # as far as is known, it's still in Production
        yield say("Find out why {v} failed.", v=v)
    if incident.ending is IncidentEnding.NOT_CONFIRMED:
        yield say("Check the endpoint: it hasn't confirmed {v}.", v=incident_messages.version_code(incident.target))
    yield from _restored_version_follow_up(facts)
    yield from _acknowledgment_follow_up(incident)
    yield from filter(None, map(_monitor_follow_up, facts.monitors))
    if facts.breaker is not None:
        reset = Code(f"/model monitor reset {facts.breaker.model or '--all'}")
        yield say("Automatic rollbacks have stopped. An admin can resume them with {reset}", reset=reset)


def _restored_version_follow_up(facts: IncidentFacts) -> Iterator[Sentence]:
    replaced, first_at = facts.replaced, facts.restored_first_at
    if replaced is None or first_at is None or transition_time(replaced) - first_at < OLD_VERSION:
        return
    yield say(
        "{v} first entered Production {age} before this. Check that it still works with today's data and callers.",
        v=incident_messages.version_code(replaced.version),
        age=format_duration(timedelta(days=(transition_time(replaced) - first_at).days)),
    )


def _acknowledgment_follow_up(incident: Incident) -> Iterator[Sentence]:
    """Yield a follow-up if the incident was acknowledged late or not at all."""
    until = incident.acknowledged_at or incident.resolved_at
    if until is None or until - incident.opened_at < SLOW_ACKNOWLEDGMENT:
        return
    age, key = format_duration(until - incident.opened_at), Code("on_call")
    if incident.acknowledged_at:
        yield say("Acknowledged after {age}. Check who is on call ({key} in the policy).", age=age, key=key)
    else:
        yield say("No one acknowledged this in {age}. Check who is on call ({key} in the policy).", age=age, key=key)


def _monitor_follow_up(monitor: Monitor) -> Sentence | None:
    """Return what to change so that a monitor can do more next time; None if there's nothing to change."""
    name, model = Code(monitor.name), monitor.model
    if monitor.is_paused:
        return say(
            "{monitor} is paused. To resume it: {how}", monitor=name, how=Code(f"/model monitor resume {model} {name}")
        )
    if monitor.effective_action == "dry_run":
        how = Code(f"/model monitor edit {model} {name} --action notify")
        return say("{monitor} is in a dry run. To get alerts: {how}", monitor=name, how=how)
    if monitor.rule.action == "auto" and not monitor.is_armed:
        how = Code(f"/model monitor arm {model} {name}")
        return say("{monitor} isn't armed, so it asks before rolling back. To arm it: {how}", monitor=name, how=how)
    return None
