"""Everything else: the clock, sources, Slack, files, and who counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from bot.domain.audit.events import Event
from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import SlackNotConnected
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.policy import Policy, ServingProbe
from bot.domain.promotions.approvers import EligibleApprovers
from bot.ports.records import DeliveryResult, MessageRef, OutboxMessage, Query


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the time in UTC, with its zone."""
        ...


class Observer(Protocol):
    """Whoever counts what happens in this process. No method waits for anything, nor raises."""

    def events_committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of one transaction, which has just been committed."""
        ...

    def registry_called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count one question to the registry; `error` is the class of what went wrong, if anything did."""
        ...

    def slack_call_failed(self, code: str) -> None:
        """Count a call of Slack that failed, by Slack's own name of the error."""
        ...

    def check_finished(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count a monitor's finished check; `delay` is from when it was due, None for one out of turn."""
        ...


class NullObserver:
    """The observer that counts nothing."""

    def events_committed(self, events: Sequence[Event]) -> None:
        """Count nothing."""

    def registry_called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count nothing."""

    def slack_call_failed(self, code: str) -> None:
        """Count nothing."""

    def check_finished(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count nothing."""


NO_OBSERVER: Final = NullObserver()


class MetricSource(Protocol):
    """Where measurements come from. New kinds are plug-ins: the entry points `registrar.sources`, by their type."""

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order; what many ask is asked once.

        What goes wrong with one query is its answer's ERROR. May raise Unreachable or Misconfigured where it goes
        wrong for all of them; it keeps to the queries' time limits.
        """
        ...

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the points that it still knows, about one every `step`, for a backtest; older versions' included."""
        ...


class ServingProbes(Protocol):
    """The serving side, asked which version it serves."""

    def serving_version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that it reports, as text. Raises Unreachable with a sentence that says why not."""
        ...


class Notifier(Protocol):
    """Whoever tells people: Slack."""

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Deliver one note. Never raises for what Slack answers.

        After `note.claimed_until` somebody else may be delivering it, so then nothing is sent any more.
        """
        ...

    def channel_id(self, name: str) -> str:
        """Return the id of the channel with this name; the name itself if the id isn't known, or if it is an id."""
        ...

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a message of ours that is there twice, if that can be done."""
        ...


class PolicyFile(Protocol):
    """Where the policy is written down."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def change_marker(self) -> object:
        """Return a value that changes when it's written or replaced; None where there is none."""
        ...

    def read_text(self) -> str:
        """Return its text. Raises Misconfigured where it cannot be read."""
        ...

    def parse(self, text: str) -> Policy:
        """Return the policy that a text means. Raises Misconfigured with every fault."""
        ...


class AnchorFile(Protocol):
    """A file that lines can only be added to, and that is compared at a start."""

    def append_line(self, path: str, line: str) -> None:
        """Add the line, its end included, and let it reach the disk. Raises Misconfigured."""
        ...

    def read_text(self, path: str) -> str | None:
        """Return its text, None where it isn't a file that can be read back. Raises Misconfigured."""
        ...


class Directory(Protocol):
    """Who people are, as Slack tells it now (at most 60 s old)."""

    def profile(self, person: Person) -> Profile:
        """Return the person's standing and user groups. Raises SlackUnreachable when it cannot be learnt."""
        ...

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return the standing of people who acted before, by user id; their accounts are read now, not remembered.

        At the terminal nobody knows a person's workspace: an empty one is this one. Raises SlackUnreachable.
        """
        ...

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return who is behind user and user group ids, as remembered for a minute.

        An account that Slack doesn't tell of counts as active, and so do those of a large group, which
        would take too long to ask about. Raises SlackUnreachable where Slack can't be asked at all.
        """
        ...

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind user and user group ids, sorted; of what Slack does not tell now, nobody."""
        ...

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of user and user group ids; what Slack does not tell is left out."""
        ...


class DisconnectedDirectory:
    """The directory of a process that has no Slack to ask: it knows nobody, so it can't confirm anyone's rights."""

    def profile(self, person: Person) -> Profile:
        """Raise SlackNotConnected."""
        raise SlackNotConnected("This process isn't connected to Slack.")

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Raise SlackNotConnected."""
        raise SlackNotConnected("This process isn't connected to Slack.")

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the people among the ids."""
        return EligibleApprovers.from_ids(ids)

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return nobody."""
        return []

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return nothing."""
        return {}


NO_DIRECTORY: Final = DisconnectedDirectory()
