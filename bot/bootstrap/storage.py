"""TODO bot.bootstrap.storage"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cache
from typing import TYPE_CHECKING

from bot.domain.core.errors import LedgerUnavailable, NoLedgerHere
from bot.domain.policy.policy import Policy
from bot.policy_file import parse_policy
from bot.ports import (
    UNOBSERVED,
    Dispatcher,
    Ledger,
    Observer,
    Reading,
    Registry,
    Writing,
)
from bot.registry.mlflow.registry import MlflowRegistry
from bot.registry.tag_stages import TaggedStages
from bot.services.core.context import CHALLENGER, CHAMPION
from bot.services.policy.reload import policy_in_force
from bot.settings import Settings, Unset

if (
    TYPE_CHECKING
):  # a terminal that only compares draws nothing, and needs neither Slack nor a ledger: who does imports it
    from bot.ledger.database import SqlLedger


class NoLedger:
    """The ledger of those who only look at the registry: they need no database, nor its settings."""

    def write(self) -> AbstractContextManager[Writing]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def read(self) -> AbstractContextManager[Reading]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def recognize(self, operators: Callable[[], Mapping[str, str]]) -> None:
        """There is nobody to recognize."""

    def close(self) -> None:
        """There is nothing to close."""


def open_queue(settings: Settings) -> Dispatcher:
    """Return the queue of checks for all processes on this PostgreSQL."""
    from bot.ledger.procrastinate_dispatcher import Queue  # on SQLite nobody needs it

    return Queue(settings.ledger_url)


def open_ledger(settings: Settings, observer: Observer = UNOBSERVED, *, serves: bool = False) -> SqlLedger:
    """Return the ledger, ready for work; SQLite's tables are brought up to date. With `serves` it serves it alone.

    Raises LedgerUnavailable, and Misconfigured where that of PostgreSQL has to be made or upgraded first, or another
    process serves one that has room for one only.
    """
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections, observer=observer)
    try:
        if serves:
            ledger.serve_alone()
        ledger.prepare()
    except BaseException:
        ledger.close()
        raise
    return ledger


def ledger_beside(settings: Settings) -> Ledger:
    """Return the ledger that is there, or none: it is neither made nor brought up to date, and can be away."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections)
    with suppress(LedgerUnavailable):
        if ledger.is_current():
            return ledger
    ledger.close()
    return NoLedger()


def policy_beside(settings: Settings, ledger: Ledger) -> tuple[Policy, str] | None:
    """Return the policy that the bot on this ledger put in force last, and its revision.

    None where no bot ever did, or this version can't read it: then the file counts. Raises LedgerUnavailable.
    """
    if isinstance(ledger, NoLedger):
        return None
    with ledger.read() as reading:
        return policy_in_force(reading, lambda text: parse_policy(text, settings.policy))


def open_registry(
    settings: Settings, observer: Observer = UNOBSERVED, *, warn: Callable[[Unset], object] | None = None
) -> Registry:
    """Return the registry that the settings name. `warn` hears once of a registry of our own, before it is opened."""

    @cache
    def begin() -> None:
        if warn and (unset := settings.unset_mlflow):
            warn(unset)

    registry = MlflowRegistry(settings.mlflow_uri, settings.registry_uri, observer=observer, begin=begin)
    return registry if settings.has_stages else TaggedStages(registry, champion=CHAMPION, challenger=CHALLENGER)
