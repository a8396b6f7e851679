"""Whom a request waits for, and whom it tells, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.domain.core.actors import shown
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Mention, Name, Say, either, say, short
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import TOLD_MOST, Awaited
from bot.domain.promotions.request import Request

NAME_MOST = 80  # characters of a person's name


def waiting_for(it: Awaited, names: Mapping[str, str] | None) -> Say:
    """Return the sentence that says whom a request waits for.

    Where `names` is None, people and groups are mentioned. Else they're called as it says, by their id, and by the
    id itself where it lacks them: that notifies nobody.
    """
    named = [_called(one, names) for one in it.ids[:TOLD_MOST]] + _counted(it.ids)
    if not it.approvals:
        return say("Waiting for {who} to override the failed gates.", who=either(named or ["someone"], "or"))
    number = counted(it.approvals, "approval")
    if it.is_too_few:
        left = say("only {who} can still approve", who=either(named, "and")) if named else say("nobody can approve")
        return say("Waiting for {n}, but {left}.", n=number, left=left)
    if it.are_all_needed:
        return say("Waiting for {who}.", who=either(named, "and"))
    if it.approvals == 1:
        return say("Waiting for {who}.", who=either(named, "or"))
    return say("Waiting for {n} from {who}.", n=number, who=either(named, "or"))


def invited(request: Request) -> Say:
    """Return what someone hears directly who can approve a new request; a link to its card follows."""
    return say(
        "{who} requests {model} {path}. You can approve or reject it until {until}.",
        who=shown(request.requester),
        model=Name(request.model),
        path=promotion_messages.path(request),
        until=request.expires_at,
    )


def _called(one: str, names: Mapping[str, str] | None) -> object:
    if names is None:
        return Mention(one)
    name = names.get(one)
    return short(name, NAME_MOST) if name else Code(one)


def _counted(ids: Sequence[str]) -> list[object]:
    more = len(ids) - TOLD_MOST
    return [f"{more} more"] if more > 0 else []
