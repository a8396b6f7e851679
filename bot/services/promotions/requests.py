"""Requests: opening, voting, cancelling, expiring. What decides is committed here; the registry is moved elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.domain.audit.events import Event, EventTag, canonical_time
from bot.domain.commands.requests import Promote
from bot.domain.core.actors import Actor, Caller, Person, Profile, actor_id, actor_of
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.errors import AlreadyDecided, BadInput, GateFailed, Refused
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.authorization import (
    AccessTarget,
    Permission,
    approver_ids,
    authorize,
    describe_caller,
    slack_user_id,
)
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import MAX_NOTIFIED, EligibleApprovers
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, rule_changed_reason, with_unblocked_version
from bot.domain.promotions.request import Request, RequestState, Vote, VoteChoice, state_after_votes
from bot.domain.promotions.request import counting_approvals as counted
from bot.domain.promotions.snapshot import RequestSnapshot, pack_snapshot
from bot.domain.registry.model import VersionInfo, resolve_version
from bot.domain.registry.version_identity import version_replaced_reason
from bot.domain.transitions import registry_tags, restore_messages
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.transition import (
    TransitionFacts,
    break_glass_transition,
    check_promotable,
    promotion_transition,
    stage_incumbent,
    superseded,
)
from bot.ports import LedgerReader, LedgerTransaction, OutboxMessage, QueuedCommand, QueuedCommandState
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    OPENED,
    card_message,
    channel_message,
    end_messages,
    reminder_messages,
    request_event,
    request_thread_message,
    tag_update_for,
)
from bot.services.promotions.approvers import Approvers
from bot.services.promotions.final_tags import final_tag_update
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.request_changes import change_request
from bot.services.promotions.voters import Profiles, Voters, changes_since_opened
from bot.services.registry.queries import RegistryQueries

MAX_PENDING = 10_000  # pending requests at one time: one a model and stage, and no team has so many models
# What nobody does to a request that the ledger knows to be out of date. Taking it or a vote back still is fine.
_REFUSED_WHEN_OUTDATED = frozenset({Permission.APPROVE, Permission.OVERRIDE})
_REFUSED_WHEN_HELD = frozenset(
    {Permission.APPROVE, Permission.OVERRIDE, Permission.REJECT}
)  # what nobody does to a request that is held


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VoteResult:
    """A vote that was recorded: the request as it stands now, and how many approvals it has."""

    request: Request
    approvals: int


class Requests:
    """The life of a request up to its decision."""

    def __init__(self, context: Context, queries: RegistryQueries, gate_checks: GateChecks) -> None:
        self._context = context
        self._queries = queries
        self._gate_checks = gate_checks
        self._voters = Voters(context)
        self._approvers = Approvers(context)

    # -- opening -----------------------------------------------------------------------------------------------

    def open(self, queued: QueuedCommand, command: Promote) -> Request:
        """Read the registry and open the request that was asked for; its card is on the way when this returns.

        Raises what stands against it (BadInput, Refused, RegistryRefused) and Unreachable.
        """
        with self._context.ledger.read() as reading:
            unwritten = reading.first_unwritten_tag_update(
                command.model
            )  # these may or may not show in the tags read below
        model, versions = self._queries.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        rule = self._require_rule(command, version)
        approvers = (
            EligibleApprovers()
            if command.break_glass
            else self._approvers.require_enough(command.model, rule, queued.caller)
        )
        seen = self._gate_checks.take_snapshot(
            model, versions, version, command.to, command.results(), with_callers=True
        )
        if seen.failed_gates and not rule.override and not command.break_glass:
            raise GateFailed(
                promotion_messages.failed_gates_refusal(command.model, version.version, seen), pack_snapshot(seen)
            )
        facts = TransitionFacts(versions=tuple(versions), model=model)
        request = self._build_request(queued, command, version, facts, rule, seen)
        with self._context.ledger.write() as tx:
            now = tx.queued_command(queued.id)
            if now.request:  # another thread was faster with the same ask
                return tx.request(now.request)
            if now.state is not QueuedCommandState.WAITING:
                raise Refused("This was refused a moment ago; ask again.")
            if request.breaks_glass:
                self._end_blocking_request(tx, request)
            request = _pass_gate_if_unblocked(tx, _with_former_tags(tx, request, version, unwritten), versions)
            tx.add_request(request)
            tx.save_queued_command(replace(queued, state=QueuedCommandState.OPENED, request=request.id))
            evidence = _rule_evidence(rule) | {"seen": pack_snapshot(request.seen or seen)} | _ci_evidence(request)
            tx.add_audit_event(self._request_event(request, EventTag.REQUEST_OPENED, queued.caller, evidence=evidence))
            tx.add_message(self._card_message(request, OPENED))
            for note in self._approvers.invitations(request, rule, approvers):
                tx.add_message(note)
            tx.add_tag_update(tag_update_for(request, "opened", registry_tags.opened_tags(request)))
            return self._break_glass(tx, request) if request.breaks_glass else request

    def _end_blocking_request(self, tx: LedgerTransaction, emergency_request: Request) -> None:
        """End the pending request that is in the way of an emergency; one that is being made is left."""
        there = tx.open_request(emergency_request.model, emergency_request.target)
        if there is not None and tx.lock_request(there.id).state is RequestState.PENDING:
            why = str(break_glass_messages.superseded_by_break_glass_reason(emergency_request.version))
            self._end(tx, there, RequestState.STALE, EventTag.STALE, emergency_request.requester, why)

    def _break_glass(self, tx: LedgerTransaction, request: Request) -> Request:
        """Write down the decision of the one who asked, and the move; the channel is alarmed."""
        now = self._context.clock.now()
        rule = self._context.policy.rules_for(request.model).rule(request.target) or TargetRule()
        decided = request.with_state(
            RequestState.APPROVED, decided_at=now, decided_by=request.requester, review_due=now + rule.review_within
        )
        tx.save_request(decided)
        tx.add_transition(break_glass_transition(decided, now))
        tx.add_audit_event(
            self._request_event(
                decided, EventTag.BROKE_GLASS, request.requester, why=request.reason, before="pending", after="approved"
            )
        )
        tx.add_message(self._card_message(decided, "approved"))
        alarm = break_glass_messages.break_glass_announcement(decided)
        tx.add_message(channel_message(f"glass:{decided.id}", self._context.policy.channel_for(decided.model), alarm))
        return decided

    def _require_rule(self, command: Promote, version: VersionInfo) -> TargetRule:
        rule = self._context.policy.rules_for(command.model).rule(command.to)
        if rule is None or not rule.approvers:
            raise Refused(
                say(
                    "The policy names nobody who may decide {model} → {stage}. Add approvers to {file}.",
                    model=Name(command.model),
                    stage=command.to,
                    file=Code("registrar.yml"),
                )
            )
        check_promotable(version, command.to)
        return rule

    def _build_request(
        self,
        queued: QueuedCommand,
        command: Promote,
        version: VersionInfo,
        facts: TransitionFacts,
        rule: TargetRule,
        snapshot: RequestSnapshot,
    ) -> Request:
        now, holder = self._context.clock.now(), stage_incumbent(facts, command.to)
        return Request(
            id=queued.id,
            model=command.model,
            version=version.version,
            semver=version.semver,
            from_stage=version.stage,
            target=command.to,
            incumbent=holder,
            requester=queued.caller,
            reason=command.reason,
            required=rule.required,
            keep_existing=command.keep_existing,
            seen=snapshot,
            opened_at=now,
            expires_at=now + rule.expires_after,
            ci=queued.ci,
            breaks_glass=command.break_glass,
            identity=facts.identity(version.version),
            incumbent_identity=facts.identity(holder),
        )

    # -- deciding ----------------------------------------------------------------------------------------------

    def vote(self, caller: Caller, request_id: str, choice: VoteChoice, *, reason: str = "", origin: str) -> VoteResult:
        """Record one person's word, and where it decides the request, what follows: in one transaction.

        Raises UnknownRequest, Refused and AlreadyDecided (kept in the audit), LedgerUnavailable.
        """
        is_yes = choice is VoteChoice.APPROVE
        profiles = self._voters.profiles_before_decision(request_id, new_approvals=1) if is_yes else {}

        def count(tx: LedgerTransaction, request: Request) -> Refused | VoteResult:
            return self._record_vote(tx, caller, request, choice, reason, origin, profiles)

        return self._change(caller, Permission.APPROVE if is_yes else Permission.REJECT, request_id, count, origin)

    def withdraw_vote(self, caller: Caller, request_id: str, *, origin: str) -> VoteResult:
        """Take the caller's own vote back while the request is pending. Raises like `vote`."""
        return self._change(
            caller,
            Permission.WITHDRAW,
            request_id,
            lambda tx, request: self._delete_vote(tx, caller, request, origin),
            origin,
        )

    def override_gates(self, caller: Caller, request_id: str, *, reason: str, origin: str) -> VoteResult:
        """Let the failed gates of a pending request pass; where that was all it waited for, it is approved.

        Raises like `vote`; Refused also where no gate failed.
        """
        profiles = self._voters.profiles_before_decision(request_id, new_approvals=0)

        def let_pass(tx: LedgerTransaction, request: Request) -> Refused | VoteResult:
            return self._override_gates(tx, caller, request, reason, origin, profiles)

        return self._change(caller, Permission.OVERRIDE, request_id, let_pass, origin)

    def cancel(self, caller: Caller, request_id: str, *, reason: str = "", origin: str) -> Request:
        """Take a pending request back. Raises like `vote`."""

        def end(tx: LedgerTransaction, request: Request) -> Request:
            return self._end(tx, request, RequestState.CANCELLED, EventTag.CANCELLED, actor_of(caller), reason, caller)

        return self._change(caller, Permission.CANCEL, request_id, end, origin)

    def require_allowed(self, caller: Caller, request_id: str, permission: Permission) -> Request:
        """Return the request when `caller` may do `act` to it now; asked again when they do it.

        Raises UnknownRequest, Refused, AlreadyDecided; a refusal is kept in the audit.
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

    def expire_overdue(self) -> int:
        """End the pending requests whose time is over; return how many."""
        with self._context.ledger.read() as reading:
            late = reading.expired_request_ids(self._context.clock.now())
        return sum(self._expire_request(request_id) for request_id in late)

    def _expire_request(self, request_id: str) -> bool:
        with self._context.ledger.write() as tx:
            request = tx.lock_request(request_id)
            if not request.is_pending_past_expiry(self._context.clock.now()):
                return False
            self._end(tx, request, RequestState.EXPIRED, EventTag.EXPIRED, None, "nobody decided in time")
        return True

    def end_outdated(self) -> int:
        """End the pending requests of which the ledger knows that they are out of date; return how many.

        That is another rule in the policy, or a look at the registry since it was opened that found another incumbent
        or the version in another stage. Nothing is read from the registry.
        """
        with self._context.ledger.read() as reading:
            pending = reading.requests(states=[RequestState.PENDING], limit=MAX_PENDING)
            out = [request.id for request in pending if self._why_outdated(reading, request)]
        return sum(self._end_if_outdated(request_id) for request_id in out)

    def _end_if_outdated(self, request_id: str) -> bool:
        with self._context.ledger.write() as tx:
            request = tx.lock_request(request_id)
            why = self._why_outdated(tx, request)
            if request.state is not RequestState.PENDING or why is None:
                return False
            self._end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))
        return True

    def mark_outdated(self, tx: LedgerTransaction, request_id: str, why: Sentence) -> None:
        """End a pending request in the caller's transaction; another one is left."""
        request = tx.lock_request(request_id)
        if request.state is RequestState.PENDING:
            self._end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))

    def profiles_before_unblocking(self, model: str, version: int) -> Profiles:
        """Return the profiles of those who approved requests that might wait only until `version` is unblocked.

        Raises LedgerUnavailable.
        """
        with self._context.ledger.read() as reading:
            pending = reading.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING)
        found: dict[str, Profile] = {}
        for one in pending:
            if _is_blocked_by(one, version):
                found |= self._voters.profiles_before_decision(one.id, new_approvals=0)
        return found

    def pass_blocked_gate(
        self, tx: LedgerTransaction, model: str, version: int, block_id: str, profiles: Profiles
    ) -> None:
        """Let the gate `not_blocked` of a version's pending requests pass, in the transaction that lifts `block`.

        One that waited for nothing else is approved; the executor checks everything again. `profiles` are those of
        `before_unblocking`.
        """
        for one in tx.requests(model=model, states=[RequestState.PENDING], limit=MAX_PENDING):
            if not _is_blocked_by(one, version):
                continue
            request = tx.lock_request(one.id)
            if request.seen is not None and request.seen.fails_gate(NOT_BLOCKED_GATE):
                tx.save_request(replace(request, seen=with_unblocked_version(request.seen)))
            if not self.decide_if_complete(tx, one.id, profiles):
                tx.add_message(self._card_message(tx.request(one.id), f"unblocked:{block_id}"))

    def decide_if_complete(self, tx: LedgerTransaction, request_id: str, profiles: Profiles) -> bool:
        """Decide a pending request that waits for nobody, in the caller's transaction; return whether it was decided.

        Approvals that don't count any more by `profiles` lapse. One that is out of date ends.
        """
        request = tx.lock_request(request_id)
        if request.state is not RequestState.PENDING or request.is_pending_past_expiry(self._context.clock.now()):
            return False
        if (
            tx.is_request_held(request_id)
            or state_after_votes(request, tx.votes(request_id)) is not RequestState.APPROVED
        ):
            return False
        if (why := self._why_outdated(tx, request)) is not None:
            self._end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))
            return True
        votes = self._voters.mark_lapsed(tx, request, tx.votes(request_id), profiles)
        if state_after_votes(request, votes) is not RequestState.APPROVED:
            return False
        self._approve(tx, request, counted(votes)[-1])
        return True

    def _why_outdated(self, reader: LedgerReader, request: Request) -> Sentence | None:
        """Return why a request can no longer be decided, as far as the ledger knows; None where it can."""
        if self._has_rule_changed(request):
            return rule_changed_reason(request)
        look = reader.registry_snapshot(request.model)
        changed = None if look is None or look.at <= request.opened_at else _change_since_opened(request, look)
        return changed or changes_since_opened(reader, request)

    def _has_rule_changed(self, request: Request) -> bool:
        if request.seen is None:  # opened by an older Registrar
            return False
        return request.seen.rule != self._context.policy.fingerprint(request.model, request.target)

    def remind_approvers(self, resolve_members: Callable[[Sequence[str]], list[str]]) -> int:
        """Remind those who can decide of pending requests whose time for it has come; return of how many.

        Each pause is twice as long as the one before. `members` gives the users behind user and group ids.
        """
        with self._context.ledger.read() as reading:
            pending = reading.requests(states=[RequestState.PENDING], limit=MAX_PENDING)
        return sum(self._remind_of(request, resolve_members) for request in pending if self._is_reminder_due(request))

    def _is_reminder_due(self, request: Request) -> bool:
        rule = self._context.policy.rules_for(request.model).rule(request.target)
        if rule is None or rule.remind_after is None:
            return False
        return self._context.clock.now() >= next_reminder_at(request, rule.remind_after)

    def _remind_of(self, request: Request, resolve_members: Callable[[Sequence[str]], list[str]]) -> bool:
        who = resolve_members(approver_ids(request.model, request.target, request.requester, self._context.policy))
        with self._context.ledger.write() as tx:
            now = tx.lock_request(request.id)
            if (
                now.state is not RequestState.PENDING
                or now.reminded != request.reminded
                or not self._is_reminder_due(now)
            ):
                return False
            reminded = replace(now, reminded=now.reminded + 1)
            tx.save_request(reminded)
            voted = {vote.voter.user for vote in tx.votes(now.id) if not vote.lapsed}
            asked = [one for one in who if one not in voted and one != self._excluded_requester(now)][:MAX_NOTIFIED]
            tx.add_audit_event(self._request_event(reminded, EventTag.REMINDED, None, evidence={"people": asked}))
            for note in reminder_messages(reminded, asked, self._context.clock.now()):
                tx.add_message(note)
        return True

    def _excluded_requester(self, request: Request) -> str | None:
        """Return the requester's user id where they may not decide themselves."""
        rule = self._context.policy.rules_for(request.model).rule(request.target)
        may = rule is not None and rule.requester_may_approve
        return None if may else slack_user_id(request.requester, self._context.policy)

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
            request = self._end(tx, request, RequestState.EXPIRED, EventTag.EXPIRED, None, "nobody decided in time")
            return AlreadyDecided(promotion_messages.outcome_announcement(request))
        if request.state is not RequestState.PENDING:
            return AlreadyDecided(promotion_messages.already_decided_reason(request))
        if decision and permission in _REFUSED_WHEN_HELD and tx.is_request_held(request.id):
            return Refused(restore_messages.held_request_refusal())
        why = self._why_outdated(tx, request) if permission in _REFUSED_WHEN_OUTDATED else None
        if why is not None:
            request = self._end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))
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
        # By user: at the terminal of the bot's machine nobody knows the workspace, and nobody counts twice.
        mine = next((one for one in before if one.voter.user == voter.user), None)
        if mine is not None and mine.lapsed:  # they can vote again by now
            tx.delete_vote(request.id, mine.voter)
            before.remove(mine)
            mine = None
        if mine is not None or not tx.add_vote(vote):
            return Refused(say("You have voted on request {id} already.", id=Code(request.id)))
        votes = [*before, vote]
        approvals = _count_approvals(votes)
        evidence: dict[str, Any] = {"choice": choice.value, "approvals": approvals, "required": request.required}
        evidence |= {"by": describe_caller(caller, self._context.policy)}
        tx.add_audit_event(
            self._request_event(request, EventTag.VOTED, actor_of(caller), why=reason, origin=origin, evidence=evidence)
        )
        if choice is VoteChoice.APPROVE:
            tx.add_message(
                self._thread_message(
                    request, _vote_key(vote), promotion_messages.vote_announcement(request, vote, approvals)
                )
            )
        return VoteResult(self._decide(tx, request, votes, vote), approvals)

    def _delete_vote(
        self, tx: LedgerTransaction, caller: Caller, request: Request, origin: str
    ) -> Refused | VoteResult:
        mine = next(
            (one.voter for one in tx.votes(request.id) if one.voter.user == self._require_person(caller).user), None
        )
        voter = mine or self._require_person(caller)
        if not tx.delete_vote(request.id, voter):
            return Refused(say("You have not voted on request {id}.", id=Code(request.id)))
        approvals, number = _count_approvals(tx.votes(request.id)), self._context.new_id()
        evidence: dict[str, Any] = {"approvals": approvals, "required": request.required}
        evidence |= {"by": describe_caller(caller, self._context.policy)}
        tx.add_audit_event(
            self._request_event(request, EventTag.VOTE_WITHDRAWN, actor_of(caller), origin=origin, evidence=evidence)
        )
        tx.add_message(self._card_message(request, f"withdrawn:{number}"))
        tx.add_message(
            self._thread_message(
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
            self._request_event(passed, EventTag.GATES_OVERRIDDEN, by, why=reason, origin=origin, evidence=evidence)
        )
        tx.add_message(self._thread_message(passed, "overridden", promotion_messages.override_announcement(passed)))
        votes = self._voters.mark_lapsed(tx, passed, tx.votes(request.id), profiles)
        if state_after_votes(passed, votes) is RequestState.APPROVED:
            passed = self._approve(tx, passed, counted(votes)[-1])
        else:
            tx.add_message(self._card_message(passed, "overridden"))
        return VoteResult(passed, _count_approvals(votes))

    def _decide(self, tx: LedgerTransaction, request: Request, votes: list[Vote], last_vote: Vote) -> Request:
        state = state_after_votes(request, votes)
        if state is RequestState.APPROVED:
            return self._approve(tx, request, last_vote)
        if state is RequestState.REJECTED:
            return self._end(tx, request, state, EventTag.REJECTED, last_vote.voter, last_vote.reason)
        tx.add_message(self._card_message(request, _vote_key(last_vote)))
        return request

    def _approve(self, tx: LedgerTransaction, request: Request, last_vote: Vote) -> Request:
        """Write the decision and the intended move down together: a crash after this loses nothing."""
        now = self._context.clock.now()
        approved = request.with_state(RequestState.APPROVED, decided_at=now, decided_by=last_vote.voter)
        tx.save_request(approved)
        tx.add_transition(promotion_transition(approved, last_vote, now))
        evidence = _opening_evidence(approved) | ({"seen": pack_snapshot(approved.seen)} if approved.seen else {})
        evidence |= {"approvers": [actor_id(vote.voter) for vote in counted(tx.votes(request.id))]}
        tx.add_audit_event(
            self._request_event(
                approved, EventTag.APPROVED, last_vote.voter, before="pending", after="approved", evidence=evidence
            )
        )
        tx.add_message(self._card_message(approved, "approved"))
        return approved

    def _end(
        self,
        tx: LedgerTransaction,
        request: Request,
        state: RequestState,
        tag: EventTag,
        decided_by: Actor | None,
        why: str,
        caller: Caller | None = None,
    ) -> Request:
        now = self._context.clock.now()
        ended = request.with_state(state, decided_at=now, decided_by=decided_by, outcome=why)
        tx.save_request(ended)
        evidence = _opening_evidence(ended) | ({"by": describe_caller(caller, self._context.policy)} if caller else {})
        tx.add_audit_event(
            self._request_event(
                ended, tag, decided_by, why=why, before=request.state.value, after=state.value, evidence=evidence
            )
        )
        for note in end_messages(ended, self._context.policy.channel_for(ended.model), ended_by=decided_by):
            tx.add_message(note)
        tx.add_tag_update(final_tag_update(tx, ended, now))
        return ended

    def _require_person(self, caller: Caller) -> Person:
        if isinstance(caller, Profile):
            return caller.person
        raise BadInput("Only a person can vote.")

    # -- rows --------------------------------------------------------------------------------------------------

    def _card_message(self, request: Request, trigger: str) -> OutboxMessage:
        return card_message(request, trigger, self._context.policy.channel_for(request.model))

    def _thread_message(self, request: Request, trigger: str, sentence: Sentence) -> OutboxMessage:
        return request_thread_message(request, trigger, sentence)

    def _request_event(self, request: Request, tag: EventTag, actor: Actor | None, **fields: Any) -> Event:
        return request_event(request, tag, actor, self._context.clock.now(), **fields)


def _with_former_tags(tx: LedgerTransaction, request: Request, version: VersionInfo, from_number: int) -> Request:
    """Return the request with the tags that its opening replaces, as the ledger has them from its `unwritten` on."""
    tags: dict[str, str | None] = dict(version.tags)
    for one in tx.tag_updates(request.model, version=request.version, from_number=from_number):
        tags |= one.tags
    seen = replace(request.seen, former=registry_tags.replaced_tags(request, tags)) if request.seen else None
    return replace(request, seen=seen, former_status=tags.get(registry_tags.STATUS_TAG))


def _pass_gate_if_unblocked(tx: LedgerReader, request: Request, versions: Sequence[VersionInfo]) -> Request:
    """Return the request with the gate `not_blocked` passed where someone unblocked the version since it was read."""
    if request.seen is None or not request.seen.fails_gate(NOT_BLOCKED_GATE):
        return request
    about = {one.version: one.identity() for one in versions if one.version == request.seen.blocked}
    return (
        request
        if blocks_by_version(tx, request.model, about)
        else replace(request, seen=with_unblocked_version(request.seen))
    )


def _is_blocked_by(request: Request, version: int) -> bool:
    """Tell whether a request is about a version that can be blocked, or about the same files."""
    return ((request.seen and request.seen.blocked) or request.version) == version


def _vote_key(vote: Vote) -> str:
    """Return what tells a vote's messages from others: also from those of an earlier vote by the same person."""
    return f"vote:{vote.voter.user}:{vote.at:%Y%m%dT%H%M%S.%f}"


def next_reminder_at(request: Request, interval: timedelta) -> datetime:
    """Return when the next reminder is due: after `pause`, then after twice as long, and so on."""
    pauses: int = 2 ** min(request.reminded + 1, 20) - 1
    return request.opened_at + interval * pauses


def _count_approvals(votes: Sequence[Vote]) -> int:
    return len(counted(votes))


def _change_since_opened(request: Request, snapshot: RegistrySnapshot) -> Sentence | None:
    """Return what a look at the registry since a request was opened found different, or None."""
    if request.version in snapshot.stages and snapshot.holds_other_version(request.version, request.identity):
        return version_replaced_reason(request.model, request.version)
    return None if request.keep_existing else superseded(request, _as_facts(snapshot))


def _as_facts(snapshot: RegistrySnapshot) -> TransitionFacts:
    """Return a look as what the registry says of a model's stages."""
    return TransitionFacts(
        versions=tuple(
            VersionInfo(model=snapshot.model, version=number, stage=stage) for number, stage in snapshot.stages.items()
        )
    )


def _opening_evidence(request: Request) -> dict[str, Any]:
    return {"opened_at": canonical_time(request.opened_at)}


def _ci_evidence(request: Request) -> dict[str, Any]:
    return {"ci": pack_ci_run(request.ci)} if request.ci else {}


def _rule_evidence(rule: TargetRule) -> dict[str, Any]:
    return {"rule": rule.model_dump(mode="json", exclude_defaults=True)}
