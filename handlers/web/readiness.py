"""Whether we can be sent work: each part is looked at on a thread of its own, and none is waited for long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.core.errors import RegistryRefused, UnknownModel
from bot.ports import Ledger, Registry
from bot.services.core.registry_availability import NO_MODEL

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds until a part that has not answered counts as one that does not
FRESH = 1.0  # seconds for which what was seen is told again: probes are no load


class NotWell(Exception):
    """A part is not well. The sentence is read by whoever asks: it names no address, no model and no person."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that we need. `look` returns how it is in a sentence, or raises NotWell; it may hang."""

    name: str
    look: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Seen:
    """How a part was, and when by the monotonic clock."""

    is_well: bool
    says: str
    at: float


class Readiness:
    """Tells how the parts are. `patience` and `fresh` are seconds.

    `warnings` returns sentences about what works and needs attention; they don't change the status.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        patience: float = PATIENCE,
        fresh: float = FRESH,
        monotonic: Callable[[], float] = time.monotonic,
        warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._warnings = warnings
        self._watched = [_Watched(part, fresh, monotonic) for part in parts]
        self._patience = patience
        self._monotonic = monotonic
        self.is_stopping = False

    def stop(self) -> None:
        """Say from now on that nothing new is to be sent here."""
        self.is_stopping = True

    def document(self) -> tuple[int, dict[str, Any]]:
        """Return the status of the answer, and how everything is. It takes as long as the patience at most."""
        until = self._monotonic() + self._patience
        for one in self._watched:
            one.begin()
        seen = {one.part.name: one.end(max(0.0, until - self._monotonic())) for one in self._watched}
        is_ready = not self.is_stopping and all(one.is_well for one in seen.values())
        status = "stopping" if self.is_stopping else "ready" if is_ready else "not ready"
        parts = {name: {"is_well": one.is_well, "says": one.says} for name, one in seen.items()}
        return (200 if is_ready else 503), {"status": status, "parts": parts, "warnings": list(self._warnings())}


class _Watched:
    """A part, and how it was seen last. It is looked at by one thread at a time, however long that takes."""

    def __init__(self, part: Part, fresh: float, monotonic: Callable[[], float]) -> None:
        self.part = part
        self._fresh = fresh
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._looking: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to look, unless somebody does already, or did a moment ago."""
        with self._lock:
            if self._looking or self._is_fresh():
                return
            # No pool's: at the end of the process nobody waits for one that hangs.
            self._looking = threading.Thread(target=self._look, name=f"ready: {self.part.name}", daemon=True)
            self._looking.start()

    def end(self, patience: float) -> Seen:
        """Return what is seen within `patience` seconds."""
        with self._lock:
            # Of one that hangs nobody waits for the end again, who asks a moment later.
            looking = None if self._is_fresh() else self._looking
        if looking:
            looking.join(patience)
        with self._lock:
            if self._looking is None or self._is_fresh():
                return self._seen or Seen(False, "It was not looked at.", self._monotonic())
            return self._keep(Seen(False, "It has not answered in time.", self._monotonic()))

    def _is_fresh(self) -> bool:
        return self._seen is not None and self._monotonic() - self._seen.at < self._fresh

    def _look(self) -> None:
        try:
            is_well, says = True, self.part.look()
        except NotWell as error:
            is_well, says = False, str(error)
        except Exception:
            log.exception("%s cannot be looked at", self.part.name)
            is_well, says = False, "It cannot be looked at; the log says why."
        with self._lock:
            self._looking = None
            self._keep(Seen(is_well, says, self._monotonic()))

    def _keep(self, seen: Seen) -> Seen:
        """Remember it; the log hears of a change."""
        before = self._seen.is_well if self._seen else True
        if before is not seen.is_well:
            log.log(logging.INFO if seen.is_well else logging.WARNING, "%s: %s", self.part.name, seen.says)
        self._seen = seen
        return seen


def of_ledger(ledger: Ledger) -> Part:
    """Return the part that is our database."""

    def look() -> str:
        try:
            with ledger.read() as reading:
                reading.head()
                hold = reading.hold()
        except Exception as error:
            raise NotWell("The ledger's database does not answer, so nothing can be decided.") from error
        if hold:
            return "It answers. Warning: work from before a restore is held; `registrar db status` says more."
        return "It answers."

    return Part("ledger", look)


def of_registry(registry: Registry) -> Part:
    """Return the part that is MLflow."""

    def look() -> str:
        try:
            registry.model(NO_MODEL)
        except UnknownModel:
            return "It answers."
        except RegistryRefused:  # some refuse such a name, others such a caller; `registrar doctor` tells which
            return "It answers, and refuses this question."
        except Exception as error:
            raise NotWell("MLflow does not answer; what is asked for waits until it does.") from error
        return "It answers."

    return Part("registry", look)
