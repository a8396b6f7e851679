"""TODO bot.domain.promotions.break_glass_messages"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.core.actors import shown
from bot.domain.core.sentence import Code, Mention, Name, Say, ended_with_period, say
from bot.domain.promotions.messages import MENTIONED, ended, lapsed_by, path
from bot.domain.promotions.request import Request


def glass_lapsed(rule: str) -> Say:
    """Return why a move without approvals isn't made after all."""
    return say("The person who broke the glass can no longer do that: {why}.", why=lapsed_by(rule))


def broke_glass(request: Request) -> Say:
    """Return what the channel hears of a version that is moved without approvals."""
    return say(
        "🚨 {who} broke the glass: {model} goes {path} without approvals. {why} Recorded in the audit log.{review}",
        who=shown(request.requester),
        model=Name(request.model),
        path=path(request),
        why=ended_with_period(request.reason),
        review=_review_by(request),
    )


def _review_by(request: Request) -> Say:
    if request.review_due is None:
        return say("")
    return say(" Someone else has to review it by {due}: {review}", due=request.review_due, review=review_it(request))


def review_it(request: Request) -> Code:
    """Return the command that reviews it."""
    return Code(f'/model review {request.id} --reason "…"')


def review_due_soon(request: Request, people: Sequence[str]) -> Say:
    """Return what the thread hears before the date of a review; `people` can give it."""
    who: list[object] = [Mention(one) for one in people[:MENTIONED]]
    who += [f"{len(people) - MENTIONED} more"] if len(people) > MENTIONED else []
    return say(
        "Not reviewed yet; due by {due}: {who}. {review}",
        due=request.review_due,
        who=who or ["nobody who can review it is known"],
        review=review_it(request),
    )


def review_due_to_you(request: Request) -> Say:
    """Return what someone hears directly who can review it."""
    return say(
        "{who} broke the glass: {model} {path}. {why} Review it by {due}: {review}",
        who=shown(request.requester),
        model=Name(request.model),
        path=path(request),
        why=ended_with_period(request.reason),
        due=request.review_due,
        review=review_it(request),
    )


def review_overdue(request: Request) -> Say:
    """Return what the channel and the thread hear once a review is overdue."""
    return say(
        "⚠️ Nobody has reviewed the broken glass of {id} ({model} {path}, by {who}). It was due by {due}. {review}",
        id=Code(request.id),
        model=Name(request.model),
        path=path(request),
        who=shown(request.requester),
        due=request.review_due,
        review=review_it(request),
    )


def reviewed(request: Request) -> Say:
    """Return the news of a review, for the thread."""
    assert request.reviewed_by is not None
    return say("{who} reviewed it: {why}", who=shown(request.reviewed_by), why=request.review_reason)


def reviewed_for_you(request: Request) -> Say:
    """Return what the person who broke the glass hears directly."""
    return say("{model} {path}: {news}", model=Name(request.model), path=path(request), news=reviewed(request))


def review_counted(request: Request) -> Say:
    """Return the answer to the reviewer."""
    return say(
        "Reviewed: {model} {path}, moved by {who}. The thread and the audit log have it.",
        model=Name(request.model),
        path=path(request),
        who=shown(request.requester),
    )


def unreviewed(waiting: Sequence[Request], now: datetime) -> Say | None:
    """Return how many broken glasses nobody has reviewed yet; None where there are none."""
    if not waiting:
        return None
    ids: list[object] = [Code(one.id) for one in waiting[:MENTIONED]]
    ids += [f"{len(waiting) - MENTIONED} more"] if len(waiting) > MENTIONED else []
    overdue = sum(one.review_due is not None and one.review_due <= now for one in waiting)
    return say(
        "Break glass without a review: {n}, {overdue} overdue ({ids}).", n=len(waiting), overdue=overdue, ids=ids
    )


def glass_broken(request: Request) -> Say:
    """Return what whoever broke the glass hears: how the move ended, or that it waits."""
    if request.state.is_open:
        return say(
            "{model} goes {path} as soon as MLflow answers, without approvals; the channel is alarmed.",
            model=Name(request.model),
            path=path(request),
        )
    return ended(request)


def set_aside(version: int) -> Say:
    """Return why a request ended when somebody moved a version to its stage in an emergency."""
    return say("The glass was broken for {v} meanwhile.", v=Code(f"v{version}"))
