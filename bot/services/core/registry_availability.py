"""Whether the registry answers, as this process has seen: one question for everything that waits for it."""

from __future__ import annotations

import logging
import threading

from bot.domain.core.errors import RegistrarError, Unreachable
from bot.ports import ModelRegistry

log = logging.getLogger(__name__)

PROBE_MODEL_NAME = (
    "registrar.readyz.nothing"  # that there is no such model is an answer like any other, and a short one
)
PROBE_TIMEOUT = 1.0  # seconds until whoever asks goes on without the answer
MAX_PROBES = 3  # questions under way: one that hangs must not hide that the registry answers again


class RegistryAvailability:
    """Remembers that the registry didn't answer, until it answers one question.

    While it's lost, nothing that waits is tried: however many moves wait, the registry gets one request at a time.
    """

    def __init__(self) -> None:
        self._is_unavailable = False
        self._probes: list[threading.Thread] = []

    def mark_unavailable(self) -> None:
        """Remember that a call found the registry unreachable."""
        self._is_unavailable = True

    @property
    def is_unavailable(self) -> bool:
        """Tell whether the registry didn't answer when it was asked last."""
        return self._is_unavailable

    def is_available(self, registry: ModelRegistry, timeout: float = PROBE_TIMEOUT) -> bool:
        """Tell whether what waits can be tried; where the registry was lost, ask it, and wait up to `patience` seconds.

        An answer that comes later counts at the next call.
        """
        if self._is_unavailable:
            self._start_probe(registry, timeout)
        return not self._is_unavailable

    def _start_probe(self, registry: ModelRegistry, timeout: float) -> None:
        self._probes = [one for one in self._probes if one.is_alive()]
        if len(self._probes) >= MAX_PROBES:
            return
        # No pool's: at the end of the process nobody waits for one that hangs.
        asking = threading.Thread(target=self._probe, args=(registry,), name="is MLflow back?", daemon=True)
        self._probes.append(asking)
        asking.start()
        asking.join(timeout)

    def _probe(self, registry: ModelRegistry) -> None:
        try:
            registry.model(PROBE_MODEL_NAME)
        except Unreachable:
            return
        except RegistrarError:  # that it isn't there, or that we can't ask for it, is an answer
            pass
        except Exception:
            log.exception("MLflow can't be asked whether it answers; what waits for it is tried")
        self._is_unavailable = False
