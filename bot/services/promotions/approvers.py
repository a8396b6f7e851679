"""Who can approve a new request, and who gets an invitation; read from Slack before the request is opened."""

from __future__ import annotations

import logging

from bot.domain.core.actors import Actor
from bot.domain.core.errors import SlackUnreachable
from bot.domain.policy.authorization import slack_user_id
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import approver_messages
from bot.domain.promotions.approvers import MAX_NOTIFIED, EligibleApprovers, check_enough_approvers
from bot.domain.promotions.request import Request
from bot.ports import OutboxMessage
from bot.services.core.context import Context
from bot.services.core.outbox_messages import invitation_message

log = logging.getLogger(__name__)


class Approvers:
    """Resolves a rule's approvers to people."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def require_enough(self, model: str, rule: TargetRule, requester: Actor) -> EligibleApprovers:
        """Return the people who can approve under a rule.

        Raises TooFewApprovers if a request under this rule could never get enough approvals.
        """
        electorate = self._electorate(rule)
        check_enough_approvers(model, rule, slack_user_id(requester, self._context.policy), electorate)
        return electorate

    def _electorate(self, rule: TargetRule) -> EligibleApprovers:
        ids = sorted(self._context.policy.expand_roles(rule.approvers))
        try:
            return self._context.directory.electorate(ids)
        except SlackUnreachable as error:
            log.warning("who is behind %s isn't known now: %s", ", ".join(ids), error)
            return EligibleApprovers.from_ids(ids)

    def invitations(self, request: Request, rule: TargetRule, electorate: EligibleApprovers) -> list[OutboxMessage]:
        """Return the direct messages to those who can approve a new request, if the rule asks for invitations.

        The requester needs none.
        """
        if rule.tell_approvers != "direct":
            return []
        able = electorate.user_ids(slack_user_id(request.requester, self._context.policy))
        sentence = approver_messages.approval_invitation(request)
        return [invitation_message(request, user, sentence) for user in able[:MAX_NOTIFIED]]
