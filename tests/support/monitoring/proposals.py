"""Monitors that an agent proposes."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import parse_command
from bot.domain.core.actors import Client, Profile
from bot.domain.core.agent import Agent
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.proposals.proposal import MonitorProposal
from bot.domain.policy.parser import validate_policy
from bot.ports import QueuedCommand
from bot.services.monitoring.proposals import MonitorProposals, ProposalResult
from tests.support.monitoring.monitor_commands import ADD, MonitorCommands
from tests.support.services.bench import BOB, POLICY, Bench

ROBOT, OTHER_ROBOT = Client("robot"), Client("other")
AGENT = Agent(name="claude-code", version="2.1", person="UALICE")
CLIENTS: dict[str, Any] = {
    "robot": {"token_env": "ROBOT", "may": ["request"], "acts_for": "UALICE"},
    "other": {"token_env": "OTHER", "may": ["request"]},
}


class Proposals:
    """The service on a bench, with a backtest whose result a test sets."""

    def __init__(self, commands: MonitorCommands) -> None:
        self.commands = commands
        self.bench: Bench = commands.bench
        bench = self.bench
        self.service = MonitorProposals(bench.context, bench.gatekeeper, commands.service, commands.replay)

    def propose(
        self, text: str = ADD, *, client: Client = ROBOT, key: str = "k1", agent: Agent = AGENT, **other: str
    ) -> ProposalResult:
        """Propose the monitor that this command adds."""
        command = parse_command(text)
        assert isinstance(command, MonitorAdd)
        reason, digest = other.get("reason", "accuracy fell in May"), other.get("digest", text)
        return self.service.propose(client, command, reason=reason, agent=agent, key=key, digest=digest)

    def open(self, text: str = ADD, **given: Any) -> QueuedCommand:
        """Propose a monitor, and return the stored proposal."""
        return self.propose(text, **given).proposal

    def accept(self, proposal: QueuedCommand, who: Profile = BOB) -> Sentence:
        """Add the proposed monitor."""
        return self.service.accept(who, proposal.id, origin="slack")

    def dismiss(self, proposal: QueuedCommand, who: Profile = BOB) -> Sentence:
        """Dismiss the proposed monitor."""
        return self.service.dismiss(who, proposal.id, origin="slack")

    def now(self, proposal: QueuedCommand) -> MonitorProposal:
        """Return the proposal's current state."""
        return self.service.find(proposal.id)

    def cards(self) -> list[str]:
        """Return the keys of the cards in the outbox, without IDs."""
        return [key.rpartition(":")[2] for key in (note.key for note in self.bench.notes()) if key[:9] == "proposal:"]

    def monitors(self) -> list[str]:
        """Return the names of the monitors that exist."""
        return [row.monitor.name for row in self.commands.service.list_rows()]


@pytest.fixture
def proposals(commands: MonitorCommands) -> Proposals:
    """Return the service, with a policy that has two clients."""
    return proposals_on(commands.bench)


def proposals_on(bench: Bench) -> Proposals:
    """Return the service on this bench, after a first look at the registry, with a policy that has two clients."""
    bench.watch.poll()
    bench.context.active_policy.replace(validate_policy(POLICY | {"clients": CLIENTS}), "")
    return Proposals(MonitorCommands(bench))
