"""Ports to everything else: the clock, metric sources, Slack, files, and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from bot.domain.audit.events import Event
from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import SlackNotConnected
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.policy import Policy, ServingProbe
from bot.domain.promotions.approvers import EligibleApprovers
from bot.ports.records import DeliveryResult, MessageRef, OutboxMessage, Query


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current time in UTC, with its zone."""


class SystemClock:
    """The system's clock. Nothing else reads it, so that tests can set the time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


SYSTEM_CLOCK: Final = SystemClock()


class Observer(Protocol):
    """Counts what happens in this process. No method blocks or raises."""

    def events_committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of a transaction that was just committed."""

    def registry_called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count a call to the registry. `error`: the class of the error; empty if there was none."""

    def slack_call_failed(self, code: str) -> None:
        """Count a failed Slack API call. `code`: Slack's error code."""

    def check_finished(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count a finished check. `delay`: how late it was; None if it ran outside its schedule."""


class NullObserver:
    """An observer that counts nothing."""

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
    """A source of measurements. Plugins add types through the entry point group `registrar.sources`."""

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order; identical queries are sent once.

        An error in one query is the ERROR outcome of its answer. Raises Unreachable or Misconfigured if all of them
        fail. Keeps to the queries' timeouts.
        """

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return past points, about one per `step`, for a backtest; includes older versions."""


class ServingProbes(Protocol):
    """Read from serving endpoints which version they serve."""

    def serving_version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that the endpoint reports, as text. Raises Unreachable with the reason."""


class Notifier(Protocol):
    """Delivers messages to people in Slack."""

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Deliver a message. Doesn't raise for anything that Slack answers.

        Sends nothing after the message's `claimed_until`, since another process may be delivering it by then.
        """

    def channel_id(self, name: str) -> str:
        """Return the id of the channel with this name; the name itself if it's an id, or if the id isn't known."""

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a message that was posted twice, if possible."""


class PolicyFile(Protocol):
    """The file that holds the policy."""

    @property
    def name(self) -> str:
        """The name that people know it by."""

    def change_marker(self) -> object:
        """Return a value that changes when the file is written or replaced; None if there is no file."""

    def read_text(self) -> str:
        """Return its text. Raises Misconfigured if it can't be read."""

    def parse(self, text: str) -> Policy:
        """Parse a policy. Raises Misconfigured with all errors found in the text."""


class AnchorFile(Protocol):
    """An append-only file of audit anchors, compared with the ledger at startup."""

    def append_line(self, path: str, line: str) -> None:
        """Append a line, which includes its line break, and flush it to disk. Raises Misconfigured if that fails."""

    def read_text(self, path: str) -> str | None:
        """Return its text; None if it isn't a file that can be read back. Raises Misconfigured if that fails."""


class PassportSigner(Protocol):
    """Signs passports and status lists with one key (Ed25519)."""

    @property
    def key_id(self) -> str:
        """The SHA-256 of the public key's 32 bytes, in hex."""

    @property
    def created_at(self) -> datetime:
        """When the key was created."""

    def sign(self, payload: bytes) -> bytes:
        """Return the signature of these bytes."""


class Directory(Protocol):
    """Slack's information about people, at most 60 seconds old."""

    def profile(self, person: Person) -> Profile:
        """Return the person's account status and user groups. Raises SlackUnreachable."""

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return the profiles of people who acted earlier, by user id, read now instead of from the cache.

        Someone who acted in the terminal has no workspace and counts as a member of this one. Raises SlackUnreachable.
        """

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the people behind user and user group ids, cached for 60 seconds.

        An account that Slack doesn't describe counts as active. So do the accounts in a large group, which would take
        too long to look up. Raises SlackUnreachable if Slack can't be reached at all.
        """

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the user ids behind user and user group ids, sorted, without any that Slack doesn't resolve."""

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return display names by user or user group id, without any that Slack doesn't resolve."""


class DisconnectedDirectory:
    """The directory of a process without Slack: it can't confirm anyone's permissions."""

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
        """Return an empty list."""
        return []

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return an empty mapping."""
        return {}


NO_DIRECTORY: Final = DisconnectedDirectory()
