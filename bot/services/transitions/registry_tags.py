"""Write tag updates from the ledger to MLflow: in the background, in order, with retries."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from bot import logging_context
from bot.domain.core.backoff import Backoff
from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.registry.model import Stage
from bot.domain.transitions.registry_tags import append_line
from bot.ports import TagUpdate
from bot.services.core.context import Context

log = logging.getLogger(__name__)

BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=2))
LEASE = timedelta(seconds=60)  # while a process writes an update, no other process claims it


class TagWriter:
    """Writes tags, descriptions, and alias removals to the registry."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._write_lock = threading.Lock()

    def write_due(self) -> int:
        """Write all due updates and return their number. If another thread is writing, return immediately.

        If the registry doesn't answer, the rest is postponed. If it refuses an update or the version is gone, the
        update is dropped and logged.
        """
        if not self._context.startup_check.has_passed() or not self._write_lock.acquire(blocking=False):
            return 0
        try:
            written = 0
            while (count := self._write_batch()) > 0:
                written += count
            return written
        finally:
            self._write_lock.release()

    def _write_batch(self) -> int:
        with self._context.ledger.read() as reader:
            due = reader.due_tag_updates(self._context.clock.now())
        for index, update in enumerate(due):
            with self._context.ledger.write() as tx:
                if not tx.claim(TagUpdate, update.id, self._context.claim(LEASE)):
                    continue
            try:
                why = self._write(update)
            except Unreachable as error:
                self._postpone(due[index:], error)
                return 0
            with self._context.ledger.write() as tx:
                tx.finish_tag_update(update, why=why)
        return len(due)

    def _write(self, update: TagUpdate) -> str:
        """Write one update; return why it was refused, or an empty string. Raises Unreachable."""
        registry, model, number = self._context.registry, update.model, update.version
        with logging_context.bound(copy=update.id, model=model):
            try:
                version = registry.version(model, number)
                if tags := {key: value for key, value in update.tags.items() if version.tags.get(key) != value}:
                    registry.set_tags(model, number, tags)
                description = append_line(version.description, update.line) if update.line else None
                if description is not None:
                    registry.set_description(model, number, description)
                if update.alias in version.aliases and version.stage is not Stage.STAGING:
                    registry.delete_alias(model, update.alias)
            except Unreachable:
                raise
            except RegistrarError as error:
                log.warning("can't write the tags of %s v%s: %s", model, number, error)
                return str(error.sentence)
        return ""

    def _postpone(self, tag_updates: list[TagUpdate], error: Unreachable) -> None:
        with self._context.ledger.write() as tx:
            for tag_update in tag_updates:
                retry_at = self._context.clock.now() + BACKOFF.delay(tag_update.attempts + 1)
                tx.postpone_tag_update(tag_update, retry_at, str(error.sentence))
