"""Check that voters can still approve: once the approvals are complete, and before the transition."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Actor, Person, Profile
from bot.domain.core.errors import LedgerUnavailable, SlackUnreachable
from bot.domain.core.sentence import Sentence
from bot.domain.policy.authorization import (
    AccessDecision,
    AccessTarget,
    Permission,
    authorize,
    slack_user_id,
    unknown_operator_decision,
)
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState, Vote, counting_approvals
from bot.domain.transitions.changes_since_opened import change_since_opened
from bot.ports import LedgerReader, LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import request_event, thread_message

log = logging.getLogger(__name__)

PAGE_SIZE = 50  # transitions read at a time

NOT_RECORDED = "Registrar's ledger does not answer, so nothing was recorded; try again in a moment."

Profiles = Mapping[str, Profile]  # by user id


class Voters:
    """Reads people's profiles outside of transactions, and checks votes against them inside of one."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def profiles_before_decision(self, request_id: str, new_approvals: int) -> Profiles:
        """Return the profiles of those who approved, if `new_approvals` more would be enough; else nothing.

        Also returns nothing if Slack doesn't answer: the executor checks everyone before the transition, and waits for
        Slack. Raises UnknownRequest and LedgerUnavailable.
        """
        try:
            with self._context.ledger.read() as reader:
                request, votes = reader.request(request_id), counting_approvals(reader.votes(request_id))
        except LedgerUnavailable as error:  # the caller is deciding, so say that nothing was recorded
            raise LedgerUnavailable(NOT_RECORDED) from error
        if request.state is not RequestState.PENDING or len(votes) + new_approvals < request.required:
            return {}
        try:
            return self.profiles([vote.voter for vote in votes])
        except SlackUnreachable as error:
            log.warning("request %s: earlier approvals are checked before the move: %s", request_id, error)
            return {}

    def profiles(self, people: Sequence[Actor]) -> Profiles:
        """Return the current profiles of these people, by user id. Raises SlackUnreachable."""
        user_ids = [slack_user_id(user, self._context.policy) for user in people]
        persons = [
            actor if isinstance(actor, Person) else Person("", user)
            for actor, user in zip(people, user_ids, strict=True)
            if user
        ]
        return self._context.directory.current_profiles(persons) if persons else {}

    def mark_lapsed(
        self, tx: LedgerTransaction, request: Request, votes: Sequence[Vote], profiles: Profiles
    ) -> list[Vote]:
        """Mark the approvals whose voter can no longer approve, and return all votes as they are now.

        A voter who isn't in `profiles` isn't checked.
        """
        return [self._mark_if_lapsed(tx, request, vote, profiles) for vote in votes]

    def _mark_if_lapsed(self, tx: LedgerTransaction, request: Request, vote: Vote, profiles: Profiles) -> Vote:
        if not vote.is_approval or vote.voter.user not in profiles:
            return vote
        decision = self.authorize_now(vote.voter, Permission.APPROVE, request, profiles)
        if decision:
            return vote
        lapsed = replace(vote, lapsed=decision.rule)
        tx.save_vote(lapsed)
        announcement = promotion_messages.lapsed_vote_announcement(lapsed)
        tx.add_audit_event(
            request_event(
                request,
                EventTag.VOTE_LAPSED,
                None,
                self._context.clock.now(),
                why=str(announcement),
                evidence={"voter": vote.voter.user, "rule": decision.rule},
            )
        )
        tx.add_message(thread_message(request.id, f"lapsed:{self._context.new_id()}", announcement))
        return lapsed

    def authorize_now(
        self, actor: Actor, permission: Permission, request: Request, profiles: Profiles
    ) -> AccessDecision:
        """Decide whether someone can still do what they did to a request. A freeze doesn't matter here."""
        user = slack_user_id(actor, self._context.policy)
        profile = profiles.get(user) if user else None
        if profile is None:
            return unknown_operator_decision(actor)
        subject = AccessTarget(model=request.model, target=request.target, requester=request.requester)
        return authorize(profile, permission, subject, self._context.policy, self._context.clock.now())


def changes_since_opened(reader: LedgerReader, request: Request) -> Sentence | None:
    """Return what has happened in the ledger since the request was opened that makes it outdated, or None.

    Reads transitions page by page, back to when the request was opened.
    """
    transitions = reader.transitions(request.model, limit=PAGE_SIZE)
    page = transitions
    while len(page) == PAGE_SIZE and page[-1].intended_at > request.opened_at:
        page = reader.transitions(request.model, before_id=page[-1].id, limit=PAGE_SIZE)
        transitions = transitions + page
    return change_since_opened(request, transitions, reader.rollback_blocks(request.model))
