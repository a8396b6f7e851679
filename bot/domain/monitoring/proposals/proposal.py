"""A monitor that an agent proposes. Nothing is monitored until a person adds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from bot.domain.core.actors import Actor, Client, actor_id, parse_actor
from bot.domain.core.agent import Agent
from bot.domain.core.sentence import Sentence, pack_sentence, unpack_sentence
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig


class ProposalState(Enum):
    """What became of a proposal."""

    OPEN = "open"  # no one has decided yet
    ADDED = "added"  # a person added the monitor
    DISMISSED = "dismissed"  # a person dismissed it


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorProposal:
    """A proposed monitor, as it will be added, and the reason for it.

    `backtest` says when the monitor would have fired before it was proposed, which was at its `created_at`.
    `decided_by` is the person who added or dismissed it.
    """

    id: str
    client: Client
    agent: Agent
    monitor: Monitor
    reason: str
    backtest: Sentence
    state: ProposalState = ProposalState.OPEN
    decided_by: Actor | None = None
    decided_at: datetime | None = None

    def with_decision(self, state: ProposalState, by: Actor, at: datetime) -> MonitorProposal:
        """Return the proposal with a person's decision."""
        return replace(self, state=state, decided_by=by, decided_at=at)


def pack_proposal(proposal: MonitorProposal) -> dict[str, Any]:
    """Return what `unpack_proposal` needs, as plain JSON values."""
    monitor = proposal.monitor
    return {
        "monitor": monitor.id,
        "model": monitor.model,
        "rule": monitor.rule.model_dump(mode="json"),
        "at": monitor.created_at.isoformat(),
        "reason": proposal.reason,
        "backtest": pack_sentence(proposal.backtest),
        "state": proposal.state.value,
        "decided_by": actor_id(proposal.decided_by) if proposal.decided_by else None,
        "decided_at": proposal.decided_at.isoformat() if proposal.decided_at else None,
    }


def unpack_proposal(data: Mapping[str, Any], proposal_id: str, client: Client, agent: Agent) -> MonitorProposal:
    """Return the proposal that `pack_proposal` wrote."""
    monitor = Monitor(
        id=data["monitor"],
        model=data["model"],
        rule=MonitorConfig.model_validate(data["rule"]),
        created_at=datetime.fromisoformat(data["at"]),
        created_by=client,
    )
    return MonitorProposal(
        id=proposal_id,
        client=client,
        agent=agent,
        monitor=monitor,
        reason=data["reason"],
        backtest=unpack_sentence(data["backtest"]),
        state=ProposalState(data["state"]),
        decided_by=parse_actor(data["decided_by"]) if data["decided_by"] else None,
        decided_at=datetime.fromisoformat(data["decided_at"]) if data["decided_at"] else None,
    )
