"""Messages that name the approvers of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.domain.core.actors import format_actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Mention, Name, Sentence, join_with_conjunction, say, truncate
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import MAX_NOTIFIED, PendingApprovers
from bot.domain.promotions.request import Request

MAX_NAME_LENGTH = 80  # characters of a person's name


def waiting_for_approvers(pending: PendingApprovers, names: Mapping[str, str] | None) -> Sentence:
    """Return the sentence about whom a request is waiting for.

    If `names` is None, people and groups are mentioned. Otherwise they're named by it, by id, or by the
    id itself if it lacks them: that notifies nobody.
    """
    approvers = [_approver_label(approver_id, names) for approver_id in pending.ids[:MAX_NOTIFIED]] + _omitted_count(
        pending.ids
    )
    if not pending.missing_approvals:
        return say(
            "Waiting for {who} to override the failed gates.", who=join_with_conjunction(approvers or ["someone"], "or")
        )
    number = pluralize(pending.missing_approvals, "approval")
    if pending.has_too_few:
        missing = (
            say("only {who} can still approve", who=join_with_conjunction(approvers, "and"))
            if approvers
            else say("nobody can approve")
        )
        return say("Waiting for {n}, but {left}.", n=number, left=missing)
    if pending.needs_everyone:
        return say("Waiting for {who}.", who=join_with_conjunction(approvers, "and"))
    if pending.missing_approvals == 1:
        return say("Waiting for {who}.", who=join_with_conjunction(approvers, "or"))
    return say("Waiting for {n} from {who}.", n=number, who=join_with_conjunction(approvers, "or"))


def approval_invitation(request: Request) -> Sentence:
    """Return the direct message to an approver of a new request; a link to its card follows."""
    return say(
        "{who} requests {model} {path}. You can approve or reject it until {until}.",
        who=format_actor(request.requester),
        model=Name(request.model),
        path=promotion_messages.describe_change(request),
        until=request.expires_at,
    )


def _approver_label(approver: str, names: Mapping[str, str] | None) -> object:
    if names is None:
        return Mention(approver)
    name = names.get(approver)
    return truncate(name, MAX_NAME_LENGTH) if name else Code(approver)


def _omitted_count(ids: Sequence[str]) -> list[object]:
    omitted = len(ids) - MAX_NOTIFIED
    return [f"{omitted} more"] if omitted > 0 else []
