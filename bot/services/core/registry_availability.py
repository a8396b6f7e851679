"""Whether the registry answers, as this process has seen: one question for everything that waits for it."""

from __future__ import annotations

import logging
import threading

from bot.domain.core.errors import RegistrarError, Unreachable
from bot.ports import Registry

log = logging.getLogger(__name__)

NO_MODEL = "registrar.readyz.nothing"  # that there is no such model is an answer like any other, and a short one
PATIENCE = 1.0  # seconds until whoever asks goes on without the answer
AT_ONCE = 3  # questions under way: one that hangs must not hide that the registry answers again


class Reach:
    """Remembers that the registry didn't answer, until it answers one question.

    While it's lost, nothing that waits is tried: however many moves wait, the registry gets one request at a time.
    """

    def __init__(self) -> None:
        self._is_lost = False
        self._asking: list[threading.Thread] = []

    def lost(self) -> None:
        """Remember that a call found the registry unreachable."""
        self._is_lost = True

    @property
    def is_lost(self) -> bool:
        """Tell whether the registry didn't answer when it was asked last."""
        return self._is_lost

    def is_back(self, registry: Registry, patience: float = PATIENCE) -> bool:
        """Tell whether what waits can be tried; where the registry was lost, ask it, and wait up to `patience` seconds.

        An answer that comes later counts at the next call.
        """
        if self._is_lost:
            self._ask(registry, patience)
        return not self._is_lost

    def _ask(self, registry: Registry, patience: float) -> None:
        self._asking = [one for one in self._asking if one.is_alive()]
        if len(self._asking) >= AT_ONCE:
            return
        # No pool's: at the end of the process nobody waits for one that hangs.
        asking = threading.Thread(target=self._hear, args=(registry,), name="is MLflow back?", daemon=True)
        self._asking.append(asking)
        asking.start()
        asking.join(patience)

    def _hear(self, registry: Registry) -> None:
        try:
            registry.model(NO_MODEL)
        except Unreachable:
            return
        except RegistrarError:  # that it isn't there, or that we can't ask for it, is an answer
            pass
        except Exception:
            log.exception("MLflow can't be asked whether it answers; what waits for it is tried")
        self._is_lost = False
