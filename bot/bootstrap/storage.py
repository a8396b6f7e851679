"""Open the ledger, the registry, and the queue of checks that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cache
from typing import TYPE_CHECKING

from bot.domain.core.errors import LedgerUnavailable, NoLedgerHere
from bot.domain.policy.policy import Policy
from bot.policy_file import parse_policy
from bot.ports import (
    NO_OBSERVER,
    SYSTEM_CLOCK,
    Clock,
    Dispatcher,
    Ledger,
    LedgerReader,
    LedgerTransaction,
    ModelRegistry,
    Observer,
)
from bot.registry.mlflow.registry import MlflowRegistry
from bot.registry.tag_stages import TagStageRegistry
from bot.services.core.context import CHALLENGER, CHAMPION
from bot.services.policy.reload import last_applied_policy
from bot.settings import Settings, UnsetSetting

if TYPE_CHECKING:  # imported where needed: a terminal that only compares versions needs neither Slack nor a ledger
    from bot.ledger.database import SqlLedger


class NullLedger:
    """The ledger of commands that only read the registry and need no database."""

    def write(self) -> AbstractContextManager[LedgerTransaction]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def read(self) -> AbstractContextManager[LedgerReader]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_dispatcher(settings: Settings) -> Dispatcher:
    """Return the queue that distributes monitor checks among all processes on this PostgreSQL."""
    from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher  # not needed on SQLite

    return ProcrastinateDispatcher(settings.ledger_url)


def open_ledger(
    settings: Settings, observer: Observer = NO_OBSERVER, *, exclusive: bool = False, clock: Clock = SYSTEM_CLOCK
) -> SqlLedger:
    """Return the ledger, ready for work; SQLite's tables are brought up to date. With `exclusive` it serves it alone.

    Raises LedgerUnavailable, and Misconfigured where that of PostgreSQL has to be made or upgraded first, or another
    process serves one that has room for one only.
    """
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections, observer=observer, clock=clock)
    try:
        if exclusive:
            ledger.lock_file()
        ledger.prepare()
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_current_ledger(settings: Settings) -> SqlLedger:
    """Return the ledger for reading. Raises Misconfigured unless there is one with current tables."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url)
    try:
        ledger.require_current()
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_existing_ledger(settings: Settings) -> Ledger:
    """Return the existing ledger, or None. It's neither created nor migrated, and may be unavailable."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections)
    with suppress(LedgerUnavailable):
        if ledger.is_current():
            return ledger
    ledger.close()
    return NullLedger()


def policy_last_in_force(settings: Settings, ledger: Ledger) -> tuple[Policy, str] | None:
    """Return the policy that the bot on this ledger applied last, and its revision.

    None where no bot ever did, or this version can't read it: then the file counts. Raises LedgerUnavailable.
    """
    if isinstance(ledger, NullLedger):
        return None
    with ledger.read() as reader:
        return last_applied_policy(reader, lambda text: parse_policy(text, settings.policy))


def open_registry(
    settings: Settings, observer: Observer = NO_OBSERVER, *, warn: Callable[[UnsetSetting], object] | None = None
) -> ModelRegistry:
    """Return the registry that the settings name. `warn` hears once of a registry of our own, before it is opened."""

    @cache
    def begin() -> None:
        if warn and (unset := settings.unset_tracking_uri):
            warn(unset)

    registry = MlflowRegistry(settings.mlflow_uri, settings.registry_uri, observer=observer, before_open=begin)
    return registry if settings.has_stages else TagStageRegistry(registry, champion=CHAMPION, challenger=CHALLENGER)
