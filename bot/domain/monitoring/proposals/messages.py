"""Messages about the monitors that agents propose. An agent's name only ever appears as quoted text."""

from __future__ import annotations

from bot.domain.core.actors import format_actor
from bot.domain.core.agent import Agent
from bot.domain.core.sentence import Code, Mention, Name, Sentence, say
from bot.domain.monitoring.messages import qualified_name
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.proposals.proposal import MonitorProposal, ProposalState


def proposer(proposal: MonitorProposal) -> Sentence:
    """Return who proposed the monitor: the client, the agent, and the person it acts for."""
    return say(
        "Proposed by {client} with {agent}, acting for {person}.",
        client=Code(proposal.client.name),
        agent=Code(str(proposal.agent)),
        person=_person(proposal.agent),
    )


def _person(agent: Agent) -> object:
    return Mention(agent.person) if agent.person else "someone the policy doesn't name"


def decision(proposal: MonitorProposal) -> Sentence | None:
    """Return who added or dismissed the monitor; None if no one has yet."""
    if proposal.decided_by is None or proposal.decided_at is None:
        return None
    who, at = format_actor(proposal.decided_by), proposal.decided_at
    if proposal.state is ProposalState.ADDED:
        return say("Added by {who}, {at}.", who=who, at=at)
    return say("Dismissed by {who}, {at}.", who=who, at=at)


def proposal_status(proposal: MonitorProposal, channel: str) -> Sentence:
    """Return what became of a proposal, for the agent."""
    if decided := decision(proposal):
        return decided
    return say("Someone can add {it} in {channel}.", it=qualified_name(proposal.monitor), channel=Code(channel))


def decided_before(proposal: MonitorProposal) -> Sentence:
    """Return the answer to someone who adds or dismisses a proposal after someone else has decided on it."""
    return say("Someone was faster, so nothing changed. {decision}", decision=decision(proposal) or "")


def dismissed_answer(monitor: Monitor) -> Sentence:
    """Return the answer to the person who dismissed a proposal."""
    return say("Dismissed {it}. No monitor was added.", it=qualified_name(monitor))


def proposed_before(earlier: MonitorProposal) -> Sentence:
    """Return why a client can't propose different settings while its earlier proposal with that name is open."""
    return say(
        "Your proposal {id} of {it} is still open. Wait until someone adds or dismisses it, or use another name.",
        id=Code(earlier.id),
        it=qualified_name(earlier.monitor),
    )


def too_many_open(model: str, limit: int) -> Sentence:
    """Return why no one can propose another monitor for a model."""
    return say(
        "{model} has {n} open proposals, which is the limit. Wait until someone adds or dismisses one.",
        model=Name(model),
        n=limit,
    )


def unknown_proposal(proposal_id: str) -> Sentence:
    """Return the error for an unknown proposal ID."""
    return say("There's no proposed monitor {id}.", id=Code(proposal_id[:40]))
