"""Who acts: people, and what is not a person."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.domain.core.sentence import Code, Mention


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a Slack workspace. Both ids are Slack's."""

    team: str
    user: str


@dataclass(frozen=True, slots=True)
class Automation:
    """A part of Registrar that acts by itself: a job, a monitor, the registry poll."""

    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """A program with a token of the HTTP API, as the policy names it."""

    name: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at the terminal of the bot's own machine, by operating-system user.

    `user` is the Slack id that the policy's `operators` gives them now, empty for none. It isn't stored.
    """

    name: str
    user: str = field(default="", compare=False)


Actor = Person | Automation | Client | Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A person as Slack describes them now. `groups` are the user groups they are in, of those the policy names.

    `name` is what people see of them; it decides nothing. `operator` is who they are on the bot's machine, where they
    act at its terminal: the audit then names that.
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
    """Return who the caller is, without what Slack says of them."""
    if isinstance(caller, Profile):
        return Operator(caller.operator, caller.person.user) if caller.operator else caller.person
    return caller


def resolve_operator(actor: Actor) -> Actor:
    """Return an operator as the person who they are in Slack, where that is known; anyone else as they are."""
    return Person("", actor.user) if isinstance(actor, Operator) and actor.user else actor


def actor_id(actor: Actor) -> str:
    """Return the actor as one word for the ledger: `slack:T1/U1`, `automation:…`, `client:…`, `operator:…`."""
    if isinstance(actor, Person):
        return f"slack:{actor.team}/{actor.user}"
    return f"{type(actor).__name__.lower()}:{actor.name}"


def parse_actor(text: str) -> Actor:
    """Return the actor that `actor_id` wrote. Raises ValueError for anything else."""
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
        raise ValueError(f"no actor: {text!r}")
    return kinds[kind](rest)


def format_actor(actor: Actor) -> Mention | Code:
    """Return the actor as a value for a sentence."""
    known = resolve_operator(actor)
    return Mention(known.user) if isinstance(known, Person) else Code(known.name)


MONITOR_AUTOMATION = Automation("automated-monitor")  # who acts where a monitor acts
