"""Maintain pending requests: expire them, end outdated ones, and remind approvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.audit.events import EventTag
from bot.domain.policy.authorization import approver_ids
from bot.domain.policy.authorship import own_user_ids
from bot.domain.promotions.approvers import MAX_NOTIFIED
from bot.domain.promotions.request import Request, RequestState
from bot.services.core.context import Context
from bot.services.core.outbox_messages import reminder_messages
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.voting import MAX_PENDING


class RequestUpkeep:
    """Runs the periodic work on pending requests, in one transaction per request."""

    def __init__(self, context: Context, decisions: RequestDecisions) -> None:
        self._context = context
        self._decisions = decisions

    def expire_overdue(self) -> int:
        """Expire the pending requests that are past their expiry; return the number of requests."""
        with self._context.ledger.read() as reader:
            overdue = reader.expired_request_ids(self._context.clock.now())
        return sum(self._expire_request(request_id) for request_id in overdue)

    def _expire_request(self, request_id: str) -> bool:
        with self._context.ledger.write() as tx:
            request = tx.lock_request(request_id)
            if not request.is_pending_past_expiry(self._context.clock.now()):
                return False
            self._decisions.expire(tx, request)
        return True

    def end_outdated(self) -> int:
        """End the pending requests that are outdated according to the ledger; return the number of requests.

        A request is outdated if its policy rule has changed, if it now needs more approvals, if a later registry
        snapshot shows a different incumbent, or shows that the version was replaced or is in a different stage, or if
        the ledger has a later transition or block that affects it. The registry isn't read.
        """
        with self._context.ledger.read() as reader:
            pending = reader.requests(states=[RequestState.PENDING], limit=MAX_PENDING)
            outdated = [request.id for request in pending if self._decisions.why_outdated(reader, request)]
        return sum(self._end_if_outdated(request_id) for request_id in outdated)

    def _end_if_outdated(self, request_id: str) -> bool:
        with self._context.ledger.write() as tx:
            request = tx.lock_request(request_id)
            return request.state is RequestState.PENDING and self._decisions.end_if_outdated(tx, request) is not None

    def remind_approvers(self, resolve_members: Callable[[Sequence[str]], list[str]]) -> int:
        """Send the reminders that are due to approvers of pending requests; return the number of requests.

        Each interval is twice as long as the one before. `resolve_members` turns user and user group IDs into user IDs.
        """
        with self._context.ledger.read() as reader:
            pending = reader.requests(states=[RequestState.PENDING], limit=MAX_PENDING)
        return sum(self._remind_of(request, resolve_members) for request in pending if self._is_reminder_due(request))

    def _is_reminder_due(self, request: Request) -> bool:
        rule = self._context.policy.rules_for(request.model).rule(request.target)
        if rule is None or rule.remind_after is None:
            return False
        return self._context.clock.now() >= next_reminder_at(request, rule.remind_after)

    def _remind_of(self, request: Request, resolve_members: Callable[[Sequence[str]], list[str]]) -> bool:
        policy = self._context.policy
        approvers = resolve_members(approver_ids(request.access_target, policy))
        with self._context.ledger.write() as tx:
            current = tx.lock_request(request.id)
            if (
                current.state is not RequestState.PENDING
                or current.reminded != request.reminded
                or not self._is_reminder_due(current)
            ):
                return False
            reminded = replace(current, reminded=current.reminded + 1)
            tx.save_request(reminded)
            excluded = {vote.voter.user for vote in tx.votes(current.id) if not vote.lapsed}
            rule = policy.rules_for(current.model).rule(current.target)
            if rule is None or not rule.requester_may_approve:
                excluded |= own_user_ids(current.access_target, policy)
            recipients = [user for user in approvers if user not in excluded][:MAX_NOTIFIED]
            self._decisions.record(tx, reminded, EventTag.REMINDED, None, evidence={"people": recipients})
            channel, now = policy.channel_for(current.model), self._context.clock.now()
            tx.add_message(*reminder_messages(reminded, recipients, rule, channel, now))
        return True


def next_reminder_at(request: Request, interval: timedelta) -> datetime:
    """Return when the next reminder is due: after `interval`, then after twice that interval, and so on."""
    pauses: int = 2 ** min(request.reminded + 1, 20) - 1
    return request.opened_at + interval * pauses
