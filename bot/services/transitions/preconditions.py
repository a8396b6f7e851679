"""Check, right before a transition is executed, that the decision is still valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from bot.domain.core.actors import Actor, Automation, actor_id
from bot.domain.core.errors import (
    AlreadyDecided,
    FilesUnreachable,
    UnknownVersion,
)
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.reasons import Reason
from bot.domain.policy.authorization import AccessDecision, Permission
from bot.domain.policy.freezes import ActiveFreeze, active_freeze
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import missing_requirement
from bot.domain.promotions.file_gate import digest_id_of, hashed_later_reason, waiting_for_files
from bot.domain.promotions.gates import decision_basis_change
from bot.domain.promotions.recorded_facts import changed_facts
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import restore_messages
from bot.domain.transitions.transition import (
    Transition,
    TransitionFacts,
    TransitionKind,
    TransitionState,
    incumbent_replaced_reason,
)
from bot.ports import LedgerReader
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_message
from bot.services.integrity.digests import request_comparison, request_digest
from bot.services.promotions.decisions import Voters, changes_since_opened
from bot.services.promotions.gate_checks import GateChecks
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import LoadabilityChecks

# What a freeze stops, in addition to automation. In an emergency, a person can still remove a version from Production.
STOPPED_BY_FREEZE = frozenset({TransitionKind.PROMOTION, TransitionKind.REPAIR})
# How long ago a comparison of files can have begun. Longer than it takes, or a promotion would never be executed.
MAX_COMPARISON_AGE = timedelta(hours=6)


class Preconditions:
    """Reads what a claimed transition depends on: freezes, gates, the people who approved, and its target."""

    def __init__(
        self,
        context: Context,
        gate_checks: GateChecks,
        loadability: LoadabilityChecks,
        compare_listing: Callable[[VersionInfo], Sequence[str]],
    ) -> None:
        self._context = context
        self._gate_checks = gate_checks
        self._compare_listing = compare_listing  # see `Digests`
        self._loadability = loadability
        self._voters = Voters(context)

    def why_expired(self, transition: Transition) -> Sentence | None:
        """Return a sentence if the request expired before the first write, or None. Reads only the ledger."""
        if transition.request is None or transition.began_at is not None:
            return None
        with self._context.ledger.read() as reader:
            request = reader.request(transition.request)
        return (
            promotion_messages.expired_after_approval_reason(request)
            if request.is_past_expiry(self._context.clock.now())
            else None
        )

    def read_facts(self, transition: Transition) -> TransitionFacts:
        """Read the model and its versions; for a rollback, only the two versions involved.

        Two are enough as long as the incumbent is in Production. Reading them is fast even if there are many versions.
        """
        registry, model = self._context.registry, transition.model
        if transition.kind is TransitionKind.ROLLBACK and transition.expected_incumbent is not None:
            with suppress(UnknownVersion):
                incumbent = registry.version(model, transition.expected_incumbent)
                if incumbent.stage is transition.target:
                    return TransitionFacts(versions=(incumbent, registry.version(model, transition.version)))
        versions = tuple(registry.versions(model))
        return TransitionFacts(
            versions=versions, model=registry.model(model) if transition.request and versions else None
        )

    def active_freeze_for(self, transition: Transition) -> ActiveFreeze | None:
        """Return the freeze that stops this transition now, or None."""
        is_stopped = transition.kind in STOPPED_BY_FREEZE or isinstance(transition.actor, Automation)
        if not is_stopped or Stage.PRODUCTION not in {transition.from_stage, transition.target}:
            return None
        with self._context.ledger.read() as reader:
            freezes, hold = reader.freezes(), reader.active_hold()
        if hold and isinstance(transition.actor, Automation):
            return ActiveFreeze(restore_messages.automation_stopped_reason(), None)
        return active_freeze(transition.model, freezes, self._context.policy, self._context.clock.now())

    def why_not_restorable(self, transition: Transition) -> Sentence | None:
        """Return why a rollback's version can't be restored: it never served, is blocked now, or might not load.

        Return None if it can be. For forced rollbacks, loading isn't checked. Loading was usually checked just before
        the decision, but not after a click, or if another process took over. If files are unavailable, a person gets a
        refusal and can force the rollback; a monitor's rollback waits, so FilesUnreachable is raised.
        """
        if transition.kind is not TransitionKind.ROLLBACK:
            return None
        model, version = transition.model, transition.version
        with self._context.ledger.read() as reader:
            why = rollback_records.why_not_a_target(reader, model, version)
        if why is not None or transition.is_forced:
            return why
        try:
            reasons = self._loadability.problems(model, version, transition.expected_incumbent)
        except FilesUnreachable as error:
            if isinstance(transition.actor, Automation):
                raise
            why = rollback_messages.loadability_unknown_refusal(model, version, error.sentence)
            return why.with_code(Reason.MAY_NOT_LOAD)
        if not reasons:
            return None
        return rollback_messages.may_not_load_refusal(model, version, reasons).with_code(Reason.MAY_NOT_LOAD)

    def why_files_unchecked(self, transition: Transition, facts: TransitionFacts) -> Sentence | None:
        """Return what a promotion that requires matching files is waiting for; None if they've been compared.

        After the approval, they're hashed and then compared in the background, while the transition isn't claimed.
        Raises RegistryRefused if they can't be compared.
        """
        version = facts.version(transition.version)
        if not self._requires_files(transition) or version is None:
            return None
        now = self._context.clock.now()
        since = max(transition.intended_at, now - MAX_COMPARISON_AGE)
        with self._context.ledger.write() as tx:
            digest = request_digest(tx, version.model, version.version, version.identity(), now=now)
            request_comparison(tx, digest, since=since)
        return waiting_for_files(digest, since)

    def _requires_files(self, transition: Transition) -> bool:
        rules = self._context.policy.rules_for(transition.model)
        return transition.kind is TransitionKind.PROMOTION and rules.integrity(transition.target) == "required"

    def why_gates_fail(
        self, transition: Transition, facts: TransitionFacts, checked: dict[str, Any]
    ) -> Sentence | None:
        """Return how a promotion's incumbent, rule, metrics, or gates have changed since it was requested, or None.

        Break-glass transitions skip these checks. What the gates read is added to `checked`, for the audit log.
        """
        if transition.request is None or transition.kind is TransitionKind.BREAK_GLASS:
            return None
        with self._context.ledger.read() as reader:
            request = reader.request(transition.request)
        version = facts.version(request.version)
        changed = self._compare_listing(version) if version and self._requires_files(transition) else ()
        snapshot = self._gate_checks.retake_snapshot(request, facts, changed)
        if snapshot is not None and request.seen is not None:
            checked |= {"policy": snapshot.policy, "changed": changed_facts(request.seen, snapshot)}
        return incumbent_replaced_reason(request, facts) or (
            None if snapshot is None else decision_basis_change(request, snapshot)
        )

    def why_not_approved(self, transition: Transition, checked: dict[str, Any]) -> Sentence | None:
        """Return why a transition's approval isn't valid anymore; None if it is, or after the first write.

        Checks what has happened since the request was opened, and whether its approvers can still approve. Adds the
        basis of each permission decision to `checked`, for the audit log. Raises SlackUnreachable.
        """
        if transition.request is None or transition.began_at is not None:
            return None
        with self._context.ledger.read() as reader:
            request, votes = reader.request(transition.request), counting_approvals(reader.votes(transition.request))
            why = changes_since_opened(reader, request)
            digest = reader.digest(digest_id_of(request)) if self._requires_files(transition) else None
        if digest and why is None:
            why = hashed_later_reason(digest, votes)
        return why or self._why_no_longer_approved(transition, request, votes, checked)

    def _why_no_longer_approved(
        self, transition: Transition, request: Request, votes: list[Vote], checked: dict[str, Any]
    ) -> Sentence | None:
        """Return which permission has been lost since the approval, or None; mark approvals that don't count now."""
        voters, overrider = self._voters, request.overridden_by
        people = [*([request.requester] if request.breaks_glass else []), *([overrider] if overrider else [])]
        profiles = voters.profiles([*people, *(vote.voter for vote in votes)])
        checked |= {"policy": self._context.active_policy.revision, "people": []}

        def decide(actor: Actor, permission: Permission) -> AccessDecision:
            decision = voters.authorize_now(actor, permission, request, profiles)
            facts = voters.facts_now(actor, decision, profiles)
            checked["people"].append({"who": actor_id(actor), "act": permission.value, **facts})
            return decision

        if request.breaks_glass:
            decision = decide(request.requester, Permission.BREAK_GLASS)
            return None if decision else break_glass_messages.break_glass_lapsed_reason(decision.rule)
        if overrider and not (decision := decide(overrider, Permission.OVERRIDE)):
            return promotion_messages.override_lapsed_reason(decision.rule)
        if (why := missing_requirement(request, self._context.policy)) is not None:
            return why
        decisions = [decide(vote.voter, Permission.APPROVE) for vote in votes]
        if all(decisions):
            return None
        with self._context.ledger.write() as tx:
            self.require_claim(tx, transition)
            request = tx.lock_request(request.id)
            remaining = len(counting_approvals(voters.mark_lapsed(tx, request, tx.votes(request.id), profiles)))
            channel = self._context.policy.channel_for(request.model)
            tx.add_message(card_message(request, f"lapsed:{transition.attempts}", channel))
        return promotion_messages.too_few_approvals_reason(request, remaining) if remaining < request.required else None

    def require_claim(self, reader: LedgerReader, transition: Transition) -> None:
        """Raise AlreadyDecided if another process took over the transition while this one hung.

        That process may have ended it and executed others since, so what this one has read is outdated.
        """
        current = reader.transition(transition.id)
        if (current.state, current.attempts) != (TransitionState.EXECUTING, transition.attempts):
            raise AlreadyDecided(
                say("Another process took it over; its state is now {state}.", state=current.state.value)
            )
