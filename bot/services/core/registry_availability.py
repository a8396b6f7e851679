"""Whether the registry is available: one probe for all pending work."""

from __future__ import annotations

import logging
import threading

from bot.domain.core.errors import FilesUnreachable, RegistrarError, RegistryUnreachable, Unreachable
from bot.ports import ModelRegistry

log = logging.getLogger(__name__)

PROBE_MODEL_NAME = "registrar.readyz.nothing"  # "no such model" is an answer, too, and a short one
PROBE_TIMEOUT = 1.0  # seconds that callers wait for an answer
MAX_PROBES = 3  # running at once: a probe that hangs must not hide that the registry is back


class RegistryAvailability:
    """Remembers that the registry isn't responding, until a probe gets an answer.

    Until then, pending work isn't tried. The registry gets only probes, up to MAX_PROBES at a time, no matter how much
    work is pending.
    """

    def __init__(self) -> None:
        self.is_unavailable = False
        self._probes: list[threading.Thread] = []

    def note_failure(self, error: Exception | None) -> bool:
        """Return whether a call failed because the registry isn't responding (not only its files), and remember it."""
        is_lost = isinstance(error, RegistryUnreachable) and not isinstance(error, FilesUnreachable)
        if is_lost:
            self.is_unavailable = True
        return is_lost

    def is_available(self, registry: ModelRegistry, timeout: float = PROBE_TIMEOUT) -> bool:
        """Return whether pending work can be tried; if the registry was down, probe it for up to `timeout` seconds.

        A later answer counts at the next call.
        """
        self._probes = [thread for thread in self._probes if thread.is_alive()]
        if self.is_unavailable and len(self._probes) < MAX_PROBES:
            # Not from a pool: at shutdown, nothing should wait for a probe that hangs.
            probe = threading.Thread(target=self._probe, args=(registry,), name="is MLflow back?", daemon=True)
            self._probes.append(probe)
            probe.start()
            probe.join(timeout)
        return not self.is_unavailable

    def _probe(self, registry: ModelRegistry) -> None:
        try:
            registry.model(PROBE_MODEL_NAME)
        except Unreachable:
            return
        except RegistrarError:  # an error response is an answer, too
            pass
        except Exception:
            log.exception("can't probe MLflow; retrying pending work anyway")
        self.is_unavailable = False
