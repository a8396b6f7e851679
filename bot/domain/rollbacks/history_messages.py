"""Sentences about the Production timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.domain.core.actors import MONITOR_AUTOMATION, Actor, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, say, truncate
from bot.domain.promotions.request import Request
from bot.domain.rollbacks.history import ProductionChange, Timeline, format_day, production_changes
from bot.domain.rollbacks.rollback_targets import ServingPeriod, period_at
from bot.domain.transitions.transition import TransitionKind

MAX_REASON_LENGTH = 200  # characters of a reason in a row; the audit log has the full text
MAX_OVERRIDE_REASON_LENGTH = 100  # characters of why failed gates were overridden
MAX_LISTED_CHANGES = 8  # changes in one sentence


def actor_label(actor: Actor) -> object:
    """Return an actor's label, for use in a message."""
    return "the monitor" if actor == MONITOR_AUTOMATION else format_actor(actor)


def describe_period(period: ServingPeriod, timeline: Timeline) -> Sentence:
    """Return when, and for how long, a version served."""
    lasted = format_duration(period.duration(timeline.now))
    if period.predates_registrar:
        since, lasted = say("first seen {at}", at=period.since), f"at least {lasted}"
    else:
        since = say("since {at}" if period.until is None else "{at}", at=period.since)
    if period.until is None:
        return say("serving now, {since} ({lasted})", since=since, lasted=lasted)
    return say("{since} to {until} ({lasted})", since=since, until=period.until, lasted=lasted)


def describe_entry(period: ServingPeriod, timeline: Timeline, max_reason_length: int = MAX_REASON_LENGTH) -> Sentence:
    """Return how a version got into Production, and why."""
    transition = period.started_by
    request = timeline.requests.get(transition.request or "")
    reason = (request.reason if request else "") or transition.reason
    why = say(": {why}", why=truncate(reason, max_reason_length)) if reason else say("")
    return say(
        "{how}{why}",
        how=_describe_cause(period, request, timeline.approvers.get(transition.request or "", ())),
        why=why,
    )


def _describe_cause(period: ServingPeriod, request: Request | None, approvers: Sequence[Actor]) -> Sentence:
    transition = period.started_by
    match transition.kind:
        case TransitionKind.ROLLBACK:
            replaced = (
                say(" from {v}", v=Code(f"v{transition.expected_incumbent}"))
                if transition.expected_incumbent
                else say("")
            )
            return say("rolled back{gone} by {who}", gone=replaced, who=actor_label(transition.actor))
        case TransitionKind.BREAK_GLASS:
            return say(
                "promoted without approvals by {who} (break glass), request {id}",
                who=actor_label(transition.actor),
                id=Code(transition.request or "?"),
            )
        case TransitionKind.REPAIR:
            return say("repaired by {who}", who=actor_label(transition.actor))
        case TransitionKind.IMPORTED:
            return say("imported by {who}", who=actor_label(transition.actor))
        case TransitionKind.OBSERVED if period.predates_registrar:
            return say("already in Production when Registrar first looked")
        case TransitionKind.OBSERVED:
            return say("changed in {product}, outside Registrar")
    if request is None:
        return say("promoted by {who}", who=actor_label(transition.actor))
    overridden = say("")
    if request.overridden_by is not None:
        overridden = say(
            ", gates overridden by {who} ({why})",
            who=actor_label(request.overridden_by),
            why=truncate(request.override_reason, MAX_OVERRIDE_REASON_LENGTH),
        )
    return say(
        "promoted: requested by {asker}, approved by {who}{passed}, request {id}",
        asker=actor_label(request.requester),
        who=[actor_label(approver) for approver in approvers or [transition.actor]],
        passed=overridden,
        id=Code(request.id),
    )


def describe_production_at(timeline: Timeline) -> Sentence:
    """Return what was in Production at the requested time or day."""
    window = timeline.window
    assert window is not None
    is_recorded = timeline.watched_since is not None and window.start >= timeline.watched_since
    first = period_at(timeline.periods, window.start)
    then = production_changes(timeline.periods, window)
    if first is None and not is_recorded and not then:
        return _no_record_message(timeline)
    if window.day is None or window.end is None:
        return _describe_moment(timeline, first)
    is_over = window.end - window.start >= timedelta(days=1)
    day, model = format_day(window.day), Name(timeline.model)
    if not then:
        subject = Code(f"v{first.version}") if first else "No version"
        return say(
            "{who} of {model} was in Production all day on {day} (UTC){so_far}."
            if first
            else "{who} of {model} was in Production on {day} (UTC){so_far}.",
            who=subject,
            model=model,
            day=day,
            so_far="" if is_over else ", so far",
        )
    sentences = [_describe_change(change) for change in then[:MAX_LISTED_CHANGES]]
    if (omitted := len(then) - len(sentences)) > 0:
        sentences.append(say("and {n} more changes", n=omitted))
    changes = join_sentences(sentences, ", ")
    if first is None and not is_recorded:
        return say("Production of {model} on {day} (UTC): {then}.", day=day, model=model, then=changes)
    began: object = Code(f"v{first.version}") if first else "no version"
    return say(
        "Production of {model} on {day} (UTC): {began}, then {then}.", day=day, began=began, model=model, then=changes
    )


def _describe_change(change: ProductionChange) -> Sentence:
    subject = "no version" if change.version is None else Code(f"v{change.version}")
    return say("{v}, first seen {at}" if change.predates_registrar else "{v} from {at}", v=subject, at=change.at)


def _describe_moment(timeline: Timeline, period: ServingPeriod | None) -> Sentence:
    assert timeline.window is not None
    at, model = timeline.window.start, Name(timeline.model)
    if period:
        return say("{v} of {model} was in Production at {at}.", v=Code(f"v{period.version}"), model=model, at=at)
    hints = []
    if timeline.before and timeline.before.until:
        hints.append(say(" {v} was there until {at}.", v=Code(f"v{timeline.before.version}"), at=timeline.before.until))
    if timeline.after:
        hints.append(
            say(" {v} entered Production at {at}.", v=Code(f"v{timeline.after.version}"), at=timeline.after.since)
        )
    return say(
        "No version of {model} was in Production at {at}.{hints}", model=model, at=at, hints=join_sentences(hints, "")
    )


def _no_record_message(timeline: Timeline) -> Sentence:
    model = Name(timeline.model)
    if timeline.watched_since is None:
        return say("No record: Registrar hasn't seen {model} in Production yet.", model=model)
    hint = say("")
    if timeline.after and timeline.after.predates_registrar:
        hint = say(" {v} was already in Production then.", v=Code(f"v{timeline.after.version}"))
    elif timeline.after and timeline.after.started_by.expected_incumbent:
        hint = say(
            " {old} was in Production before {v} ({at}).",
            v=Code(f"v{timeline.after.version}"),
            at=timeline.after.since,
            old=Code(f"v{timeline.after.started_by.expected_incumbent}"),
        )
    return say(
        "No record: Registrar has been watching {model} only since {at}.{hint}",
        model=model,
        at=timeline.watched_since,
        hint=hint,
    )
