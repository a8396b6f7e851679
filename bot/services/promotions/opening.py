"""Open the request that a promotion command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Promote
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.errors import GateFailed, Refused
from bot.domain.core.sentence import Code, Name, say
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import EligibleApprovers
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, with_unblocked_version
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.snapshot import RequestSnapshot, pack_snapshot
from bot.domain.registry.model import VersionInfo, resolve_version
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import (
    TransitionFacts,
    break_glass_transition,
    check_promotable,
    stage_incumbent,
)
from bot.ports import LedgerReader, LedgerTransaction, QueuedCommand, QueuedCommandState
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.commands import CommandResult, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    OPENED,
    channel_message,
    tag_update_for,
)
from bot.services.promotions.approvers import Approvers
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.outcomes import RequestDecisions
from bot.services.registry.queries import RegistryQueries


class RequestOpening:
    """Opens requests: reads the registry, checks the gates, and sends the card to the approvers."""

    def __init__(
        self, context: Context, queries: RegistryQueries, gate_checks: GateChecks, decisions: RequestDecisions
    ) -> None:
        self._context = context
        self._queries = queries
        self._gate_checks = gate_checks
        self._decisions = decisions
        self._approvers = Approvers(context)

    def handlers(self) -> RegistryChangeHandlers:
        """Return the handler of `promote`."""
        return {Promote: self.execute}

    def execute(self, queued: QueuedCommand, command: Promote) -> CommandResult:
        """Open the request; if it breaks glass, a transition is due. See `RegistryChangeHandler`."""
        request = self.open(queued, command)
        transition_id = break_glass_transition(request, queued.at).id if request.breaks_glass else None
        return CommandResult(
            request=request, transition_id=transition_id, due_model=request.model if transition_id else ""
        )

    def open(self, queued: QueuedCommand, command: Promote) -> Request:
        """Read the registry and open the request; its card is in the outbox when this returns.

        Returns the existing request if another thread has opened it. Raises BadInput, Refused (GateFailed where a
        gate fails), RegistryRefused, and Unreachable.
        """
        with self._context.ledger.read() as reader:
            unwritten = reader.first_unwritten_tag_update(
                command.model
            )  # these may or may not be in the tags read below
        model, versions = self._queries.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        rule = self._require_rule(command, version)
        approvers = (
            EligibleApprovers()
            if command.break_glass
            else self._approvers.require_enough(command.model, rule, queued.caller)
        )
        snapshot = self._gate_checks.take_snapshot(
            model, versions, version, command.to, command.results(), with_callers=True
        )
        if snapshot.failed_gates and not rule.override and not command.break_glass:
            raise GateFailed(
                promotion_messages.failed_gates_refusal(command.model, version.version, snapshot),
                pack_snapshot(snapshot),
            )
        facts = TransitionFacts(versions=tuple(versions), model=model)
        request = self._build_request(queued, command, version, facts, rule, snapshot)
        with self._context.ledger.write() as tx:
            current = tx.queued_command(queued.id)
            if current.request:  # another thread was faster with the same command
                return tx.request(current.request)
            if current.state is not QueuedCommandState.WAITING:
                raise Refused("This was refused a moment ago; ask again.")
            if request.breaks_glass:
                self._end_blocking_request(tx, request)
            request = _pass_gate_if_unblocked(tx, _with_former_tags(tx, request, version, unwritten), versions)
            tx.add_request(request)
            tx.save_queued_command(replace(queued, state=QueuedCommandState.OPENED, request=request.id))
            evidence = _rule_evidence(rule) | {"seen": pack_snapshot(request.seen or snapshot)} | _ci_evidence(request)
            tx.add_audit_event(
                self._decisions.request_event(request, EventTag.REQUEST_OPENED, queued.caller, evidence=evidence)
            )
            tx.add_message(self._decisions.card_message(request, OPENED))
            for message in self._approvers.invitations(request, rule, approvers):
                tx.add_message(message)
            tx.add_tag_update(tag_update_for(request, "opened", registry_tags.opened_tags(request)))
            return self._break_glass(tx, request) if request.breaks_glass else request

    def _end_blocking_request(self, tx: LedgerTransaction, emergency_request: Request) -> None:
        """End the pending request that an emergency replaces; one that is executing is left alone."""
        pending = tx.open_request(emergency_request.model, emergency_request.target)
        if pending is not None and tx.lock_request(pending.id).state is RequestState.PENDING:
            why = str(break_glass_messages.superseded_by_break_glass_reason(emergency_request.version))
            self._decisions.end(tx, pending, RequestState.STALE, EventTag.STALE, emergency_request.requester, why)

    def _break_glass(self, tx: LedgerTransaction, request: Request) -> Request:
        """Approve the request in the requester's name, add the transition, and alert the channel."""
        now = self._context.clock.now()
        rule = self._context.policy.rules_for(request.model).rule(request.target) or TargetRule()
        decided = request.with_state(
            RequestState.APPROVED, decided_at=now, decided_by=request.requester, review_due=now + rule.review_within
        )
        tx.save_request(decided)
        tx.add_transition(break_glass_transition(decided, now))
        tx.add_audit_event(
            self._decisions.request_event(
                decided, EventTag.BROKE_GLASS, request.requester, why=request.reason, before="pending", after="approved"
            )
        )
        tx.add_message(self._decisions.card_message(decided, "approved"))
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


def _with_former_tags(tx: LedgerTransaction, request: Request, version: VersionInfo, from_number: int) -> Request:
    """Return the request with the tags it replaces: the version's, and ledger updates from `from_number` on."""
    tags: dict[str, str | None] = dict(version.tags)
    for update in tx.tag_updates(request.model, version=request.version, from_number=from_number):
        tags |= update.tags
    seen = replace(request.seen, former=registry_tags.replaced_tags(request, tags)) if request.seen else None
    return replace(request, seen=seen, former_status=tags.get(registry_tags.STATUS_TAG))


def _pass_gate_if_unblocked(tx: LedgerReader, request: Request, versions: Sequence[VersionInfo]) -> Request:
    """Return the request with the gate `not_blocked` passed if the version was unblocked since the gates ran."""
    if request.seen is None or not request.seen.fails_gate(NOT_BLOCKED_GATE):
        return request
    identities = {
        version.version: version.identity() for version in versions if version.version == request.seen.blocked
    }
    return (
        request
        if blocks_by_version(tx, request.model, identities)
        else replace(request, seen=with_unblocked_version(request.seen))
    )


def _ci_evidence(request: Request) -> dict[str, Any]:
    return {"ci": pack_ci_run(request.ci)} if request.ci else {}


def _rule_evidence(rule: TargetRule) -> dict[str, Any]:
    return {"rule": rule.model_dump(mode="json", exclude_defaults=True)}
