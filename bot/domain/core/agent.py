"""The agent that makes a request: a program that acts for a person and decides what to request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bot.domain.core.sentence import sanitize_text, truncate

MAX_NAME_LENGTH = 60  # characters of an agent's name, and of its version
UNNAMED = "an agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent, identified by the name and version that it gives, which no one verifies.

    `person` is the Slack user ID of the person it acts for, according to the policy; empty if the policy doesn't say.
    """

    name: str
    version: str = ""
    person: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


def introduce_agent(name: str, version: str = "", person: str = "") -> Agent:
    """Return an agent with a displayable name and version. `person` (see `Agent`) never comes from the agent."""
    return Agent(name=_to_show(name) or UNNAMED, version=_to_show(version), person=person)


def _to_show(text: str) -> str:
    return truncate(sanitize_text(text).strip(), MAX_NAME_LENGTH)


def pack_agent(agent: Agent) -> dict[str, str]:
    """Return the known fields as plain JSON values, for the ledger and the audit log."""
    return {name: value for name, value in asdict(agent).items() if value}


def unpack_agent(data: Mapping[str, Any]) -> Agent:
    """Return the agent that `pack_agent` wrote."""
    return Agent(**data)
