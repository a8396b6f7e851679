"""Break-glass reviews: someone else reviews a promotion that had no approvals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.commands.promotions import Review
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput
from bot.domain.policy.authorization import Permission, reviewer_ids
from bot.domain.policy.authorship import own_user_ids
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.approvers import MAX_NOTIFIED
from bot.domain.promotions.request import Request
from bot.services.core.commands import ChangeHandlers, CommandResult
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_link,
    channel_message,
    review_messages,
    review_reminder_messages,
)
from bot.services.promotions.decisions import RequestDecisions


class Reviews:
    """Records reviews, and reminds people of missing ones."""

    def __init__(self, context: Context, decisions: RequestDecisions) -> None:
        self._context = context
        self._decisions = decisions

    def handlers(self) -> ChangeHandlers:
        """Return the handler for `review`."""
        return {Review: self.review}

    def review(self, caller: Caller, command: Review, *, origin: str) -> CommandResult:
        """Record someone's review of a break-glass request. A request has at most one review.

        Raises UnknownRequest, BadInput if there's no reason, Refused and AlreadyDecided (both are audited), and
        LedgerUnavailable.
        """
        if not command.reason:
            raise BadInput("A review needs a reason. It's shown on the card and in the audit log.")
        with self._decisions.change(caller, Permission.REVIEW, command.request, origin) as (
            tx,
            request,
            caller_evidence,
        ):
            now, by, due = self._context.clock.now(), actor_of(caller), request.review_due
            reviewed = replace(request, reviewed_by=by, reviewed_at=now, review_reason=command.reason)
            tx.save_request(reviewed)
            evidence = {
                **caller_evidence,
                "due": canonical_time(due) if due else None,
                "is_late": due is not None and now > due,
            }
            self._decisions.record(
                tx, reviewed, EventTag.REVIEWED, by, why=command.reason, origin=origin, evidence=evidence
            )
            tx.add_message(*review_messages(reviewed, self._context.policy.channel_for(reviewed.model)))
        return CommandResult(answer=break_glass_messages.review_confirmation(reviewed), request=reviewed)

    def remind_reviewers(self, resolve_members: Callable[[Sequence[str]], list[str]]) -> int:
        """Remind people of reviews that are due soon, and announce overdue ones; return the number of requests.

        `resolve_members` turns user and user group IDs into user IDs.
        """
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            to_review = reader.requests_to_review()
        return sum(
            self._remind_of(request, resolve_members) for request in to_review if _is_review_reminder_due(request, now)
        )

    def _remind_of(self, request: Request, resolve_members: Callable[[Sequence[str]], list[str]]) -> bool:
        users = []
        if not request.review_reminded:
            target, policy = request.access_target, self._context.policy
            own = own_user_ids(target, policy)
            users = [user for user in resolve_members(reviewer_ids(target, policy)) if user not in own][:MAX_NOTIFIED]
        with self._context.ledger.write() as tx:
            current, now = tx.lock_request(request.id), self._context.clock.now()
            channel = self._context.policy.channel_for(current.model)
            if current.review_reminded != request.review_reminded or not _is_review_reminder_due(current, now):
                return False
            is_overdue = current.review_due is not None and now >= current.review_due
            reminded = replace(current, review_reminded=2 if is_overdue else 1)
            tx.save_request(reminded)
            if is_overdue:
                self._decisions.record(tx, reminded, EventTag.REVIEW_OVERDUE, None)
                card = card_link(reminded, channel, "See the card")
                announcement = break_glass_messages.review_overdue_announcement(reminded, card)
                tx.add_message(channel_message(f"review-overdue:{reminded.id}", channel, announcement))
                self._decisions.redraw(tx, reminded, "review-overdue")
                return True
            evidence = {"people": users, "about": "review"}
            self._decisions.record(tx, reminded, EventTag.REMINDED, None, evidence=evidence)
            rule = self._context.policy.rules_for(current.model).rule(current.target)
            tx.add_message(*review_reminder_messages(reminded, users, rule, channel))
        return True


def _is_review_reminder_due(request: Request, now: datetime) -> bool:
    at = request.review_reminder_at()
    return at is not None and now >= at
