"""Reports whether this process is ready for work. Each component is checked on its own thread, with a short timeout."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bot.domain.core.errors import LedgerFileGone, LedgerUpgraded, RegistryRefused, UnknownModel
from bot.domain.registry.model import product
from bot.ports import Ledger, ModelRegistry
from bot.services.core.registry_availability import PROBE_MODEL_NAME

log = logging.getLogger(__name__)

CHECK_TIMEOUT = 1.0  # seconds without an answer after which a component counts as unhealthy
MAX_AGE = 1.0  # seconds for which a result is cached, so that probes cause no load


class NotHealthy(Exception):
    """A component isn't healthy. Its sentence is public, so it must not name an address, a model, or a person."""


class Component(NamedTuple):
    """A dependency of this process. `check` returns its state as a sentence, or raises NotHealthy; it can hang."""

    name: str
    check: Callable[[], str]


class ComponentStatus(NamedTuple):
    """The result of a component's last check. `checked_at` is in seconds of the monotonic clock."""

    is_healthy: bool
    sentence: str
    checked_at: float


class Readiness:
    """Reports the state of the components. `timeout` and `max_age` are in seconds.

    `warnings` returns sentences about things that work but need attention; they don't change the status.
    """

    def __init__(
        self,
        components: Sequence[Component],
        *,
        timeout: float = CHECK_TIMEOUT,
        max_age: float = MAX_AGE,
        monotonic: Callable[[], float] = time.monotonic,
        warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._warnings = warnings
        self._checks = [_ComponentCheck(part, max_age, monotonic) for part in components]
        self._timeout = timeout
        self._monotonic = monotonic
        self.is_stopping = False

    def document(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the state of every component, within the time limit for the checks."""
        until = self._monotonic() + self._timeout
        for check in self._checks:
            check.start()
        reports = {check.component.name: check.wait(max(0.0, until - self._monotonic())) for check in self._checks}
        is_ready = not self.is_stopping and all(check.is_healthy for check in reports.values())
        status = "stopping" if self.is_stopping else "ready" if is_ready else "not ready"
        parts = {name: {"is_well": check.is_healthy, "says": check.sentence} for name, check in reports.items()}
        return (200 if is_ready else 503), {"status": status, "parts": parts, "warnings": list(self._warnings())}


class _ComponentCheck:
    """A component and its latest status. Only one thread at a time checks it, however long that takes."""

    def __init__(self, component: Component, max_age: float, monotonic: Callable[[], float]) -> None:
        self.component = component
        self._max_age = max_age
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._status: ComponentStatus | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start a check, unless one is running or has just finished."""
        with self._lock:
            if self._thread or self._is_fresh():
                return
            # Not a pool's thread: at exit, the process mustn't wait for a check that hangs.
            self._thread = threading.Thread(target=self._run, name=f"ready: {self.component.name}", daemon=True)
            self._thread.start()

    def wait(self, timeout: float) -> ComponentStatus:
        """Return the component's status within `timeout` seconds."""
        with self._lock:
            # If a check hangs, later calls don't wait for it again.
            thread = None if self._is_fresh() else self._thread
        if thread:
            thread.join(timeout)
        with self._lock:
            if self._thread is None or self._is_fresh():
                return self._status or ComponentStatus(False, "Not checked yet.", self._monotonic())
            return self._record(ComponentStatus(False, "No response in time.", self._monotonic()))

    def _is_fresh(self) -> bool:
        return self._status is not None and self._monotonic() - self._status.checked_at < self._max_age

    def _run(self) -> None:
        try:
            is_well, says = True, self.component.check()
        except NotHealthy as error:
            is_well, says = False, str(error)
        except Exception:
            log.exception("the check for %s raised an error", self.component.name)
            is_well, says = False, "The check raised an error. See the log."
        with self._lock:
            self._thread = None
            self._record(ComponentStatus(is_well, says, self._monotonic()))

    def _record(self, status: ComponentStatus) -> ComponentStatus:
        """Store and return the status. If the component's health has changed, log it."""
        before = self._status.is_healthy if self._status else True
        if before is not status.is_healthy:
            log.log(
                logging.INFO if status.is_healthy else logging.WARNING, "%s: %s", self.component.name, status.sentence
            )
        self._status = status
        return status


def ledger_component(ledger: Ledger) -> Component:
    """Return the component for the ledger's database."""

    def look() -> str:
        try:
            with ledger.read() as reading:
                reading.audit_head()
                hold = reading.active_hold()
        except LedgerFileGone as error:
            raise NotHealthy(
                "A ledger file was deleted or replaced, so nothing can be recorded. "
                "Before you restart, see docs/operations/outages.md."
            ) from error
        except LedgerUpgraded as error:
            raise NotHealthy(
                "Another version upgraded the ledger, so nothing can be recorded. This process is stopping."
            ) from error
        except Exception as error:
            raise NotHealthy("The ledger's database isn't responding, so nothing can be recorded.") from error
        if hold:
            return "Responding. Warning: work from before a restore is on hold. See `registrar db status`."
        return "Responding."

    return Component("ledger", look)


def registry_component(registry: ModelRegistry) -> Component:
    """Return the component for MLflow."""

    def look() -> str:
        try:
            registry.model(PROBE_MODEL_NAME)
        except UnknownModel:
            return "Responding."
        except RegistryRefused:  # some refuse such a name, others this caller; `registrar doctor` reports which
            return "Responding, but it rejected the health check's query."
        except Exception as error:
            raise NotHealthy(f"{product().name} isn't responding. Requests wait until it does.") from error
        return "Responding."

    return Component("registry", look)
