"""Writing to MLflow what the ledger says of a version: off everybody's path, in order, and again if need be."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from bot import logging_context
from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.rollbacks.messages import tags_written
from bot.domain.transitions.registry_tags import with_line
from bot.ports import Copy
from bot.services.core.context import Context
from bot.services.core.outbox_messages import thread_note

log = logging.getLogger(__name__)

PAUSE = timedelta(seconds=2)  # doubled with each attempt
PAUSE_MOST = timedelta(minutes=2)
LEASE = timedelta(seconds=60)  # in which nobody else writes a row that this process has begun with


class Mirror:
    """Copies the ledger to the registry's tags."""

    def __init__(self, context: Context) -> None:
        self._it = context
        self._running = threading.Lock()

    def write(self) -> int:
        """Write everything that is due; return how many rows were. One thread does it, a second one goes on at once.

        A registry that does not answer leaves the rest for later; a version that is gone or a registry that refuses
        ends the row, and the log says so.
        """
        if not self._it.gate.is_open() or not self._running.acquire(blocking=False):
            return 0
        try:
            written = 0
            while (count := self._round()) > 0:
                written += count
            return written
        finally:
            self._running.release()

    def _round(self) -> int:
        with self._it.ledger.read() as reading:
            due = reading.due_copies(self._it.clock.now())
        for at, one in enumerate(due):
            if not self._claim(one):
                continue
            try:
                why = self._copy(one)
            except Unreachable as error:
                self._postpone(due[at:], error)
                return 0
            with self._it.ledger.write() as tx:
                tx.copied(one, why=why)
                if one.lane and not why:
                    tx.add_note(thread_note(one.lane, f"tags:{one.id}", tags_written()))
        return len(due)

    def _claim(self, copy: Copy) -> bool:
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            return tx.claim_copy(copy, now, now + LEASE)

    def _copy(self, copy: Copy) -> str:
        """Write one row; return why it could not be written, else nothing."""
        with logging_context.about(copy=copy.id, model=copy.model):
            try:
                version = self._it.registry.version(copy.model, copy.version)
                self._write(copy, version)
            except Unreachable:
                raise
            except RegistrarError as error:
                log.warning("the tags of %s v%s cannot be written: %s", copy.model, copy.version, error)
                return str(error.sentence)
        return ""

    def _write(self, copy: Copy, version: VersionInfo) -> None:
        tags = {key: value for key, value in copy.tags.items() if version.tags.get(key) != value}
        if tags:
            self._it.registry.set_tags(copy.model, copy.version, tags)
        longer = with_line(version.description, copy.line) if copy.line else None
        if longer is not None:
            self._it.registry.describe(copy.model, copy.version, longer)
        if copy.alias in version.aliases and version.stage is not Stage.STAGING:
            self._it.registry.drop_alias(copy.model, copy.alias)

    def _postpone(self, copies: list[Copy], error: Unreachable) -> None:
        with self._it.ledger.write() as tx:
            for copy in copies:
                pause = min(PAUSE * 2 ** min(copy.attempts, 10), PAUSE_MOST)
                tx.postpone_copy(copy, self._it.clock.now() + pause, str(error.sentence))
