"""Messages about break-glass promotions, which need no approvals, and about their reviews."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.core.actors import format_actor
from bot.domain.core.sentence import Code, Mention, MessageLink, Name, Sentence, ended_with_period, say
from bot.domain.promotions.messages import MAX_MENTIONED, describe_change, lapse_reason, outcome_announcement
from bot.domain.promotions.request import Request


def break_glass_lapsed_reason(rule: str) -> Sentence:
    """Return why a break-glass promotion wasn't executed."""
    return say("The person who broke glass can no longer do that: {why}.", why=lapse_reason(rule))


def break_glass_announcement(request: Request, card: MessageLink) -> Sentence:
    """Return the message that announces a break-glass promotion in the channel."""
    return say(
        "🚨 {who} broke glass: promoting {model} {path} without approvals. {why} {card}.{review}",
        who=format_actor(request.requester),
        model=Name(request.model),
        path=describe_change(request),
        why=ended_with_period(request.reason),
        card=card,
        review=_review_deadline(request),
    )


def _review_deadline(request: Request) -> Sentence:
    if request.review_due is None:
        return say("")
    return say(
        " Someone else needs to review it by {due}: {review}", due=request.review_due, review=review_command(request)
    )


def review_command(request: Request) -> Code:
    """Return the command that reviews a break-glass promotion."""
    return Code(f'/model review {request.id} --reason "…"')


def review_reminder_announcement(request: Request, people: Sequence[str] | None) -> Sentence:
    """Return the thread's reminder before a review is due; it mentions `people`, or no one if `people` is None."""
    if people is None:
        return say("Waiting for a review by {due}: {review}", due=request.review_due, review=review_command(request))
    return say(
        "Waiting for {who} to review this by {due}: {review}",
        due=request.review_due,
        who=[Mention(user_id) for user_id in people] or ["a reviewer (none found)"],
        review=review_command(request),
    )


def direct_review_reminder(request: Request, card: MessageLink) -> Sentence:
    """Return the direct message that reminds a reviewer of a break-glass promotion."""
    return say(
        "{who} broke glass: {model} {path}. {why} The review is due by {due}. {card}, or type {review}",
        who=format_actor(request.requester),
        model=Name(request.model),
        path=describe_change(request),
        why=ended_with_period(request.reason),
        due=request.review_due,
        card=card,
        review=review_command(request),
    )


def review_overdue_announcement(request: Request, card: MessageLink) -> Sentence:
    """Return the message that announces an overdue review in the channel."""
    return say(
        "⚠️ No one reviewed break-glass request {id} ({model} {path}, by {who}) by {due}. {card}, or type {review}",
        id=Code(request.id),
        model=Name(request.model),
        path=describe_change(request),
        who=format_actor(request.requester),
        due=request.review_due,
        card=card,
        review=review_command(request),
    )


def review_announcement(request: Request) -> Sentence:
    """Return the message that tells the person who broke glass about the review."""
    assert request.reviewed_by is not None
    return say(
        "{who} reviewed your break-glass promotion of {model} {path}: {why}",
        who=format_actor(request.reviewed_by),
        model=Name(request.model),
        path=describe_change(request),
        why=ended_with_period(request.review_reason),
    )


def review_confirmation(request: Request) -> Sentence:
    """Return the answer to the reviewer."""
    return say(
        "Reviewed {model} {path}, promoted by {who}. Recorded on the card and in the audit log.",
        model=Name(request.model),
        path=describe_change(request),
        who=format_actor(request.requester),
    )


def unreviewed_summary(unreviewed_requests: Sequence[Request], now: datetime) -> Sentence | None:
    """Return how many break-glass promotions are waiting for a review, or None if there aren't any."""
    if not unreviewed_requests:
        return None
    ids: list[object] = [Code(request.id) for request in unreviewed_requests[:MAX_MENTIONED]]
    ids += [f"{len(unreviewed_requests) - MAX_MENTIONED} more"] if len(unreviewed_requests) > MAX_MENTIONED else []
    overdue = sum(request.review_due is not None and request.review_due <= now for request in unreviewed_requests)
    return say(
        "Unreviewed break-glass promotions: {n}, {overdue} overdue ({ids}).",
        n=len(unreviewed_requests),
        overdue=overdue,
        ids=ids,
    )


def break_glass_confirmation(request: Request) -> Sentence:
    """Return the answer to the person who broke glass: the outcome, or what the promotion is waiting for."""
    if request.state.is_open:
        return say(
            "Promoting {model} {path} without approvals as soon as {product} responds. The channel has been notified.",
            model=Name(request.model),
            path=describe_change(request),
        )
    return outcome_announcement(request)


def superseded_by_break_glass_reason(version: int) -> Sentence:
    """Return why a request ended: a break-glass promotion to its stage superseded it."""
    return say("Someone broke glass to promote {v} instead.", v=Code(f"v{version}"))
