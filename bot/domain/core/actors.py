"""Who acts: people, automations, API clients, and operators at the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from bot.domain.core.sentence import Code, Mention


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a Slack workspace. `team` and `user` are Slack IDs."""

    team: str
    user: str


@dataclass(frozen=True, slots=True)
class Automation:
    """A part of Registrar that acts automatically: a job, a monitor, the registry poll."""

    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """A program with a token for the HTTP API. `name` is its key under the policy's `clients`."""

    name: str


@dataclass(frozen=True, slots=True)
class Operator:
    """A person at the terminal of the bot's own machine. `name` is the operating-system user.

    `user` is the Slack ID that the policy's `operators` currently maps them to, or empty. It isn't stored.
    """

    name: str
    user: str = field(default="", compare=False)


Actor = Person | Automation | Client | Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A person as Slack describes them now. `groups` are their user groups, limited to those the policy names.

    `name` is their display name; no rule uses it. `operator` is their operating-system user if they're acting at the
    bot's terminal; the audit log then names that user.
    """

    person: Person
    is_home: bool = True
    is_guest: bool = False
    is_bot: bool = False
    is_deleted: bool = False
    groups: frozenset[str] = frozenset()
    name: str = ""
    operator: str = ""


Caller = Profile | Automation | Client | Operator


def actor_of(caller: Caller) -> Actor:
    """Return the caller's identity, without their Slack profile."""
    if isinstance(caller, Profile):
        return Operator(caller.operator, caller.person.user) if caller.operator else caller.person
    return caller


def resolve_operator(actor: Actor) -> Actor:
    """Return an operator's Slack identity, if it's known; otherwise, return the actor unchanged."""
    return Person("", actor.user) if isinstance(actor, Operator) and actor.user else actor


def actor_id(actor: Actor) -> str:
    """Return the actor's ID in the ledger: `slack:T1/U1`, `automation:…`, `client:…`, `operator:…`."""
    if isinstance(actor, Person):
        return f"slack:{actor.team}/{actor.user}"
    return f"{type(actor).__name__.lower()}:{actor.name}"


@lru_cache(maxsize=4096)
def parse_actor(text: str) -> Actor:
    """Parse what `actor_id` wrote. Cached, since most rows name the same few. Raises ValueError for anything else."""
    kind, _, rest = text.partition(":")
    if kind == "slack":
        team, _, user = rest.partition("/")
        return Person(team, user)
    kinds: dict[str, type[Automation | Client | Operator]] = {
        "automation": Automation,
        "client": Client,
        "operator": Operator,
    }
    if kind not in kinds:
        raise ValueError(f"not an actor: {text!r}")
    return kinds[kind](rest)


def format_actor(actor: Actor) -> Mention | Code:
    """Return the actor as a value for a sentence."""
    resolved = resolve_operator(actor)
    return Mention(resolved.user) if isinstance(resolved, Person) else Code(resolved.name)


MONITOR_AUTOMATION = Automation("automated-monitor")  # the actor of automatic rollbacks
