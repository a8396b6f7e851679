"""Write tag updates from the ledger to MLflow: in the background, in order, with retries."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from bot import logging_context
from bot.domain.core.backoff import Backoff
from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.rollbacks.messages import tags_written_announcement
from bot.domain.transitions.registry_tags import append_line
from bot.ports import TagUpdate
from bot.services.core.context import Context
from bot.services.core.outbox_messages import thread_message

log = logging.getLogger(__name__)

BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=2))
LEASE = timedelta(seconds=60)  # while a process writes an update, no other one claims it


class TagWriter:
    """Writes tags, descriptions, and alias removals to the registry."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._write_lock = threading.Lock()

    def write_due(self) -> int:
        """Write all due updates; return how many there were. If another thread is writing, return at once.

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
            if not self._claim(update):
                continue
            try:
                why = self._try_write(update)
            except Unreachable as error:
                self._postpone(due[index:], error)
                return 0
            with self._context.ledger.write() as tx:
                tx.finish_tag_update(update, why=why)
                if update.lane and not why:
                    tx.add_message(thread_message(update.lane, f"tags:{update.id}", tags_written_announcement()))
        return len(due)

    def _claim(self, tag_update: TagUpdate) -> bool:
        with self._context.ledger.write() as tx:
            return tx.claim(TagUpdate, tag_update.id, self._context.claim(LEASE))

    def _try_write(self, tag_update: TagUpdate) -> str:
        """Write one update; return why it was refused, or an empty string. Raises Unreachable."""
        with logging_context.bound(copy=tag_update.id, model=tag_update.model):
            try:
                version = self._context.registry.version(tag_update.model, tag_update.version)
                self._write(tag_update, version)
            except Unreachable:
                raise
            except RegistrarError as error:
                log.warning("the tags of %s v%s cannot be written: %s", tag_update.model, tag_update.version, error)
                return str(error.sentence)
        return ""

    def _write(self, tag_update: TagUpdate, version: VersionInfo) -> None:
        tags = {key: value for key, value in tag_update.tags.items() if version.tags.get(key) != value}
        if tags:
            self._context.registry.set_tags(tag_update.model, tag_update.version, tags)
        description = append_line(version.description, tag_update.line) if tag_update.line else None
        if description is not None:
            self._context.registry.set_description(tag_update.model, tag_update.version, description)
        if tag_update.alias in version.aliases and version.stage is not Stage.STAGING:
            self._context.registry.delete_alias(tag_update.model, tag_update.alias)

    def _postpone(self, tag_updates: list[TagUpdate], error: Unreachable) -> None:
        with self._context.ledger.write() as tx:
            for tag_update in tag_updates:
                delay = BACKOFF.delay(tag_update.attempts + 1)
                tx.postpone_tag_update(tag_update, self._context.clock.now() + delay, str(error.sentence))
