"""Ports to everything but the ledger and the registry: the clock, metric sources, Slack, files, and metrics."""

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
        """Return the current time as an aware datetime in UTC."""


class SystemClock:
    """The system clock. Nothing else reads the system time, so that tests can set the time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


SYSTEM_CLOCK: Final = SystemClock()


class Observer(Protocol):
    """Counts what happens in this process. No method blocks or raises."""

    def events_committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of a transaction that has just been committed."""

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
    """A source of measurements. Plugins add source types through the entry point group `registrar.sources`."""

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order; send identical queries only once.

        If one query fails, the outcome of its answer is ERROR. Raises Unreachable or Misconfigured if all of them fail.
        Respects the queries' timeouts.
        """

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return past points for a backtest, about one per `step`, including those of older versions."""


class ServingProbes(Protocol):
    """Asks serving endpoints which version they serve."""

    def serving_version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that the endpoint reports, as text. Raises Unreachable with the reason."""


class Notifier(Protocol):
    """Delivers messages to people in Slack."""

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Deliver a message. Doesn't raise, whatever Slack responds.

        Sends nothing after the message's `claimed_until`, because another process may be delivering it by then.
        """

    def channel_id(self, name: str) -> str:
        """Return the ID of the channel with this name; `name` itself if it's an ID, or if the ID isn't known."""

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a duplicate of a message, if possible."""


class PolicyFile(Protocol):
    """The file that holds the policy."""

    @property
    def name(self) -> str:
        """The file's name, as shown to people."""

    def change_marker(self) -> object:
        """Return a value that changes when the file is written or replaced; None if there's no file."""

    def read_text(self) -> str:
        """Return the file's text. Raises Misconfigured if it can't be read."""

    def parse(self, text: str) -> Policy:
        """Parse a policy. Raises Misconfigured with all errors found in the text."""


class AnchorFile(Protocol):
    """An append-only file of audit anchors, compared with the ledger at startup."""

    def append_line(self, path: str, line: str) -> None:
        """Append `line`, which ends with a line break, and flush it to disk. Raises Misconfigured if that fails."""

    def read_text(self, path: str) -> str | None:
        """Return the file's text; None if there's no file to read back. Raises Misconfigured if reading it fails.

        A pipe or a device can't be read back.
        """


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
        """Return the profiles of people who acted earlier, by user ID, with accounts read now instead of cached.

        Their user groups can be up to 60 seconds old. Someone who acted in the terminal has no workspace and counts as
        a member of this one. Raises SlackUnreachable.
        """

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the users that user and user group IDs stand for, cached for 60 seconds.

        An account that Slack doesn't describe counts as active. So do all accounts if there are too many to look up.
        Raises SlackUnreachable if Slack can't be reached at all.
        """

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the IDs of the users that user and user group IDs stand for, sorted.

        IDs that Slack can't resolve are left out.
        """

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return display names by user or user group ID, without those that Slack can't resolve."""


class DisconnectedDirectory:
    """The directory of a process without Slack: it can't confirm anyone's permissions."""

    def profile(self, person: Person) -> Profile:
        """Raise SlackNotConnected."""
        raise SlackNotConnected("This process isn't connected to Slack.")

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Raise SlackNotConnected."""
        raise SlackNotConnected("This process isn't connected to Slack.")

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the users among the IDs, without looking them up."""
        return EligibleApprovers.from_ids(ids)

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return an empty list."""
        return []

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return an empty mapping."""
        return {}


NO_DIRECTORY: Final = DisconnectedDirectory()
