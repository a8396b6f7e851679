"""The state file: one SQLite table of JSON documents, committed after every change."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Document = tuple[str, str, dict[str, Any]]


class StateFile:
    """Documents by kind and key. Without a path, nothing is stored, and every read is empty."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._db = None if path is None else _open_database(Path(path))

    def put(self, *documents: Document) -> None:
        """Write documents (kind, key, body) in one transaction."""
        if self._db is None:
            return
        rows = [(kind, key, json.dumps(body)) for kind, key, body in documents]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", rows)

    def delete(self, kind: str, key: str) -> None:
        """Delete a document."""
        if self._db is not None:
            with self._db:
                self._db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def read_all(self, kind: str) -> Iterable[dict[str, Any]]:
        """Return every document of a kind, ordered by key."""
        if self._db is None:
            return []
        query = "SELECT body FROM documents WHERE kind = ? ORDER BY key"
        return [json.loads(row[0]) for row in self._db.execute(query, (kind,))]

    def clear(self, *kinds: str) -> None:
        """Delete every document of these kinds."""
        if self._db is not None:
            with self._db:
                self._db.executemany("DELETE FROM documents WHERE kind = ?", [(kind,) for kind in kinds])

    def close(self) -> None:
        """Close the file. No data is lost if this isn't called."""
        if self._db is not None:
            self._db.close()


def _open_database(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The starting thread opens it; afterward, only the event loop's thread uses it.
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS documents (kind TEXT, key TEXT, body TEXT, PRIMARY KEY (kind, key))")
        # The file holds tokens.
        path.chmod(0o600)
    except BaseException:
        db.close()
        raise
    return db
