"""Build outbox messages, tag updates, and audit events for changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Actor, Automation, Person, actor_id, resolve_operator
from bot.domain.core.sentence import MessageLink, Sentence, join_sentences, pack_sentence, say
from bot.domain.monitoring.incident import Incident
from bot.domain.monitoring.incident_review import has_review
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import approval_invitation
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import serving_periods
from bot.domain.transitions.drift import DriftNotice
from bot.domain.transitions.registry_tags import TagChanges, actor_name
from bot.domain.transitions.transition import Transition
from bot.ports import LedgerReader, LedgerTransaction, MessageKind, OutboxMessage, TagUpdate

OPENED = "opened"  # the trigger with which a request's card is first posted
CLOCK_ACTOR = Automation("clock")  # the actor of expiries and other timed changes
MAX_TRANSITIONS = 40  # in Production: enough to find the version that serves now


def card_message(request: Request, trigger: str, channel: str) -> OutboxMessage:
    """Return the message that redraws a request's card; `trigger` makes its key unique."""
    return OutboxMessage(key=f"card:{request.id}:{trigger}", lane=request.id, kind=MessageKind.CARD, to=channel)


def card_link(request: Request, channel: str, label: str) -> MessageLink:
    """Return a link to a request's card in `channel`."""
    return MessageLink(request.id, channel, label, posted_by=card_message(request, OPENED, channel).key)


def end_messages(
    request: Request, channel: str, *, ended_by: Actor | None, news: Sentence | None = None
) -> list[OutboxMessage]:
    """Return the messages about the end of a request: its card and, unless the requester ended it, one to them.

    `news`: what else the requester should know.
    """
    trigger, announcement = request.state.value, promotion_messages.outcome_announcement(request)
    sentences = [announcement, *([news] if news else [])]
    is_own = ended_by is not None and actor_name(request.requester) == actor_name(ended_by)
    recipient = None if is_own else request.requester
    return [card_message(request, trigger, channel), *_news_for(recipient, request, trigger, sentences, channel)]


def review_messages(request: Request, channel: str) -> list[OutboxMessage]:
    """Return the messages about the review of a break-glass request: its card, and one to its requester."""
    sentences = [break_glass_messages.review_announcement(request)]
    news = _news_for(request.requester, request, "reviewed", sentences, channel)
    return [card_message(request, "reviewed", channel), *news]


def _news_for(
    requester: Actor | None, request: Request, trigger: str, sentences: Sequence[Sentence], channel: str
) -> list[OutboxMessage]:
    """Return the message about a decision, sent directly to the requester instead of in the thread.

    If there's no one to message directly, decisions by people go to the thread; Registrar's own are only on the card.
    """
    link = say("{card}.", card=card_link(request, channel, "See the card"))
    sentence, key = join_sentences([*sentences, link], " "), f"direct:{request.id}:{trigger}"
    if direct := direct_message(request.id, key, requester, sentence) if requester else []:
        return direct
    is_decision = request.decided_by is not None and request.state in _DECIDED_BY_PEOPLE
    return [thread_message(request.id, trigger, join_sentences(sentences, " "))] if is_decision else []


_DECIDED_BY_PEOPLE = {RequestState.REJECTED, RequestState.CANCELLED}


def card_refusal_code(reader: LedgerReader, request: Request) -> str:
    """Return the error code with which Slack rejected a request's card, or an empty string."""
    card = reader.delivery_progress(card_message(request, OPENED, "").key)
    return card.why if card and not card.is_waiting and reader.message_ref(request.id) is None else ""


def tell_requester_of_refused_card(
    tx: LedgerTransaction, _: object, message: OutboxMessage, why: str, limit: timedelta | None
) -> None:
    """Tell the requester that Slack rejected their card; `why` is Slack's error code.

    They're notified only once, even though the next change posts the card again and Slack can reject it again. The
    notifier tells everyone else.
    """
    if message.kind is MessageKind.CARD and tx.message_ref(message.lane) is None:
        request = tx.request(message.lane)
        notice = promotion_messages.card_refused_notice(request, why)
        tx.add_message(*direct_message(request.id, f"direct:{request.id}:refused", request.requester, notice))


def reminder_messages(
    request: Request, people: Sequence[str], rule: TargetRule | None, channel: str, now: datetime
) -> list[OutboxMessage]:
    """Return reminders to `people` about a pending request, sent the way its `rule` says."""
    sentence = promotion_messages.direct_reminder(
        request, card_link(request, channel, "Approve or reject it on the card"), now
    )
    trigger = f"reminder:{request.reminded}"
    return _reminders(
        request,
        trigger,
        rule,
        people,
        sentence,
        lambda mentioned: promotion_messages.reminder_announcement(request, mentioned, now),
    )


def review_reminder_messages(
    request: Request, people: Sequence[str], rule: TargetRule | None, channel: str
) -> list[OutboxMessage]:
    """Return reminders to `people` before a review is due, sent the way the request's `rule` says."""
    sentence = break_glass_messages.direct_review_reminder(
        request, card_link(request, channel, "Review it on the card")
    )
    return _reminders(
        request,
        "review-due",
        rule,
        people,
        sentence,
        lambda mentioned: break_glass_messages.review_reminder_announcement(request, mentioned),
    )


def _reminders(
    request: Request,
    trigger: str,
    rule: TargetRule | None,
    people: Sequence[str],
    sentence: Sentence,
    announce: Callable[[Sequence[str] | None], Sentence],
) -> list[OutboxMessage]:
    """Return reminders either as direct messages or in the thread, so that no one gets two."""
    way = rule.tell_approvers if rule else "mention"
    if way != "direct":
        return [thread_message(request.id, trigger, announce(people if way == "mention" else None))]
    messages: list[OutboxMessage] = []
    for user in people:
        key = f"direct:{request.id}:{trigger}:{user}"
        messages += direct_message(f"{request.id}:{user}", key, Person("", user), sentence)
    return messages


def request_event(
    request: Request,
    tag: EventTag,
    actor: Actor | None,
    now: datetime,
    *,
    origin: str = "registrar",
    evidence: dict[str, Any] | None = None,
    **texts: str | None,
) -> Event:
    """Return an audit event about a request. The default actor is the clock; `texts` are why, before, and after."""
    details = {
        "version": request.version,
        "target": request.target.value,
        "incumbent": request.incumbent,
        "requester": actor_id(request.requester),
        "reason": request.reason,
        "policy": request.seen.policy if request.seen else "",
    }
    fields: dict[str, Any] = {"origin": origin, "evidence": details | (evidence or {}), **texts}
    return Event(at=now, actor=actor or CLOCK_ACTOR, tag=tag, subject=request.id, model=request.model, **fields)


def chart_message(incident: Incident) -> OutboxMessage:
    """Return the message that posts an incident's chart in its thread."""
    return OutboxMessage(
        key=incident.chart_key, lane=incident.id, kind=MessageKind.CHART, to="", data={"incident": incident.id}
    )


def card_chart_message(incident: Incident) -> OutboxMessage:
    """Return the message that adds the chart to the incident's message.

    It has its own ordering key, because it might have to wait.
    """
    key, data = f"{incident.chart_key}:shown", {"incident": incident.id, "in_message": True}
    return OutboxMessage(key=key, lane=key, kind=MessageKind.CHART, to="", data=data)


def direct_message(
    ordering_key: str, key: str, recipient: Actor, sentence: Sentence, command_id: str = ""
) -> list[OutboxMessage]:
    """Return a direct message; none if the recipient isn't a person in Slack.

    `command_id` is the failed command whose form a button reopens, if any.
    """
    person, lane = resolve_operator(recipient), f"{ordering_key}:direct"
    data = {"say": pack_sentence(sentence)} | ({"edit": command_id} if command_id else {})
    if not isinstance(person, Person):
        return []
    return [OutboxMessage(key=key, lane=lane, kind=MessageKind.DIRECT, to=person.user, data=data)]


def invitation_message(request: Request, user: str, channel: str) -> OutboxMessage:
    """Return a direct message to someone who can approve a new request."""
    invitation = approval_invitation(request, card_link(request, channel, "Open the card"))
    [message] = direct_message(
        f"{request.id}:{user}", f"direct:{request.id}:{OPENED}:{user}", Person("", user), invitation
    )
    return message


def tag_update_for(request: Request, trigger: str, tags: TagChanges, *, line: str = "", alias: str = "") -> TagUpdate:
    """Return a tag update for the request's version: tags, a line for its description, and an alias to remove."""
    return TagUpdate(
        id=f"{request.id}:{trigger}", model=request.model, version=request.version, tags=tags, line=line, alias=alias
    )


def notice_message(notice: DriftNotice, trigger: str, channel: str) -> OutboxMessage:
    """Return the message that redraws a drift notice."""
    return OutboxMessage(key=f"notice:{notice.id}:{trigger}", lane=notice.id, kind=MessageKind.NOTICE, to=channel)


def thread_message(ordering_key: str, trigger: str, sentence: Sentence) -> OutboxMessage:
    """Return a reply in the thread of the message with this ordering key."""
    return OutboxMessage(
        key=f"news:{ordering_key}:{trigger}",
        lane=ordering_key,
        kind=MessageKind.THREAD_REPLY,
        to="",
        data={"say": pack_sentence(sentence)},
    )


def ordering_key_of(transition: Transition) -> str:
    """Return the ordering key of a transition's thread: its request, drift notice, or incident, or else its own ID."""
    return transition.request or transition.finding or transition.incident or transition.id


def production_thread(reader: LedgerReader, model: str) -> str | None:
    """Return the ordering key of the message about how the current version got into Production.

    Return None if nothing is in Production, or if Slack has no such message.
    """
    served = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
    if not served or served[0].until is not None:
        return None
    ordering_key = ordering_key_of(served[0].started_by)
    return ordering_key if reader.message_ref(ordering_key) is not None else None


def channel_message(key: str, channel: str, sentence: Sentence) -> OutboxMessage:
    """Return a message to a channel."""
    return OutboxMessage(
        key=f"said:{key}",
        lane=f"said:{key}",
        kind=MessageKind.CHANNEL_MESSAGE,
        to=channel,
        data={"say": pack_sentence(sentence)},
    )


def incident_link(incident: Incident, channel: str, label: str) -> MessageLink:
    """Return a link to an incident's message in `channel`."""
    return MessageLink(incident.id, channel, label, posted_by=incident_message(incident, OPENED, channel).key)


def incident_end_message(incident: Incident, trigger: str, sentence: Sentence) -> OutboxMessage:
    """Return the reply in an incident's thread when it's over: its review, or `sentence` if it doesn't need one."""
    if not has_review(incident):
        return thread_message(incident.id, trigger, sentence)
    return OutboxMessage(
        key=f"review:{incident.id}:{trigger}",
        lane=incident.id,
        kind=MessageKind.REVIEW,
        to="",
        data={"incident": incident.id},
    )


def proposal_message(proposal_id: str, trigger: str, channel: str) -> OutboxMessage:
    """Return the message that redraws a proposed monitor's card."""
    key = f"proposal:{proposal_id}:{trigger}"
    return OutboxMessage(key=key, lane=proposal_id, kind=MessageKind.PROPOSAL, to=channel)


def incident_message(incident: Incident, trigger: str, channel: str) -> OutboxMessage:
    """Return the message that redraws an incident."""
    return OutboxMessage(
        key=f"incident:{incident.id}:{trigger}", lane=incident.id, kind=MessageKind.INCIDENT, to=channel
    )
