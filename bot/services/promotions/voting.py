"""Decide requests: vote, withdraw a vote, override gates, or cancel. The executor carries out the transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Approve, Cancel, Override, Reject, Withdraw
from bot.domain.core.actors import Caller, Profile, actor_of
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import Code, MessageLink, Sentence, say
from bot.domain.policy.authorization import Permission
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, with_unblocked_version
from bot.domain.promotions.request import Request, RequestState, pack_snapshot
from bot.domain.promotions.votes import Vote, VoteChoice, counting_approvals, state_after_votes
from bot.ports import LedgerTransaction
from bot.services.core.commands import ChangeHandlers, CommandResult
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_link, thread_message
from bot.services.promotions.decisions import Profiles, RequestDecisions, Voters

MAX_PENDING = 10_000  # pending requests at a time; there is at most one per model and stage


class Requests:
    """Commands on a pending request. Each one is a single transaction; the audit log records its `origin`.

    All commands raise UnknownRequest, Refused and AlreadyDecided (both are audited), and LedgerUnavailable.
    """

    def __init__(self, context: Context, decisions: RequestDecisions) -> None:
        self._context = context
        self._decisions = decisions
        self._voters = Voters(context)

    def handlers(self) -> ChangeHandlers:
        """Return the handlers for the commands that decide or cancel a request."""
        return {
            Approve: self.approve,
            Reject: self.reject,
            Withdraw: self.withdraw_vote,
            Override: self.override_gates,
            Cancel: self.cancel,
        }

    def approve(self, caller: Caller, command: Approve, *, origin: str) -> CommandResult:
        """Record an approval, and decide the request if it was the last one needed.

        Earlier approvals lapse first if their voter can no longer approve.
        """
        profiles = self._voters.profiles_before_decision(command.request, new_approvals=1)
        with self._decisions.change(caller, Permission.APPROVE, command.request, origin) as (tx, request, by):
            self._decisions.require_hashed(tx, request)
            votes = self._add_vote(tx, caller, request, VoteChoice.APPROVE, "", origin, profiles, by)
            vote, approvals = votes[-1], counting_approvals(votes)
            # The key differs from that of an earlier vote by the same person.
            key = f"vote:{vote.voter.user}:{vote.at:%Y%m%dT%H%M%S.%f}"
            if is_decided := state_after_votes(request, votes) is RequestState.APPROVED:
                decided = self._decisions.approve(tx, request, approvals)
            else:
                decided = request
                self._decisions.redraw(tx, request, key)
        answer = promotion_messages.approval_confirmation(decided, len(approvals), self._card_link(decided))
        return CommandResult(answer=answer, request=decided, due_model=decided.model if is_decided else "")

    def _card_link(self, request: Request) -> MessageLink:
        return card_link(request, self._context.policy.channel_for(request.model), "the card")

    def reject(self, caller: Caller, command: Reject, *, origin: str) -> CommandResult:
        """Record a rejection, which ends the request. Raises BadInput if there's no reason."""
        if not command.reason:
            raise BadInput("A rejection needs a reason for the requester.")
        with self._decisions.change(caller, Permission.REJECT, command.request, origin) as (tx, request, by):
            vote = self._add_vote(tx, caller, request, VoteChoice.REJECT, command.reason, origin, {}, by)[-1]
            rejected = self._decisions.end(
                tx, request, RequestState.REJECTED, EventTag.REJECTED, vote.voter, command.reason
            )
        return CommandResult(answer=promotion_messages.rejection_confirmation(rejected), request=rejected)

    def withdraw_vote(self, caller: Caller, command: Withdraw, *, origin: str) -> CommandResult:
        """Withdraw the caller's own vote from a pending request."""
        with self._decisions.change(caller, Permission.WITHDRAW, command.request, origin) as (tx, request, by):
            if not isinstance(caller, Profile):
                raise BadInput("Only a person can vote.")
            own_vote = next((vote for vote in tx.votes(request.id) if vote.voter.user == caller.person.user), None)
            if own_vote is None or not tx.delete_vote(request.id, own_vote.voter):
                raise Refused(say("You haven't voted on request {id}.", id=Code(request.id)))
            approvals, trigger = len(counting_approvals(tx.votes(request.id))), f"withdrawn:{self._context.new_id()}"
            evidence = {"approvals": approvals, "required": request.required, **by}
            self._decisions.record(
                tx, request, EventTag.VOTE_WITHDRAWN, actor_of(caller), origin=origin, evidence=evidence
            )
            self._decisions.redraw(tx, request, trigger)
        return CommandResult(answer=promotion_messages.withdrawal_confirmation(request, approvals), request=request)

    def override_gates(self, caller: Caller, command: Override, *, origin: str) -> CommandResult:
        """Override the failed gates of a pending request, and approve it if it has enough approvals.

        Raises BadInput if there's no reason, and Refused if no gate failed.
        """
        if not command.reason:
            raise BadInput("An override needs a reason. It's shown on the card and in the audit log.")
        profiles = self._voters.profiles_before_decision(command.request, new_approvals=0)
        with self._decisions.change(caller, Permission.OVERRIDE, command.request, origin) as (
            tx,
            request,
            caller_evidence,
        ):
            if not request.has_blocking_gates or request.seen is None:
                raise Refused(say("No gate blocks request {id}, so there's nothing to override.", id=Code(request.id)))
            by = actor_of(caller)
            passed = replace(request, overridden_by=by, override_reason=command.reason)
            tx.save_request(passed)
            evidence = {"gates": pack_snapshot(request.seen)["gates"], **caller_evidence}
            self._decisions.record(
                tx, passed, EventTag.GATES_OVERRIDDEN, by, why=command.reason, origin=origin, evidence=evidence
            )
            announcement = promotion_messages.override_announcement(passed)
            tx.add_message(thread_message(passed.id, "overridden", announcement))
            votes = self._voters.mark_lapsed(tx, passed, tx.votes(request.id), profiles)
            if state_after_votes(passed, votes) is RequestState.APPROVED:
                passed = self._decisions.approve(tx, passed, counting_approvals(votes))
            else:
                self._decisions.redraw(tx, passed, "overridden")
        approvals = len(counting_approvals(votes))
        answer = promotion_messages.override_confirmation(passed, approvals, self._card_link(passed))
        due_model = "" if passed.state is RequestState.PENDING else passed.model
        return CommandResult(answer=answer, request=passed, due_model=due_model)

    def cancel(self, caller: Caller, command: Cancel, *, origin: str) -> CommandResult:
        """Cancel a pending request."""
        with self._decisions.change(caller, Permission.CANCEL, command.request, origin) as (tx, request, by):
            cancelled = self._decisions.end(
                tx, request, RequestState.CANCELLED, EventTag.CANCELLED, actor_of(caller), command.reason, by
            )
        return CommandResult(answer=promotion_messages.cancellation_confirmation(cancelled), request=cancelled)

    def end_held(self, tx: LedgerTransaction, request_id: str, why: Sentence) -> None:
        """End a request that was held after a restore, in the caller's transaction; do nothing if it isn't pending."""
        request = tx.lock_request(request_id)
        if request.state is RequestState.PENDING:
            self._decisions.end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))

    def profiles_before_unblocking(self, model: str, version: int) -> Profiles:
        """Return the approvers' profiles for requests that may be waiting only for `version` to be unblocked.

        Raises LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            pending = reader.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING)
        blocked = [request.id for request in pending if _is_blocked_by(request, version)]
        return {
            user: profile
            for request_id in blocked
            for user, profile in self._voters.profiles_before_decision(request_id, new_approvals=0).items()
        }

    def pass_blocked_gate(
        self, tx: LedgerTransaction, model: str, version: int, block_id: str, profiles: Profiles
    ) -> None:
        """Pass the `not_blocked` gate of pending requests that a block on `version` stops.

        Call this in the transaction that removes the block, `block_id`. Requests that need nothing else are approved;
        the executor checks everything again. `profiles` come from `profiles_before_unblocking`.
        """
        for pending in tx.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING):
            if not _is_blocked_by(pending, version):
                continue
            request = tx.lock_request(pending.id)
            if request.seen is not None and request.seen.fails_gate(NOT_BLOCKED_GATE):
                tx.save_request(replace(request, seen=with_unblocked_version(request.seen)))
            if not self.decide_if_complete(tx, pending.id, profiles):
                self._decisions.redraw(tx, tx.request(pending.id), f"unblocked:{block_id}")

    def decide_if_complete(self, tx: LedgerTransaction, request_id: str, profiles: Profiles) -> bool:
        """Decide a pending request if its votes are complete; return whether it was decided.

        This runs in the caller's transaction. An approval lapses if its voter can't approve anymore, according to
        `profiles`. An outdated request ends instead.
        """
        request = tx.lock_request(request_id)
        if (
            request.state is not RequestState.PENDING
            or request.is_past_expiry(self._context.clock.now())
            or tx.is_request_held(request_id)
            or state_after_votes(request, tx.votes(request_id)) is not RequestState.APPROVED
        ):
            return False
        if self._decisions.end_if_outdated(tx, request) is not None:
            return True
        votes = self._voters.mark_lapsed(tx, request, tx.votes(request_id), profiles)
        if state_after_votes(request, votes) is not RequestState.APPROVED:
            return False
        self._decisions.approve(tx, request, counting_approvals(votes))
        return True

    def _add_vote(
        self,
        tx: LedgerTransaction,
        caller: Caller,
        request: Request,
        choice: VoteChoice,
        reason: str,
        origin: str,
        profiles: Profiles,
        by: Mapping[str, Any],
    ) -> list[Vote]:
        """Add the caller's vote, and return all votes, with the new one last. `by` is the evidence about the caller.

        Raises BadInput and Refused.
        """
        if not isinstance(caller, Profile):
            raise BadInput("Only a person can vote.")
        vote = Vote(request=request.id, voter=caller.person, choice=choice, reason=reason, at=self._context.clock.now())
        votes = self._voters.mark_lapsed(tx, request, tx.votes(request.id), profiles)
        # Compare users only: the terminal doesn't know the workspace, and no one's vote counts twice.
        own_vote = next((other for other in votes if other.voter.user == vote.voter.user), None)
        if own_vote is not None and own_vote.lapsed:  # they can vote again
            tx.delete_vote(request.id, own_vote.voter)
            votes.remove(own_vote)
            own_vote = None
        if own_vote is not None or not tx.add_vote(vote):
            raise Refused(say("You've already voted on request {id}.", id=Code(request.id)))
        votes.append(vote)
        evidence = {
            "choice": choice.value,
            "approvals": len(counting_approvals(votes)),
            "required": request.required,
            **by,
        }
        self._decisions.record(
            tx, request, EventTag.VOTED, actor_of(caller), why=reason, origin=origin, evidence=evidence
        )
        return votes


def _is_blocked_by(request: Request, version: int) -> bool:
    """Return whether a block on `version` stops a request for that version or for one with the same files."""
    return ((request.seen and request.seen.blocked) or request.version) == version
