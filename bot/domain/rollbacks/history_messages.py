"""The timeline of Production in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.domain.core.actors import WATCH, Actor, shown
from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import Code, Name, Say, joined, say, short
from bot.domain.promotions.request import Request
from bot.domain.rollbacks.history import Change, Timeline, changes, write_day
from bot.domain.rollbacks.rollback import Served, served_at
from bot.domain.transitions.transition import MoveKind

REASON_MOST = 200  # characters of a reason in a row; the audit has the whole
OVERRIDE_MOST = 100  # characters of why failed gates were overridden
CHANGES_MOST = 8  # that are told in one sentence


def by(actor: Actor) -> object:
    """Return who did it, as a word in a sentence."""
    return "the monitor" if actor == WATCH else shown(actor)


def span(served: Served, timeline: Timeline) -> Say:
    """Return from when until when it served, and how long."""
    lasted = show_duration(served.lasted(timeline.now))
    if served.is_older_than_us:
        since, lasted = say("first seen {at}", at=served.since), f"at least {lasted}"
    else:
        since = say("since {at}" if served.until is None else "{at}", at=served.since)
    if served.until is None:
        return say("serves now, {since} ({lasted})", since=since, lasted=lasted)
    return say("{since} to {until} ({lasted})", since=since, until=served.until, lasted=lasted)


def came(served: Served, timeline: Timeline, most: int = REASON_MOST) -> Say:
    """Return how it came into Production, and why."""
    move = served.began
    request = timeline.requests.get(move.request or "")
    reason = (request.reason if request else "") or move.reason
    why = say(": {why}", why=short(reason, most)) if reason else say("")
    return say("{how}{why}", how=_how(served, request, timeline.approvers.get(move.request or "", ())), why=why)


def _how(served: Served, request: Request | None, approvers: Sequence[Actor]) -> Say:
    move = served.began
    match move.kind:
        case MoveKind.ROLLBACK:
            gone = say(" from {v}", v=Code(f"v{move.expected_incumbent}")) if move.expected_incumbent else say("")
            return say("rolled back{gone} by {who}", gone=gone, who=by(move.actor))
        case MoveKind.BREAK_GLASS:
            return say(
                "put there without approvals by {who}, who broke the glass: request {id}",
                who=by(move.actor),
                id=Code(move.request or "?"),
            )
        case MoveKind.MEND:
            return say("mended by {who}", who=by(move.actor))
        case MoveKind.IMPORTED:
            return say("imported by {who}", who=by(move.actor))
        case MoveKind.OBSERVED if served.is_older_than_us:
            return say("was in Production before Registrar looked")
        case MoveKind.OBSERVED:
            return say("moved in MLflow, not through Registrar")
    if request is None:
        return say("promoted by {who}", who=by(move.actor))
    passed = say("")
    if request.overridden_by is not None:
        passed = say(
            ", gates overridden by {who} ({why})",
            who=by(request.overridden_by),
            why=short(request.override_reason, OVERRIDE_MOST),
        )
    return say(
        "promoted: requested by {asker}, approved by {who}{passed}, request {id}",
        asker=by(request.requester),
        who=[by(one) for one in approvers or [move.actor]],
        passed=passed,
        id=Code(request.id),
    )


def answer(timeline: Timeline) -> Say:
    """Return who was in Production at the moment or on the day that was asked about."""
    asked = timeline.window
    assert asked is not None
    known = timeline.watched is not None and asked.begin >= timeline.watched
    first = served_at(timeline.served, asked.begin)
    then = changes(timeline.served, asked)
    if first is None and not known and not then:
        return _no_record(timeline)
    if asked.day is None or asked.end is None:
        return _at_a_moment(timeline, first)
    is_over = asked.end - asked.begin >= timedelta(days=1)
    day, model = write_day(asked.day), Name(timeline.model)
    if not then:
        who = Code(f"v{first.version}") if first else "No version"
        return say(
            "{who} of {model} was in Production all of {day} (UTC){so_far}.",
            who=who,
            model=model,
            day=day,
            so_far="" if is_over else " so far",
        )
    told = joined(_told(then), ", ")
    if first is None and not known:
        return say("In Production of {model} on {day} (UTC): {then}.", day=day, model=model, then=told)
    began: object = Code(f"v{first.version}") if first else "no version"
    return say(
        "On {day} (UTC) {began} was in Production of {model}; {then}.", day=day, began=began, model=model, then=told
    )


def _told(then: list[Change]) -> list[Say]:
    told = [_change(one) for one in then[:CHANGES_MOST]]
    more = len(then) - len(told)
    return [*told, say("and {n} more changes", n=more)] if more > 0 else told


def _change(one: Change) -> Say:
    who = "no version" if one.version is None else Code(f"v{one.version}")
    return say("{v}, first seen {at}" if one.is_first_look else "{v} from {at}", v=who, at=one.at)


def _at_a_moment(timeline: Timeline, first: Served | None) -> Say:
    assert timeline.window is not None
    at, model = timeline.window.begin, Name(timeline.model)
    if first:
        return say("{v} of {model} was in Production at {at}.", v=Code(f"v{first.version}"), model=model, at=at)
    hints = []
    if timeline.before and timeline.before.until:
        hints.append(say(" {v} was there until {at}.", v=Code(f"v{timeline.before.version}"), at=timeline.before.until))
    if timeline.after:
        hints.append(say(" {v} came at {at}.", v=Code(f"v{timeline.after.version}"), at=timeline.after.since))
    return say("No version of {model} was in Production at {at}.{hints}", model=model, at=at, hints=joined(hints, ""))


def _no_record(timeline: Timeline) -> Say:
    model = Name(timeline.model)
    if timeline.watched is None:
        return say("No record: Registrar hasn't seen {model} in Production yet.", model=model)
    hint = say("")
    if timeline.after and timeline.after.is_older_than_us:
        hint = say(" {v} was in Production by then.", v=Code(f"v{timeline.after.version}"))
    elif timeline.after and timeline.after.began.expected_incumbent:
        hint = say(
            " Before {v} came at {at}, it was {old}.",
            v=Code(f"v{timeline.after.version}"),
            at=timeline.after.since,
            old=Code(f"v{timeline.after.began.expected_incumbent}"),
        )
    return say(
        "No record: Registrar has watched {model} since {at}.{hint}", model=model, at=timeline.watched, hint=hint
    )
