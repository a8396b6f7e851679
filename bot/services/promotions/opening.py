"""Open promotion requests."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.commands.base import results_by_metric
from bot.domain.commands.promotions import Promote
from bot.domain.core.agent import pack_agent
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.errors import GateFailed, Refused, SlackUnreachable
from bot.domain.policy.authorization import AccessTarget, no_approvers_refusal, overrider_ids
from bot.domain.policy.authorship import own_user_ids
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import (
    MAX_NOTIFIED,
    EligibleApprovers,
    check_enough_approvers,
    required_approvals,
)
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, with_unblocked_version
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState, pack_snapshot
from bot.domain.registry.model import VersionInfo, resolve_version
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import (
    TransitionFacts,
    check_promotable,
    promotion_id,
    promotion_transition,
    stage_incumbent,
)
from bot.ports import LedgerTransaction, QueuedCommand, QueuedCommandState
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.commands import CommandResult, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    OPENED,
    card_link,
    channel_message,
    invitation_message,
    tag_update_for,
)
from bot.services.integrity.digests import request_digest
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.gate_checks import GateChecks
from bot.services.registry.queries import RegistryQueries

log = logging.getLogger(__name__)


class RequestOpening:
    """Opens requests: reads the registry, checks the gates, and sends the card to the approvers."""

    def __init__(
        self, context: Context, queries: RegistryQueries, gate_checks: GateChecks, decisions: RequestDecisions
    ) -> None:
        self._context = context
        self._queries = queries
        self._gate_checks = gate_checks
        self._decisions = decisions

    def handlers(self) -> RegistryChangeHandlers:
        """Return the handler for `promote`."""
        return {Promote: self.execute}

    def execute(self, queued: QueuedCommand, command: Promote) -> CommandResult:
        """Open the request; if it breaks glass, its transition is due. See `RegistryChangeHandler`.

        The card is in the outbox when this returns. Raises BadInput, Refused (GateFailed if a gate fails),
        RegistryRefused, and Unreachable.
        """
        with self._context.ledger.read() as reader:  # the tags read below may or may not include these
            unwritten = reader.first_unwritten_tag_update(command.model)
        model, versions = self._queries.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        rule = self._context.policy.rules_for(command.model).rule(command.to)
        if rule is None or not rule.approvers:
            raise Refused(no_approvers_refusal(command.model, command.to))
        check_promotable(version, command.to)
        access_target = AccessTarget(
            model=command.model, target=command.to, requester=queued.caller, ci=queued.ci, agent=queued.agent
        )
        approvers = EligibleApprovers() if command.break_glass else self._require_enough_approvers(access_target, rule)
        snapshot = self._gate_checks.take_snapshot(
            model, versions, version, command.to, results_by_metric(command.validation), with_callers=True
        )
        can_override = command.break_glass or overrider_ids(access_target, self._context.policy)
        if snapshot.failed_gates and not can_override:
            refusal = promotion_messages.failed_gates_refusal(command.model, version.version, snapshot)
            raise GateFailed(refusal, pack_snapshot(snapshot))
        facts = TransitionFacts(versions=tuple(versions), model=model)
        request = self._build_request(queued, command, version, facts, rule, snapshot)
        with self._context.ledger.write() as tx:
            current = tx.queued_command(queued.id)
            if current.request:  # another thread executed the same command first
                request = tx.request(current.request)
            elif current.state is not QueuedCommandState.WAITING:
                raise Refused("This command was just refused. Send it again.")
            else:
                if request.breaks_glass:
                    self._end_blocking_request(tx, request)
                request = _with_current_tags_and_blocks(tx, request, version, versions, unwritten)
                if rule.integrity != "off":
                    request_digest(
                        tx, version.model, version.version, version.identity(), now=request.opened_at, again=True
                    )
                request = self._record_opening(tx, queued, request, rule, approvers)
        if not request.breaks_glass:
            return CommandResult(request=request)
        return CommandResult(request=request, transition_id=promotion_id(request), due_model=request.model)

    def _require_enough_approvers(self, access_target: AccessTarget, rule: TargetRule) -> EligibleApprovers:
        """Return the approvers that a rule lists, as read from Slack.

        Raises TooFewApprovers if a request under this rule could never get enough approvals.
        """
        ids = sorted(self._context.policy.expand_roles(rule.approvers))
        try:
            approvers = self._context.directory.electorate(ids)
        except SlackUnreachable as error:
            log.warning("can't look up the members of %s in Slack: %s", ", ".join(ids), error)
            approvers = EligibleApprovers.from_ids(ids)
        check_enough_approvers(access_target, rule, self._context.policy, approvers)
        return approvers

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
        request = Request(
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
            agent=queued.agent,
            breaks_glass=command.break_glass,
            identity=facts.identity(version.version),
            incumbent_identity=facts.identity(holder),
        )
        return replace(request, required=required_approvals(request.access_target, self._context.policy))

    def _end_blocking_request(self, tx: LedgerTransaction, emergency_request: Request) -> None:
        """End the open request that a break-glass request replaces, unless it's already approved."""
        pending = tx.open_request(emergency_request.model, emergency_request.target)
        if pending is not None and tx.lock_request(pending.id).state is RequestState.PENDING:
            why = str(break_glass_messages.superseded_by_break_glass_reason(emergency_request.version))
            self._decisions.end(tx, pending, RequestState.STALE, EventTag.STALE, emergency_request.requester, why)

    def _record_opening(
        self,
        tx: LedgerTransaction,
        queued: QueuedCommand,
        request: Request,
        rule: TargetRule,
        approvers: EligibleApprovers,
    ) -> Request:
        """Add the request, its card, and its invitations; approve it if it breaks glass. Return the updated request."""
        tx.add_request(request)
        tx.save_queued_command(replace(queued, state=QueuedCommandState.OPENED, request=request.id))
        evidence: dict[str, Any] = {"rule": rule.model_dump(mode="json", exclude_defaults=True)}
        if seen := request.seen:
            at = canonical_time(request.opened_at)
            facts = {**seen.facts, "policy": seen.policy, "opened_at": at, "required": request.required}
            evidence |= {"seen": pack_snapshot(seen), "facts": facts}
        evidence |= {"ci": pack_ci_run(request.ci)} if request.ci else {}
        evidence |= {"agent": pack_agent(request.agent)} if request.agent else {}
        self._decisions.record(tx, request, EventTag.REQUEST_OPENED, queued.caller, evidence=evidence)
        self._decisions.redraw(tx, request, OPENED)
        if rule.tell_approvers == "direct":  # the requester needs no invitation
            invited = approvers.user_ids(excluding=own_user_ids(request.access_target, self._context.policy))
            for user in invited[:MAX_NOTIFIED]:
                tx.add_message(invitation_message(request, user, self._context.policy.channel_for(request.model)))
        tx.add_tag_update(tag_update_for(request, "opened", registry_tags.opened_tags(request)))
        return self._break_glass(tx, request, rule) if request.breaks_glass else request

    def _break_glass(self, tx: LedgerTransaction, request: Request, rule: TargetRule) -> Request:
        """Approve the request on the requester's behalf, add the transition, and alert the channel."""
        now = self._context.clock.now()
        decided = request.with_state(
            RequestState.APPROVED, decided_at=now, decided_by=request.requester, review_due=now + rule.review_within
        )
        tx.save_request(decided)
        tx.add_transition(promotion_transition(decided, request.requester, now))
        self._decisions.record(
            tx, decided, EventTag.BROKE_GLASS, request.requester, why=request.reason, before="pending", after="approved"
        )
        self._decisions.redraw(tx, decided, "approved")
        channel = self._context.policy.channel_for(decided.model)
        card = card_link(decided, channel, "See the card")
        alarm = break_glass_messages.break_glass_announcement(decided, card)
        tx.add_message(channel_message(f"glass:{decided.id}", channel, alarm))
        return decided


def _with_current_tags_and_blocks(
    tx: LedgerTransaction, request: Request, version: VersionInfo, versions: Sequence[VersionInfo], from_number: int
) -> Request:
    """Return the request with the tags that it replaces: the version's, plus ledger updates from `from_number` on.

    Its `not_blocked` gate passes if the version was unblocked after the gates were checked.
    """
    tags: dict[str, str | None] = dict(version.tags)
    for update in tx.tag_updates(request.model, version=request.version, from_number=from_number):
        tags |= update.tags
    request = replace(request, former_status=tags.get(registry_tags.STATUS_TAG))
    if (seen := request.seen) is None:
        return request
    seen = replace(seen, former={key: tags.get(key) for key in registry_tags.opened_tags(request)})
    if seen.fails_gate(NOT_BLOCKED_GATE):
        identities = {other.version: other.identity() for other in versions if other.version == seen.blocked}
        if not blocks_by_version(tx, request.model, identities):
            seen = with_unblocked_version(seen)
    return replace(request, seen=seen)
