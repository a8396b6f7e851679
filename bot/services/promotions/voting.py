"""Decide about requests: vote, withdraw a vote, override gates, cancel. The executor makes the transition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Approve, Cancel, Override, Reject, Withdraw
from bot.domain.core.actors import Caller, Person, Profile, actor_of
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.authorization import (
    AccessTarget,
    Permission,
    authorize,
    describe_caller,
)
from bot.domain.policy.freezes import active_freeze
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, with_unblocked_version
from bot.domain.promotions.request import Request, RequestState, Vote, VoteChoice, state_after_votes
from bot.domain.promotions.request import counting_approvals as counted
from bot.domain.promotions.snapshot import pack_snapshot
from bot.domain.transitions import restore_messages
from bot.ports import LedgerTransaction
from bot.services.core.commands import ChangeHandlers, CommandResult
from bot.services.core.context import Context
from bot.services.promotions.outcomes import RequestDecisions
from bot.services.promotions.request_changes import change_request
from bot.services.promotions.voter_eligibility import Profiles, Voters

MAX_PENDING = 10_000  # pending requests at a time; there is at most one per model and stage
# Refused on a request that the ledger knows is outdated. Cancelling it or withdrawing a vote still works.
_REFUSED_WHEN_OUTDATED = frozenset({Permission.APPROVE, Permission.OVERRIDE})
_REFUSED_WHEN_HELD = frozenset(
    {Permission.APPROVE, Permission.OVERRIDE, Permission.REJECT}
)  # refused on a request that is held after a restore
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VoteResult:
    """A vote that was recorded: the request as it stands now, and how many approvals it has."""

    request: Request
    approvals: int


class Requests:
    """What people do to a pending request. Each call is one transaction."""

    def __init__(self, context: Context, decisions: RequestDecisions) -> None:
        self._context = context
        self._decisions = decisions
        self._voters = Voters(context)

    def handlers(self) -> ChangeHandlers:
        """Return the handlers of the commands that decide or cancel a request."""
        return {
            Approve: self._approve,
            Reject: self._reject,
            Withdraw: self._withdraw,
            Override: self._override,
            Cancel: self._cancel,
        }

    def _approve(self, caller: Caller, command: Approve, *, origin: str) -> CommandResult:
        return _vote_result(
            self.vote(caller, command.request, VoteChoice.APPROVE, origin=origin),
            promotion_messages.approval_confirmation,
        )

    def _reject(self, caller: Caller, command: Reject, *, origin: str) -> CommandResult:
        if not command.reason:
            raise BadInput("A rejection needs a reason: the requester gets to read it.")
        counted = self.vote(caller, command.request, VoteChoice.REJECT, reason=command.reason, origin=origin)
        return CommandResult(answer=promotion_messages.rejection_confirmation(counted.request), request=counted.request)

    def _withdraw(self, caller: Caller, command: Withdraw, *, origin: str) -> CommandResult:
        return _vote_result(
            self.withdraw_vote(caller, command.request, origin=origin), promotion_messages.withdrawal_confirmation
        )

    def _override(self, caller: Caller, command: Override, *, origin: str) -> CommandResult:
        if not command.reason:
            raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
        return _vote_result(
            self.override_gates(caller, command.request, reason=command.reason, origin=origin),
            promotion_messages.override_confirmation,
        )

    def _cancel(self, caller: Caller, command: Cancel, *, origin: str) -> CommandResult:
        request = self.cancel(caller, command.request, reason=command.reason, origin=origin)
        return CommandResult(answer=promotion_messages.cancellation_confirmation(request), request=request)

    def vote(self, caller: Caller, request_id: str, choice: VoteChoice, *, reason: str = "", origin: str) -> VoteResult:
        """Record a vote and, if it decides the request, the decision, in one transaction.

        `reason` is shown to the requester; `origin` ("slack", "terminal" …) goes into the audit log. Raises
        UnknownRequest, Refused and AlreadyDecided (both are audited), and LedgerUnavailable.
        """
        is_approval = choice is VoteChoice.APPROVE
        profiles = self._voters.profiles_before_decision(request_id, new_approvals=1) if is_approval else {}

        def count(tx: LedgerTransaction, request: Request) -> Refused | VoteResult:
            return self._record_vote(tx, caller, request, choice, reason, origin, profiles)

        return self._change(caller, Permission.APPROVE if is_approval else Permission.REJECT, request_id, count, origin)

    def withdraw_vote(self, caller: Caller, request_id: str, *, origin: str) -> VoteResult:
        """Withdraw the caller's own vote from a pending request. Raises the same errors as `vote`."""
        return self._change(
            caller,
            Permission.WITHDRAW,
            request_id,
            lambda tx, request: self._delete_vote(tx, caller, request, origin),
            origin,
        )

    def override_gates(self, caller: Caller, request_id: str, *, reason: str, origin: str) -> VoteResult:
        """Override the failed gates of a pending request, and approve it if it has enough approvals.

        Raises the same errors as `vote`; also Refused if no gate failed.
        """
        profiles = self._voters.profiles_before_decision(request_id, new_approvals=0)

        def let_pass(tx: LedgerTransaction, request: Request) -> Refused | VoteResult:
            return self._override_gates(tx, caller, request, reason, origin, profiles)

        return self._change(caller, Permission.OVERRIDE, request_id, let_pass, origin)

    def cancel(self, caller: Caller, request_id: str, *, reason: str = "", origin: str) -> Request:
        """Cancel a pending request. Raises the same errors as `vote`."""

        def end(tx: LedgerTransaction, request: Request) -> Request:
            return self._decisions.end(
                tx, request, RequestState.CANCELLED, EventTag.CANCELLED, actor_of(caller), reason, caller
            )

        return self._change(caller, Permission.CANCEL, request_id, end, origin)

    def require_allowed(self, caller: Caller, request_id: str, permission: Permission) -> Request:
        """Return the request if `caller` has `permission` on it now, for example before a modal opens.

        It's checked again when they act. Raises UnknownRequest, Refused, and AlreadyDecided; a refusal is audited.
        """
        return self._change(caller, permission, request_id, lambda _, request: request, "slack")

    def _change(
        self,
        caller: Caller,
        permission: Permission,
        request_id: str,
        change: Callable[[LedgerTransaction, Request], Refused | T],
        origin: str,
    ) -> T:
        def checked(tx: LedgerTransaction, request: Request) -> Refused | T:
            return self._refusal(tx, caller, permission, request) or change(tx, request)

        return change_request(self._context, caller, permission, request_id, checked, origin=origin)

    def mark_outdated(self, tx: LedgerTransaction, request_id: str, why: Sentence) -> None:
        """End a request as outdated in the caller's transaction; do nothing if it isn't pending."""
        request = tx.lock_request(request_id)
        if request.state is RequestState.PENDING:
            self._decisions.end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))

    def profiles_before_unblocking(self, model: str, version: int) -> Profiles:
        """Return the profiles of those who approved requests that may only be waiting for `version` to be unblocked.

        Raises LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            pending = reader.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING)
        profiles: dict[str, Profile] = {}
        for request in pending:
            if _is_blocked_by(request, version):
                profiles |= self._voters.profiles_before_decision(request.id, new_approvals=0)
        return profiles

    def pass_blocked_gate(
        self, tx: LedgerTransaction, model: str, version: int, block_id: str, profiles: Profiles
    ) -> None:
        """Pass the gate `not_blocked` of a version's pending requests, in the transaction that lifts `block_id`.

        Requests that have everything else are approved; the executor checks everything again. `profiles` come from
        `profiles_before_unblocking`.
        """
        for pending in tx.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING):
            if not _is_blocked_by(pending, version):
                continue
            request = tx.lock_request(pending.id)
            if request.seen is not None and request.seen.fails_gate(NOT_BLOCKED_GATE):
                tx.save_request(replace(request, seen=with_unblocked_version(request.seen)))
            if not self.decide_if_complete(tx, pending.id, profiles):
                tx.add_message(self._decisions.card_message(tx.request(pending.id), f"unblocked:{block_id}"))

    def decide_if_complete(self, tx: LedgerTransaction, request_id: str, profiles: Profiles) -> bool:
        """Decide a pending request if its votes are complete, in the caller's transaction; return whether it was.

        Approvals lapse if, according to `profiles`, their voter can no longer approve. An outdated request ends.
        """
        request = tx.lock_request(request_id)
        if request.state is not RequestState.PENDING or request.is_pending_past_expiry(self._context.clock.now()):
            return False
        if (
            tx.is_request_held(request_id)
            or state_after_votes(request, tx.votes(request_id)) is not RequestState.APPROVED
        ):
            return False
        if (why := self._decisions.why_outdated(tx, request)) is not None:
            self._decisions.end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))
            return True
        votes = self._voters.mark_lapsed(tx, request, tx.votes(request_id), profiles)
        if state_after_votes(request, votes) is not RequestState.APPROVED:
            return False
        self._decisions.approve(tx, request, counted(votes)[-1])
        return True

    def _refusal(
        self, tx: LedgerTransaction, caller: Caller, permission: Permission, request: Request
    ) -> Refused | None:
        now = self._context.clock.now()
        subject = AccessTarget(
            model=request.model,
            target=request.target,
            requester=request.requester,
            frozen=active_freeze(request.model, tx.freezes(), self._context.policy, now),
        )
        decision = authorize(caller, permission, subject, self._context.policy, now)
        if decision.is_outsider:
            return Refused(decision.reason)
        if request.is_pending_past_expiry(now):
            request = self._decisions.end(
                tx, request, RequestState.EXPIRED, EventTag.EXPIRED, None, "nobody decided in time"
            )
            return AlreadyDecided(promotion_messages.outcome_announcement(request))
        if request.state is not RequestState.PENDING:
            return AlreadyDecided(promotion_messages.already_decided_reason(request))
        if decision and permission in _REFUSED_WHEN_HELD and tx.is_request_held(request.id):
            return Refused(restore_messages.held_request_refusal())
        why = self._decisions.why_outdated(tx, request) if permission in _REFUSED_WHEN_OUTDATED else None
        if why is not None:
            request = self._decisions.end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))
            return AlreadyDecided(promotion_messages.outcome_announcement(request))
        return None if decision else Refused(decision.reason)

    def _record_vote(
        self,
        tx: LedgerTransaction,
        caller: Caller,
        request: Request,
        choice: VoteChoice,
        reason: str,
        origin: str,
        profiles: Profiles,
    ) -> Refused | VoteResult:
        voter = self._require_person(caller)
        vote = Vote(request=request.id, voter=voter, choice=choice, reason=reason, at=self._context.clock.now())
        before = self._voters.mark_lapsed(tx, request, tx.votes(request.id), profiles)
        # Compare users only: a terminal doesn't know the workspace, and nobody's vote counts twice.
        own_vote = next((vote for vote in before if vote.voter.user == voter.user), None)
        if own_vote is not None and own_vote.lapsed:  # they can vote again by now
            tx.delete_vote(request.id, own_vote.voter)
            before.remove(own_vote)
            own_vote = None
        if own_vote is not None or not tx.add_vote(vote):
            return Refused(say("You have voted on request {id} already.", id=Code(request.id)))
        votes = [*before, vote]
        approvals = _count_approvals(votes)
        evidence: dict[str, Any] = {"choice": choice.value, "approvals": approvals, "required": request.required}
        evidence |= {"by": describe_caller(caller, self._context.policy)}
        tx.add_audit_event(
            self._decisions.request_event(
                request, EventTag.VOTED, actor_of(caller), why=reason, origin=origin, evidence=evidence
            )
        )
        if choice is VoteChoice.APPROVE:
            tx.add_message(
                self._decisions.thread_message(
                    request, _vote_key(vote), promotion_messages.vote_announcement(request, vote, approvals)
                )
            )
        return VoteResult(self._decide(tx, request, votes, vote), approvals)

    def _delete_vote(
        self, tx: LedgerTransaction, caller: Caller, request: Request, origin: str
    ) -> Refused | VoteResult:
        own_voter = next(
            (vote.voter for vote in tx.votes(request.id) if vote.voter.user == self._require_person(caller).user), None
        )
        voter = own_voter or self._require_person(caller)
        if not tx.delete_vote(request.id, voter):
            return Refused(say("You have not voted on request {id}.", id=Code(request.id)))
        approvals, number = _count_approvals(tx.votes(request.id)), self._context.new_id()
        evidence: dict[str, Any] = {"approvals": approvals, "required": request.required}
        evidence |= {"by": describe_caller(caller, self._context.policy)}
        tx.add_audit_event(
            self._decisions.request_event(
                request, EventTag.VOTE_WITHDRAWN, actor_of(caller), origin=origin, evidence=evidence
            )
        )
        tx.add_message(self._decisions.card_message(request, f"withdrawn:{number}"))
        tx.add_message(
            self._decisions.thread_message(
                request, f"withdrawn:{number}", promotion_messages.withdrawal_announcement(request, voter, approvals)
            )
        )
        return VoteResult(request, approvals)

    def _override_gates(
        self, tx: LedgerTransaction, caller: Caller, request: Request, reason: str, origin: str, profiles: Profiles
    ) -> Refused | VoteResult:
        if not request.has_blocking_gates or request.seen is None:
            return Refused(say("No gate of request {id} stands in the way.", id=Code(request.id)))
        by = actor_of(caller)
        passed = replace(request, overridden_by=by, override_reason=reason)
        tx.save_request(passed)
        evidence = {"gates": pack_snapshot(request.seen)["gates"], "by": describe_caller(caller, self._context.policy)}
        tx.add_audit_event(
            self._decisions.request_event(
                passed, EventTag.GATES_OVERRIDDEN, by, why=reason, origin=origin, evidence=evidence
            )
        )
        tx.add_message(
            self._decisions.thread_message(passed, "overridden", promotion_messages.override_announcement(passed))
        )
        votes = self._voters.mark_lapsed(tx, passed, tx.votes(request.id), profiles)
        if state_after_votes(passed, votes) is RequestState.APPROVED:
            passed = self._decisions.approve(tx, passed, counted(votes)[-1])
        else:
            tx.add_message(self._decisions.card_message(passed, "overridden"))
        return VoteResult(passed, _count_approvals(votes))

    def _decide(self, tx: LedgerTransaction, request: Request, votes: list[Vote], last_vote: Vote) -> Request:
        state = state_after_votes(request, votes)
        if state is RequestState.APPROVED:
            return self._decisions.approve(tx, request, last_vote)
        if state is RequestState.REJECTED:
            return self._decisions.end(tx, request, state, EventTag.REJECTED, last_vote.voter, last_vote.reason)
        tx.add_message(self._decisions.card_message(request, _vote_key(last_vote)))
        return request

    def _require_person(self, caller: Caller) -> Person:
        if isinstance(caller, Profile):
            return caller.person
        raise BadInput("Only a person can vote.")


def _vote_result(counted: VoteResult, describe: Callable[[Request, int], Sentence]) -> CommandResult:
    request = counted.request
    due = "" if request.state is RequestState.PENDING else request.model
    return CommandResult(answer=describe(request, counted.approvals), request=request, due_model=due)


def _is_blocked_by(request: Request, version: int) -> bool:
    """Tell whether a block on `version` stops this request: it's the same version, or has the same files."""
    return ((request.seen and request.seen.blocked) or request.version) == version


def _vote_key(vote: Vote) -> str:
    """Return a key for a vote's messages. It differs from that of an earlier vote by the same person."""
    return f"vote:{vote.voter.user}:{vote.at:%Y%m%dT%H%M%S.%f}"


def _count_approvals(votes: Sequence[Vote]) -> int:
    return len(counted(votes))
