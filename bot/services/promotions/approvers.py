"""Who can approve a new request, and who is told: read from Slack before the transaction in which it's opened."""

from __future__ import annotations

import logging

from bot.domain.core.actors import Actor
from bot.domain.core.errors import SlackUnreachable
from bot.domain.policy.authorization import user_of
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import approver_messages
from bot.domain.promotions.approvers import TOLD_MOST, Electorate, check_can_be_met
from bot.domain.promotions.request import Request
from bot.ports import Note
from bot.services.core.context import Context
from bot.services.core.outbox_messages import invitation

log = logging.getLogger(__name__)


class Approvers:
    """Reads who is behind a rule's approvers."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def check(self, model: str, rule: TargetRule, requester: Actor) -> Electorate:
        """Return who is behind a rule's approvers.

        Raises TooFewApprovers where a request under this rule could never have enough approvals.
        """
        found = self._behind(rule)
        check_can_be_met(model, rule, user_of(requester, self._it.policy), found)
        return found

    def _behind(self, rule: TargetRule) -> Electorate:
        ids = sorted(self._it.policy.ids(rule.approvers))
        try:
            return self._it.directory.electorate(ids)
        except SlackUnreachable as error:
            log.warning("who is behind %s isn't known now: %s", ", ".join(ids), error)
            return Electorate.listed(ids)

    def invitations(self, request: Request, rule: TargetRule, electorate: Electorate) -> list[Note]:
        """Return the direct messages to those who can approve a new request, where the rule has them told so.

        The requester needs none.
        """
        if rule.tell_approvers != "direct":
            return []
        able = electorate.able(user_of(request.requester, self._it.policy))
        sentence = approver_messages.invited(request)
        return [invitation(request, user, sentence) for user in able[:TOLD_MOST]]
