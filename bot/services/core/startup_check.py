"""A check that has to pass before work that was pending at startup is executed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bot.domain.core.errors import RegistrarError

log = logging.getLogger(__name__)


class StartupCheck:
    """Passes once its check has succeeded, or if there is none.

    The check runs when it's first needed. If it fails because the registry or the ledger is down, the next caller
    tries again.
    """

    def __init__(self) -> None:
        self._check: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._attempts = 0

    def require(self, check: Callable[[], None]) -> None:
        """Require `check` to succeed once. It raises RegistrarError if it can't check yet."""
        self._check = check

    def has_passed(self) -> bool:
        """Return whether the check has succeeded; run it if it hasn't."""
        check, attempts = self._check, self._attempts
        if check is None:
            return True
        with self._lock:
            if self._attempts == attempts:  # otherwise another thread tried while this one waited
                try:
                    check()
                    self._check = None
                except RegistrarError as error:
                    log.warning("can't compare the ledger with MLflow yet, so pending work stays on hold: %s", error)
                finally:
                    self._attempts += 1
            return self._check is None
