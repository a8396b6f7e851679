"""The rows that go with a change of a request: what Slack must hear, and what the audit keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Actor, Automation, Person, actor_id, as_person
from bot.domain.core.sentence import Say, pack
from bot.domain.monitoring.incident import Incident
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request
from bot.domain.transitions.drift import Finding
from bot.domain.transitions.registry_tags import Tags, named
from bot.domain.transitions.transition import Move
from bot.ports import Copy, Note, NoteKind, Reading, Writing

OPENED = "opened"  # why a request's card is posted
CLOCK = Automation("clock")  # who acts when a time is over


def card_note(request: Request, because: str, channel: str) -> Note:
    """Return the outbox row that draws a request's card anew."""
    return Note(key=f"card:{request.id}:{because}", lane=request.id, kind=NoteKind.CARD, to=channel)


def news_note(request: Request, because: str, sentence: Say) -> Note:
    """Return the outbox row that tells the card's thread something."""
    key = f"news:{request.id}:{because}"
    return Note(key=key, lane=request.id, kind=NoteKind.NEWS, to="", data={"say": pack(sentence)})


def end_notes(request: Request, channel: str, *, told: Actor | None) -> list[Note]:
    """Return what is told when a request ends: the card, its thread, and the requester unless they did it."""
    because = request.state.value
    notes = [card_note(request, because, channel), news_note(request, because, promotion_messages.ended(request))]
    if told is None or named(request.requester) != named(told):
        direct = direct_note(
            request.id, f"direct:{request.id}:{because}", request.requester, promotion_messages.ended(request)
        )
        notes += [direct] if direct else []
    return notes


def card_refusal(reading: Reading, request: Request) -> str:
    """Return Slack's error code for a request's card that it refused; empty if it didn't."""
    card = reading.progress(card_note(request, OPENED, ""))
    return card.why if card and not card.is_waiting and reading.posting(request.id) is None else ""


def refused(tx: Writing, _: object, note: Note, why: str, limit: timedelta | None) -> None:
    """Tell the requester that Slack refused their card; `why` is Slack's error code.

    Only once: the next change posts it again, and Slack can refuse it again. The notifier tells everyone else.
    """
    if note.kind is NoteKind.CARD and tx.posting(note.lane) is None:
        request = tx.request(note.lane)
        told = direct_note(
            note.lane, f"direct:{note.lane}:refused", request.requester, promotion_messages.card_refused(request, why)
        )
        if told:
            tx.add_note(told)


def reminders(request: Request, people: Sequence[str], now: datetime) -> list[Note]:
    """Return what is told when a request waits for long: the thread, and each of these users directly."""
    because = f"reminder:{request.reminded}"
    notes = [news_note(request, because, promotion_messages.reminder(request, people, now))]
    for user in people:
        sentence = promotion_messages.reminder_to_you(request, now)
        direct = direct_note(
            f"{request.id}:{user}", f"direct:{request.id}:{because}:{user}", Person("", user), sentence
        )
        notes += [direct] if direct else []
    return notes


def review_reminders(request: Request, people: Sequence[str]) -> list[Note]:
    """Return what is told before a review is due: the thread, and each of these users directly."""
    notes = [news_note(request, "review-due", break_glass_messages.review_due_soon(request, people))]
    for user in people:
        key = f"direct:{request.id}:review-due:{user}"
        direct = direct_note(
            f"{request.id}:{user}", key, Person("", user), break_glass_messages.review_due_to_you(request)
        )
        notes += [direct] if direct else []
    return notes


def request_event(
    request: Request,
    tag: Tag,
    actor: Actor | None,
    now: datetime,
    *,
    origin: str = "registrar",
    evidence: dict[str, Any] | None = None,
    **more: str | None,
) -> Event:
    """Return an audit event about a request. Nobody as `actor` is the clock; `more` are why, before and after."""
    about = {
        "version": request.version,
        "target": request.target.value,
        "incumbent": request.incumbent,
        "requester": actor_id(request.requester),
        "reason": request.reason,
        "policy": request.seen.policy if request.seen else "",
    }
    fields: dict[str, Any] = {"origin": origin, "evidence": about | (evidence or {}), **more}
    return Event(at=now, actor=actor or CLOCK, tag=tag, subject=request.id, model=request.model, **fields)


def chart_note(incident: Incident) -> Note:
    """Return the outbox row that puts the chart into the thread."""
    return Note(key=incident.chart, lane=incident.id, kind=NoteKind.CHART, to="", data={"incident": incident.id})


def charted_note(incident: Incident) -> Note:
    """Return the outbox row that also shows the chart in the message: it can have to wait, so it has its own lane."""
    key, data = f"{incident.chart}:shown", {"incident": incident.id, "in_message": True}
    return Note(key=key, lane=key, kind=NoteKind.CHART, to="", data=data)


def direct_note(lane: str, key: str, to: Actor, sentence: Say) -> Note | None:
    """Return the outbox row of a direct message; None for whoever is no person in Slack."""
    person = as_person(to)
    if not isinstance(person, Person):
        return None
    return Note(key=key, lane=f"{lane}:direct", kind=NoteKind.DIRECT, to=person.user, data={"say": pack(sentence)})


def invitation(request: Request, user: str, sentence: Say) -> Note:
    """Return the outbox row of a direct message to someone who can approve a new request, with a link to its card."""
    data = {"say": pack(sentence), "card": request.id, "after": card_note(request, OPENED, "").key}
    key = f"direct:{request.id}:{OPENED}:{user}"
    return Note(key=key, lane=f"{request.id}:{user}:direct", kind=NoteKind.DIRECT, to=user, data=data)


def copy(request: Request, because: str, tags: Tags, *, line: str = "", alias: str = "") -> Copy:
    """Return what the request's version has to say in the registry."""
    return Copy(
        id=f"{request.id}:{because}", model=request.model, version=request.version, tags=tags, line=line, alias=alias
    )


def notice_note(finding: Finding, because: str, channel: str) -> Note:
    """Return the outbox row that draws a finding's message anew."""
    return Note(key=f"notice:{finding.id}:{because}", lane=finding.id, kind=NoteKind.NOTICE, to=channel)


def thread_note(lane: str, because: str, sentence: Say) -> Note:
    """Return the outbox row that tells something in the thread of a lane's message."""
    return Note(key=f"news:{lane}:{because}", lane=lane, kind=NoteKind.NEWS, to="", data={"say": pack(sentence)})


def lane_of(move: Move) -> str:
    """Return whose thread hears of a move: a request's, a finding's, an incident's, or else its own message's."""
    return move.request or move.finding or move.incident or move.id


def said_note(key: str, channel: str, sentence: Say) -> Note:
    """Return the outbox row of a sentence in a channel."""
    return Note(key=f"said:{key}", lane=f"said:{key}", kind=NoteKind.SAID, to=channel, data={"say": pack(sentence)})


def incident_note(incident: Incident, because: str, channel: str) -> Note:
    """Return the outbox row that draws an incident's message anew."""
    return Note(key=f"incident:{incident.id}:{because}", lane=incident.id, kind=NoteKind.INCIDENT, to=channel)
