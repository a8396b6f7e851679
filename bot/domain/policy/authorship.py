"""Who is behind a request: the requester, whoever started its CI job, and the person that its agent acts for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.domain.core.actors import Actor, Client, Operator, Person
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorship:
    """Who made a request. `ci` is the CI run that it came from, and `agent` the agent that made it, if any.

    Whoever started the CI run, and the person that the agent acts for, are treated like the requester.
    """

    requester: Actor | None = None
    ci: CiRun | None = None
    agent: Agent | None = None


def own_user_ids(made_by: Authorship, policy: Policy) -> frozenset[str]:
    """Return the Slack IDs of everyone behind a request.

    They are the requester, whoever started its CI job, the person that its agent acted for when the request was made,
    and the person that the agent acts for now.
    """
    requester, ci = made_by.requester, made_by.ci
    ids = (
        slack_user_id(requester, policy) if requester else None,
        policy.people.find(ci) if ci else None,
        made_by.agent.person if made_by.agent else None,
        _acts_for(requester, policy),
    )
    return frozenset(user_id for user_id in ids if user_id)


def represented_person(made_by: Authorship, policy: Policy) -> str | None:
    """Return the Slack ID of the person that a request's agent acts for, as recorded, or else as the policy says."""
    recorded = made_by.agent.person if made_by.agent else ""
    return recorded or _acts_for(made_by.requester, policy)


def missing_person_key(made_by: Authorship, policy: Policy) -> Literal["people", "acts_for"] | None:
    """Return the policy key that should say who is behind a request but doesn't, or None if someone is known.

    A verified CI run says who started it. A token doesn't, because whoever has it can omit the run.
    """
    requester, ci, agent = made_by.requester, made_by.ci or CiRun(), made_by.agent
    if not ci.is_verified:
        if represented_person(made_by, policy):
            return None
        is_known = requester is not None and slack_user_id(requester, policy) is not None
        if agent is not None and not is_known and policy.people.find(ci) is None:
            return "acts_for"
    return "people" if policy.people.is_starter_unknown(requester, ci) else None


def slack_user_id(actor: Actor, policy: Policy) -> str | None:
    """Return the Slack ID of a person or a known operator, or None for anyone else."""
    if isinstance(actor, Operator):
        return policy.operators.get(actor.name)
    return actor.user if isinstance(actor, Person) else None


def _acts_for(requester: Actor | None, policy: Policy) -> str | None:
    """Return the Slack ID of the person whose agent has a client's token, or None if the policy doesn't say."""
    client = policy.clients.get(requester.name) if isinstance(requester, Client) else None
    return client.acts_for if client else None
