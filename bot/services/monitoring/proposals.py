"""Monitors that agents propose. Only a person can add or dismiss one, in Slack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain.audit.events import EventTag
from bot.domain.commands.base import parse_reason
from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.core.actors import Caller, Client, Profile, actor_of
from bot.domain.core.agent import Agent, pack_agent
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.proposals import messages as proposal_messages
from bot.domain.monitoring.proposals.proposal import MonitorProposal, ProposalState
from bot.domain.policy.authorization import Permission
from bot.ports import (
    LedgerReader,
    LedgerTransaction,
    QueuedCommand,
    QueuedCommandState,
    read_proposal,
    to_proposal,
    with_proposal,
)
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import require_same_content
from bot.services.core.context import Context
from bot.services.core.outbox_messages import OPENED, proposal_message
from bot.services.monitoring.arming import BacktestRunner, MonitorRecorder
from bot.services.monitoring.monitor_lookup import check_model_known, check_source, name_taken
from bot.services.monitoring.monitors import Monitors

PROPOSAL_SPAN = timedelta(days=30)  # what the backtest of a proposed monitor covers
MAX_OPEN_PROPOSALS = 10  # for each model

_STATES = {ProposalState.ADDED: QueuedCommandState.DONE, ProposalState.DISMISSED: QueuedCommandState.REFUSED}


@dataclass(frozen=True, slots=True)
class ProposalResult:
    """A stored proposal and its backtest, which is None if the client had made the same proposal before."""

    proposal: QueuedCommand
    backtest: Backtest | None


class MonitorProposals:
    """Stores the monitors that agents propose, and lets people add or dismiss them."""

    def __init__(
        self, context: Context, access: AccessControl, monitors: Monitors, run_backtest: BacktestRunner
    ) -> None:
        self._context = context
        self._access = access
        self._monitors = monitors
        self._run_backtest = run_backtest
        self._recorder = MonitorRecorder(context)

    def find(self, proposal_id: str) -> MonitorProposal:
        """Return a proposal in its current state. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            return read_proposal(reader, proposal_id)

    def propose(
        self, client: Client, command: MonitorAdd, *, reason: str, agent: Agent, key: str, digest: str
    ) -> ProposalResult:
        """Store the monitor that a client's agent proposes, with a backtest of 30 days, and post its card.

        `key` is the client's idempotency key, and `digest` identifies the content that it sent. Sending the same
        content with the same key returns the first proposal; so does proposing the same rule while that proposal is
        open. This doesn't count against the client's quota.

        Raises Refused (audited if permission is missing), IdempotencyKeyReused, BadInput, UnknownModel, and whatever
        the backtest raises.
        """
        self._access.require_permission(client, Permission.REQUEST, model=command.model, origin="mcp")
        if not (reason := parse_reason(reason)):
            raise BadInput("Enter a reason. It's shown to whoever adds the monitor.", "reason")
        with self._context.ledger.read() as reader:
            if (same := reader.queued_command_with_key(client, key)) is not None:
                return ProposalResult(require_same_content(same, digest), None)
            monitor = self._monitors.to_monitor(client, command)
            if (earlier := _find_earlier(reader, client, monitor)) is not None:
                return ProposalResult(earlier, None)
        backtest = self._run_backtest(monitor, PROPOSAL_SPAN)
        queued = QueuedCommand(
            id=self._context.new_id(),
            caller=client,
            command=command.dump(),
            where=self._context.policy.channel_for(monitor.model),
            at=monitor.created_at,
            state=QueuedCommandState.DRAFT,
            key=key,
            digest=digest,
            agent=agent,
        )
        proposal = MonitorProposal(
            id=queued.id, client=client, agent=agent, monitor=monitor, reason=reason, backtest=backtest.sentence
        )
        return self._store(with_proposal(queued, proposal), proposal, backtest)

    def _store(self, queued: QueuedCommand, proposal: MonitorProposal, backtest: Backtest) -> ProposalResult:
        """Store the proposal, or return the same one if it was stored during the backtest."""
        client, monitor = proposal.client, proposal.monitor
        with self._context.ledger.write() as tx:
            tx.lock(f"proposals for {monitor.model}")
            if (same := tx.queued_command_with_key(client, queued.key or "")) is not None:
                return ProposalResult(require_same_content(same, queued.digest), None)
            if (earlier := _find_earlier(tx, client, monitor)) is not None:
                return ProposalResult(earlier, None)
            tx.add_queued_command(queued)
            self._recorder.append_audit(
                tx,
                EventTag.MONITOR_PROPOSED,
                client,
                monitor,
                "mcp",
                why=proposal.reason,
                proposal=proposal.id,
                agent=pack_agent(proposal.agent),
                after=monitor.rule.model_dump(mode="json"),
                backtest=backtest.facts | {"firings": len(backtest.firings), "sentence": str(backtest.sentence)},
            )
            tx.add_message(proposal_message(queued.id, OPENED, queued.where))
        return ProposalResult(queued, backtest)

    def accept(self, caller: Profile, proposal_id: str, *, origin: str) -> Sentence:
        """Add the proposed monitor, unarmed, with the caller as its author, and return the answer.

        Raises Refused (audited if permission is missing), AlreadyDecided, BadInput, UnknownModel, and UnknownRequest.
        If it raises one of these, the proposal's state doesn't change.
        """
        with self._deciding(caller, proposal_id, ProposalState.ADDED, origin) as (tx, proposal):
            check_source(proposal.monitor.rule, self._context.policy)
            now, by = self._context.clock.now(), actor_of(caller)
            monitor = replace(proposal.monitor, created_at=now, created_by=by)
            return self._monitors.add_within(tx, caller, monitor, origin=origin, proposal=proposal.id)

    def dismiss(self, caller: Profile, proposal_id: str, *, origin: str) -> Sentence:
        """Dismiss the proposed monitor, and return the answer.

        Raises Refused (audited if permission is missing), AlreadyDecided, and UnknownRequest.
        """
        with self._deciding(caller, proposal_id, ProposalState.DISMISSED, origin) as (tx, proposal):
            self._recorder.append_audit(
                tx, EventTag.MONITOR_DISMISSED, caller, proposal.monitor, origin, proposal=proposal.id
            )
            return proposal_messages.dismissed_answer(proposal.monitor)

    @contextmanager
    def _deciding(
        self, caller: Caller, proposal_id: str, state: ProposalState, origin: str
    ) -> Iterator[tuple[LedgerTransaction, MonitorProposal]]:
        """Open the transaction in which someone with permission decides on an open proposal, and redraw its card."""
        model = self.find(proposal_id).monitor.model
        self._access.require_permission(caller, Permission.EDIT_MONITOR, model=model, origin=origin)
        with self._context.ledger.write() as tx:
            tx.lock(f"proposals for {model}")
            queued = tx.queued_command(proposal_id)
            proposal = to_proposal(queued)
            if queued.state is not QueuedCommandState.DRAFT:
                raise AlreadyDecided(proposal_messages.decided_before(proposal))
            yield tx, proposal
            decided = proposal.with_decision(state, actor_of(caller), self._context.clock.now())
            tx.save_queued_command(with_proposal(replace(queued, state=_STATES[state]), decided))
            tx.add_message(proposal_message(queued.id, state.value, queued.where))


def _find_earlier(reader: LedgerReader, client: Client, monitor: Monitor) -> QueuedCommand | None:
    """Return the client's open proposal for the same monitor, or None if it can propose this one.

    Raises UnknownModel, BadInput if the name is taken, and Refused if the client's open proposal by that name is for a
    different rule, or if too many proposals are open for the model.
    """
    check_model_known(reader, monitor.model)
    if existing := next((one for one in reader.monitors(monitor.model) if one.name == monitor.name), None):
        raise BadInput(name_taken(existing), "name")
    open_ones = [one for one in reader.open_proposals() if to_proposal(one).monitor.model == monitor.model]
    for queued in open_ones:
        earlier = to_proposal(queued)
        if (earlier.client, earlier.monitor.name) == (client, monitor.name):
            if earlier.monitor.rule == monitor.rule:
                return queued
            raise Refused(proposal_messages.proposed_before(earlier))
    if len(open_ones) >= MAX_OPEN_PROPOSALS:
        raise Refused(proposal_messages.too_many_open(monitor.model, MAX_OPEN_PROPOSALS))
    return None
