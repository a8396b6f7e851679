"""Detect when a file of an open SQLite ledger is gone. SQLite doesn't; it keeps committing to the deleted file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from sqlalchemy import Connection, Engine, event

from bot.domain.core.errors import LedgerFileGone, LedgerUnavailable

log = logging.getLogger(__name__)

GONE = "A ledger file was deleted or replaced, so nothing can be recorded. Tell whoever runs Registrar."
UNREADABLE_FOLDER = "Registrar can't read its ledger's folder. Tell whoever runs Registrar."
LOG_INTERVAL = 60.0  # seconds
SUFFIXES = ("", "-wal", "-shm")  # of the database, SQLite's log, and the log's index

FileIdentity = tuple[int, int]  # device and inode


class FileWatch:
    """Compares the files at the ledger's paths with those that SQLite opened.

    Once one is gone, the ledger stays unusable. While the writer's connection is open, no process can delete SQLite's
    log or the log's index through SQLite. `monotonic`: a clock in seconds, which limits how often a missing file is
    logged.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._identities: dict[Path, FileIdentity] = {}  # by path; empty until the first write, and on PostgreSQL
        self._missing_path: Path | None = None
        self._next_log = -inf

    def attach(self, writer: Engine) -> None:
        """Forget the log and its index whenever the writer's connection closes."""
        event.listen(writer, "close", self._forget_log)

    def require_files(self) -> None:
        """Raise LedgerFileGone if a file is, or ever was, missing or replaced; log that at most once a minute.

        Raises LedgerUnavailable if that can't be checked.
        """
        self._missing_path = self._missing_path or next(
            (path for path, identity in list(self._identities.items()) if _identify(path) != identity), None
        )
        if self._missing_path is None:
            return
        if self._monotonic() >= self._next_log:
            self._next_log = self._monotonic() + LOG_INTERVAL
            log.error(
                "ledger file %s was deleted or replaced, so nothing can be recorded; "
                "before you restart Registrar, see docs/operations/outages.md (A ledger file is gone)",
                self._missing_path,
            )
        raise LedgerFileGone(GONE)

    def remember(self, connection: Connection) -> None:
        """Remember which files SQLite has open; call this after `BEGIN IMMEDIATE`, which creates the log.

        The paths are SQLite's own, with symbolic links resolved.
        """
        if len(self._identities) < len(SUFFIXES):
            database = connection.exec_driver_sql("PRAGMA database_list").one()[2]
            for path in [Path(database + suffix) for suffix in SUFFIXES]:
                if identity := _identify(path):
                    self._identities.setdefault(path, identity)

    def _forget_log(self, *_: object) -> None:
        """Forget the log and its index, because SQLite can delete them when the writer's connection closes."""
        for path in [path for path in self._identities if path.name.endswith(SUFFIXES[1:])]:
            del self._identities[path]


def _identify(path: Path) -> FileIdentity | None:
    """Return the identity of the file at a path, or None if there isn't one.

    Raises LedgerUnavailable if the folder can't be read.
    """
    try:
        status = path.stat()  # never opened: closing it would release SQLite's locks
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LedgerUnavailable(UNREADABLE_FOLDER) from error
    return status.st_dev, status.st_ino
