"""Open the ledger, registry, and check queue that the settings specify."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from bot.domain.core.errors import LedgerUnavailable, Misconfigured, NoLedgerHere
from bot.domain.core.sentence import Code, Name, sanitize_text, say, truncate
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import use_product
from bot.policy_file import parse_policy
from bot.ports import (
    NO_OBSERVER,
    SYSTEM_CLOCK,
    Clock,
    Dispatcher,
    Ledger,
    LedgerReader,
    LedgerTransaction,
    Observer,
    OpenRegistry,
    RegistryAdapter,
    RegistryOptions,
    UnsetSetting,
)
from bot.registry.mlflow.adapter import MLFLOW, MlflowVariables, links
from bot.registry.mlflow.probe import MlflowProbe
from bot.registry.mlflow.registry import MlflowRegistry
from bot.registry.tag_stages import TagStageRegistry
from bot.services.core.context import CHALLENGER, CHAMPION
from bot.services.policy.reload import last_applied_policy
from bot.settings import Settings

if TYPE_CHECKING:  # imported where needed: a terminal that only compares versions needs neither Slack nor a ledger
    from bot.ledger.database import SqlLedger


_ASSESSMENT_TIMEOUT = 30  # seconds to wait for a response when nobody in Slack is waiting


class NullLedger:
    """A stand-in ledger for commands that only read the registry and don't need a database."""

    def write(self) -> AbstractContextManager[LedgerTransaction]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This process has no ledger.")

    def read(self) -> AbstractContextManager[LedgerReader]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This process has no ledger.")

    def require_same_tables(self) -> None:
        """Do nothing."""

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_dispatcher(settings: Settings) -> Dispatcher:
    """Return the queue that distributes monitor checks among all processes that share this PostgreSQL ledger."""
    from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher  # not needed on SQLite

    return ProcrastinateDispatcher(settings.ledger_url)


def open_ledger(
    settings: Settings, observer: Observer = NO_OBSERVER, *, exclusive: bool = False, clock: Clock = SYSTEM_CLOCK
) -> SqlLedger:
    """Return the ledger, ready for use; upgrades SQLite's tables. `exclusive` locks out other processes on SQLite.

    Raises LedgerUnavailable. Raises Misconfigured if PostgreSQL's tables must be created or upgraded first, or if
    another process is already using the SQLite ledger.
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
    """Return the ledger for reading. Raises Misconfigured unless it exists and has current tables."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url)
    try:
        ledger.require_current()
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_existing_ledger(settings: Settings) -> Ledger:
    """Return the existing ledger, or a NullLedger if it's missing, not current, or unavailable. Changes nothing."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections)
    with suppress(LedgerUnavailable):
        if ledger.is_current():
            return ledger
    ledger.close()
    return NullLedger()


def policy_last_in_force(settings: Settings, ledger: Ledger) -> tuple[Policy, str] | None:
    """Return the policy that the bot last applied on this ledger, and its revision.

    Return None if no bot has applied one, or if this release can't read it; the policy file then applies. Raises
    LedgerUnavailable.
    """
    if isinstance(ledger, NullLedger):
        return None
    with ledger.read() as reader:
        return last_applied_policy(reader, lambda text: parse_policy(text, settings.policy))


def has_plugins() -> bool:
    """Return whether another package provides metric sources or a registry."""
    groups = ("registrar.sources", "registrar.registries")
    return any(not entry.value.startswith("bot.") for group in groups for entry in entry_points(group=group))


def load_adapter(name: str) -> RegistryAdapter:
    """Return the registry adapter with this name. Raises Misconfigured if there isn't one or it can't be loaded."""
    if name == "mlflow":  # also works in a checkout that isn't installed, which has no entry points
        return MLFLOW
    found = {entry.name: entry for entry in entry_points(group="registrar.registries")}
    if name not in found:
        raise Misconfigured(
            say(
                "Can't use {setting}: there's no registry named {name}. Choose one of {known}.",
                setting=Code("REGISTRAR_REGISTRY"),
                name=Name(truncate(name, 100)),
                known=sorted({"mlflow", *found}),
            )
        )
    try:
        adapter: RegistryAdapter = found[name].load()
    except Exception as error:  # it's someone else's code
        problem = truncate(sanitize_text(f"{type(error).__name__}: {error}"), 200)
        raise Misconfigured(say("Can't load the registry {name} ({why}).", name=Name(name), why=problem)) from error
    return adapter


def open_registry(
    settings: Settings, observer: Observer = NO_OBSERVER, *, warn: Callable[[UnsetSetting], object] | None = None
) -> OpenRegistry:
    """Return the configured registry, without connecting to it.

    Calls `warn` once before the built-in SQLite registry is first used. Raises Misconfigured.
    """
    adapter = load_adapter(settings.registry)
    use_product(lambda: adapter.product)
    opened = adapter.open(RegistryOptions(os.environ, settings.home, observer, warn))
    has_stages = opened.has_stages if settings.stages == "auto" else settings.stages == "stages"
    if has_stages:
        return replace(opened, has_stages=True)
    tagged = TagStageRegistry(opened.registry, champion=CHAMPION, challenger=CHALLENGER)
    return replace(opened, registry=tagged, has_stages=False)


def open_registry_to_assess(url: str | None) -> tuple[OpenRegistry, str]:
    """Return a registry opened without Registrar's own settings, and its address without credentials.

    `url` is MLflow's address; None means the registry that the environment names. If that isn't MLflow, the address is
    the product's name. Creates nothing, not even MLflow's tables. Raises Misconfigured and RegistryUnreachable.
    """
    adapter = MLFLOW if url else load_adapter(os.environ.get("REGISTRAR_REGISTRY") or "mlflow")
    use_product(lambda: adapter.product)
    own = {"MLFLOW_TRACKING_URI": url, "MLFLOW_REGISTRY_URI": "", "REGISTRAR_MLFLOW_URL": ""} if url else {}
    options = RegistryOptions(os.environ | own, Path())
    if adapter is not MLFLOW:
        return adapter.open(options), adapter.product.name
    variables = MlflowVariables(options.environ, options.home)
    if variables.unset:
        raise Misconfigured(say("Missing URL. Usage: {usage}", usage=Code("registrar assess URL")))
    places = [_existing_mlflow(uri) for uri in (variables.registry_uri, variables.tracking_uri) if uri]
    registry = MlflowRegistry(
        variables.tracking_uri,
        variables.registry_uri,
        timeout=_ASSESSMENT_TIMEOUT,
        tracking_setting="the URL" if url else "MLFLOW_TRACKING_URI",
    )
    return OpenRegistry(registry=registry, tracker=registry.tracker, links=links(variables.web_url)), places[0]


def _existing_mlflow(uri: str) -> str:
    """Return the address without credentials. Raises Misconfigured for a folder or a database without tables."""
    if uri.startswith("file:") or ("://" not in uri and uri not in {"databricks", "databricks-uc"}):
        raise Misconfigured(
            say(
                "That isn't an MLflow server's address, such as {address}. For a folder, run {serve} first.",
                address=Code("http://localhost:5000"),
                serve=Code("mlflow server --backend-store-uri FOLDER"),
            )
        )
    with closing(MlflowProbe(uri, timeout=_ASSESSMENT_TIMEOUT)) as probe:
        if probe.is_database and not probe.has_tables():
            raise Misconfigured("That database doesn't exist or lacks MLflow's tables. Check the URL.")
        return probe.location
