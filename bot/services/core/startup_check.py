"""The gate in front of everything that was waiting when the process started."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bot.domain.core.errors import RegistrarError

log = logging.getLogger(__name__)


class StartupCheck:
    """Lets work through once `check` has succeeded; without one it's open.

    Whoever needs it first makes the check. One that fails, since the registry or the ledger is down, leaves the gate
    shut, and the next one who needs it tries again.
    """

    def __init__(self) -> None:
        self._check: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._attempts = 0

    def require(self, check: Callable[[], None]) -> None:
        """Shut the gate until `check` returns. It raises RegistrarError where it can't check yet."""
        self._check = check

    def has_passed(self) -> bool:
        """Tell whether the check has succeeded, now or before; make it where it hasn't."""
        check, tries = self._check, self._attempts
        if check is None:
            return True
        with self._lock:
            if self._attempts == tries:  # else somebody has just tried while we waited
                self._attempt(check)
            return self._check is None

    def _attempt(self, check: Callable[[], None]) -> None:
        try:
            check()
            self._check = None
        except RegistrarError as error:
            log.warning("can't compare the ledger with MLflow yet, so nothing that was waiting is executed: %s", error)
        finally:
            self._attempts += 1
