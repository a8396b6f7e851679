"""Break-glass reviews: someone else reviews a transition that was made without approvals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.commands.promotions import Review
from bot.domain.core.actors import Caller, actor_of, format_actor
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from bot.domain.core.sentence import Code, say
from bot.domain.policy.authorization import (
    AccessTarget,
    Permission,
    authorize,
    describe_caller,
    reviewer_ids,
    slack_user_id,
)
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.approvers import MAX_NOTIFIED
from bot.domain.promotions.request import Request, RequestState
from bot.ports import LedgerTransaction
from bot.services.core.commands import ChangeHandlers, CommandResult
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_message,
    channel_message,
    direct_message,
    request_event,
    request_thread_message,
    review_reminder_messages,
)
from bot.services.promotions.request_changes import change_request


class Reviews:
    """Records reviews, and reminds people of those that are missing."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> ChangeHandlers:
        """Return the handler of `review`."""
        return {Review: self._execute}

    def _execute(self, caller: Caller, command: Review, *, origin: str) -> CommandResult:
        request = self.review(caller, command.request, reason=command.reason, origin=origin)
        return CommandResult(answer=break_glass_messages.review_confirmation(request), request=request)

    def require_allowed(self, caller: Caller, request_id: str) -> Request:
        """Return the request if `caller` can review it now; that's checked again when they do.

        Raises UnknownRequest, Refused, and AlreadyDecided; a refusal is kept in the audit.
        """
        return self._change(caller, request_id, lambda _, request: request, "slack")

    def review(self, caller: Caller, request_id: str, *, reason: str, origin: str) -> Request:
        """Record someone's review of a break-glass request, once.

        Raises UnknownRequest, BadInput without a reason, Refused and AlreadyDecided (kept in the audit), and
        LedgerUnavailable.
        """
        if not reason:
            raise BadInput("A review needs a reason: the thread shows it, and the audit log keeps it.")
        return self._change(
            caller, request_id, lambda tx, request: self._record_review(tx, caller, request, reason, origin), origin
        )

    def _change(
        self, caller: Caller, request_id: str, change: Callable[[LedgerTransaction, Request], Request], origin: str
    ) -> Request:
        def checked(tx: LedgerTransaction, request: Request) -> Refused | Request:
            return self._refusal(caller, request) or change(tx, request)

        return change_request(self._context, caller, Permission.REVIEW, request_id, checked, origin=origin)

    def _refusal(self, caller: Caller, request: Request) -> Refused | None:
        subject = AccessTarget(model=request.model, target=request.target, requester=request.requester)
        decision = authorize(caller, Permission.REVIEW, subject, self._context.policy, self._context.clock.now())
        return _why_not_reviewable(request) if decision else Refused(decision.reason)

    def _record_review(
        self, tx: LedgerTransaction, caller: Caller, request: Request, reason: str, origin: str
    ) -> Request:
        now, by = self._context.clock.now(), actor_of(caller)
        reviewed = replace(request, reviewed_by=by, reviewed_at=now, review_reason=reason)
        tx.save_request(reviewed)
        due = request.review_due
        evidence = {
            "by": describe_caller(caller, self._context.policy),
            "due": canonical_time(due) if due else None,
            "is_late": due is not None and now > due,
        }
        tx.add_audit_event(
            request_event(reviewed, EventTag.REVIEWED, by, now, why=reason, origin=origin, evidence=evidence)
        )
        tx.add_message(card_message(reviewed, "reviewed", self._context.policy.channel_for(reviewed.model)))
        tx.add_message(request_thread_message(reviewed, "reviewed", break_glass_messages.review_announcement(reviewed)))
        direct = direct_message(
            reviewed.id,
            f"direct:{reviewed.id}:reviewed",
            reviewed.requester,
            break_glass_messages.direct_review_notice(reviewed),
        )
        if direct:
            tx.add_message(direct)
        return reviewed

    def remind_reviewers(self, resolve_members: Callable[[Sequence[str]], list[str]]) -> int:
        """Remind people of reviews that are due soon, and announce overdue ones; return how many requests.

        `resolve_members` turns user and group ids into user ids.
        """
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            to_review = reader.requests_to_review()
        return sum(
            self._remind_of(request, resolve_members) for request in to_review if _is_review_reminder_due(request, now)
        )

    def _remind_of(self, request: Request, resolve_members: Callable[[Sequence[str]], list[str]]) -> bool:
        ids = reviewer_ids(request.model, request.target, request.requester, self._context.policy)
        requester = slack_user_id(request.requester, self._context.policy)
        users = (
            []
            if request.review_reminded
            else [user for user in resolve_members(ids) if user != requester][:MAX_NOTIFIED]
        )
        with self._context.ledger.write() as tx:
            now, at = tx.lock_request(request.id), self._context.clock.now()
            if now.review_reminded != request.review_reminded or not _is_review_reminder_due(now, at):
                return False
            is_overdue = now.review_due is not None and at >= now.review_due
            reminded = replace(now, review_reminded=2 if is_overdue else 1)
            tx.save_request(reminded)
            if is_overdue:
                tx.add_audit_event(request_event(reminded, EventTag.REVIEW_OVERDUE, None, at))
                self._announce_overdue(tx, reminded)
            else:
                evidence = {"people": users, "about": "review"}
                tx.add_audit_event(request_event(reminded, EventTag.REMINDED, None, at, evidence=evidence))
                for message in review_reminder_messages(reminded, users):
                    tx.add_message(message)
        return True

    def _announce_overdue(self, tx: LedgerTransaction, request: Request) -> None:
        announcement = break_glass_messages.review_overdue_announcement(request)
        channel = self._context.policy.channel_for(request.model)
        tx.add_message(channel_message(f"review-overdue:{request.id}", channel, announcement))
        tx.add_message(request_thread_message(request, "review-overdue", announcement))
        tx.add_message(card_message(request, "review-overdue", channel))


def _why_not_reviewable(request: Request) -> Refused | None:
    """Return why nobody can review a request: it was approved normally, isn't done, or has its review."""
    if not request.breaks_glass:
        return Refused(say("Nobody broke the glass for {id}, so there's nothing to review.", id=Code(request.id)))
    if request.state is not RequestState.DONE:
        why = (
            "{id} isn't moved yet; review it once it is."
            if request.state.is_open
            else ("{id} came to nothing ({state}), so there's nothing to review.")
        )
        return Refused(say(why, id=Code(request.id), state=request.state.value))
    if request.reviewed_by is not None:
        return AlreadyDecided(
            say("{who} already reviewed this on {at}.", who=format_actor(request.reviewed_by), at=request.reviewed_at)
        )
    return None


def _is_review_reminder_due(request: Request, now: datetime) -> bool:
    at = request.review_reminder_at()
    return at is not None and now >= at
