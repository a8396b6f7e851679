"""Whether those who let a request pass still can: checked once the approvals are complete, and before the move."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.domain.audit.events import Tag
from bot.domain.core.actors import Actor, Person, Profile
from bot.domain.core.errors import LedgerUnavailable, SlackUnreachable
from bot.domain.core.sentence import Say
from bot.domain.policy.authorization import Act, Decision, Subject, authorize, operator_unknown, user_of
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState, Vote, approvals
from bot.domain.transitions.changes_since_opened import since_opened
from bot.ports import Reading, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import news_note, request_event

log = logging.getLogger(__name__)

PAGE = 50  # moves read at a time

UNRECORDED = "Registrar's ledger does not answer, so nothing was recorded; try again in a moment."

Profiles = Mapping[str, Profile]  # by user id


class Voters:
    """Reads people's profiles outside of any transaction, and decides with them inside of one."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def before_the_last(self, request_id: str, coming: int) -> Profiles:
        """Return the profiles of those who approved, if `coming` more approvals would be enough; else nothing.

        Nothing either where Slack doesn't answer: the executor checks everyone before the move, and waits for Slack.
        Raises UnknownRequest and LedgerUnavailable.
        """
        try:
            with self._it.ledger.read() as reading:
                request, before = reading.request(request_id), approvals(reading.votes(request_id))
        except LedgerUnavailable as error:  # somebody is deciding, not looking
            raise LedgerUnavailable(UNRECORDED) from error
        if request.state is not RequestState.PENDING or len(before) + coming < request.required:
            return {}
        try:
            return self.profiles([vote.voter for vote in before])
        except SlackUnreachable as error:
            log.warning("request %s: earlier approvals are checked before the move: %s", request_id, error)
            return {}

    def profiles(self, people: Sequence[Actor]) -> Profiles:
        """Return who these people are now. Raises SlackUnreachable."""
        users = [user_of(one, self._it.policy) for one in people]
        asked = [
            one if isinstance(one, Person) else Person("", user)
            for one, user in zip(people, users, strict=True)
            if user
        ]
        return self._it.directory.profiles_now(asked) if asked else {}

    def lapse(self, tx: Writing, request: Request, votes: Sequence[Vote], profiles: Profiles) -> list[Vote]:
        """Mark the approvals whose voter can no longer approve, and return all votes as they are now.

        A voter who isn't in `profiles` isn't checked.
        """
        return [self._lapse(tx, request, vote, profiles) for vote in votes]

    def _lapse(self, tx: Writing, request: Request, vote: Vote, profiles: Profiles) -> Vote:
        if not vote.is_approval or vote.voter.user not in profiles:
            return vote
        decision = self.decide(vote.voter, Act.APPROVE, request, profiles)
        if decision:
            return vote
        lapsed = replace(vote, lapsed=decision.rule)
        tx.save_vote(lapsed)
        said = promotion_messages.lapsed(lapsed)
        tx.append(
            request_event(
                request,
                Tag.LAPSED,
                None,
                self._it.clock.now(),
                why=str(said),
                evidence={"voter": vote.voter.user, "rule": decision.rule},
            )
        )
        tx.add_note(news_note(request, f"lapsed:{self._it.new_id()}", said))
        return lapsed

    def decide(self, actor: Actor, act: Act, request: Request, profiles: Profiles) -> Decision:
        """Decide whether someone can still do what they did to a request. A freeze doesn't matter here."""
        user = user_of(actor, self._it.policy)
        profile = profiles.get(user) if user else None
        if profile is None:
            return operator_unknown(actor)
        subject = Subject(model=request.model, target=request.target, requester=request.requester)
        return authorize(profile, act, subject, self._it.policy, self._it.clock.now())


def meanwhile(reading: Reading, request: Request) -> Say | None:
    """Return what the ledger's own history holds against a request that is still to be decided or moved.

    Reads moves up to the page that reaches back to when it was opened.
    """
    moves = reading.moves(request.model, most=PAGE)
    page = moves
    while len(page) == PAGE and page[-1].intended_at > request.opened_at:
        page = reading.moves(request.model, before=page[-1].id, most=PAGE)
        moves = moves + page
    return since_opened(request, moves, reading.bars(request.model))
