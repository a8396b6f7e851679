"""Other sessions on the ledger's PostgreSQL database, which must end before an upgrade changes its tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from bot.domain.core.errors import Misconfigured
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, say

MIGRATION_LOCK: Final = 7_236_174_001  # an arbitrary number for PostgreSQL's advisory lock, the same in every process
MAX_NAMED = 3

# Sessions of the same role, and Registrar's of any role, except an upgrade that waits for this one. Of another role's
# session, only the name is visible; version 0.2.0 has none.
_OTHERS = text("""
SELECT pid, coalesce(nullif(application_name, ''), 'unnamed')
  || CASE usename WHEN session_user THEN ' at ' || coalesce(host(client_addr), 'a local socket')
     ELSE ' as ' || usename END
FROM pg_stat_activity AS other
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (usename = session_user AND backend_type = 'client backend' OR application_name LIKE 'registrar %')
  AND NOT EXISTS (
    SELECT FROM pg_locks AS waiting
    WHERE waiting.pid = other.pid AND locktype = 'advisory' AND NOT granted
      AND classid::bigint << 32 | objid::bigint = :migration_lock)
ORDER BY 2
""")


def lock_out(connection: Connection, *, force: bool) -> None:
    """Require that no one else is connected, and keep others from reading the tables' revision until the commit.

    A process reads the revision before it uses the tables. `force`: disconnect the others. Raises Misconfigured if
    others are connected or can't be disconnected.
    """
    _require_no_others(connection, force=force)  # before the lock, which would wait for a backup
    connection.execute(text("SET LOCAL lock_timeout = '60s'"))  # another role's backup isn't visible
    connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))  # otherwise, the next query gets the previous result
    _require_no_others(connection, force=force)  # those that connected before the lock


def _require_no_others(connection: Connection, *, force: bool) -> None:
    """Raise Misconfigured if others are connected; with `force`, disconnect them instead."""
    # The session may have switched to the tables' owner, who can neither see nor end the sessions of its login.
    with connection.begin_nested() as as_login:
        connection.execute(text("SET LOCAL ROLE NONE"))
        others = connection.execute(_OTHERS, {"migration_lock": MIGRATION_LOCK}).all()
        for pid, name in others if force else ():
            _disconnect(connection, pid, name)
        as_login.rollback()
    if others and not force:
        names = sorted({name for _, name in others})
        raise Misconfigured(
            say(
                "Can't upgrade while the ledger has {connections}: {places}{more}. "
                "Stop every Registrar process, and if connections remain, use {force}.",
                connections=pluralize(len(others), "other connection"),
                places=[Code(name) for name in names[:MAX_NAMED]],
                more=" and others" if len(names) > MAX_NAMED else "",
                force=Code("--force"),
            )
        )


def _disconnect(connection: Connection, pid: int, name: str) -> None:
    try:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    except ProgrammingError as error:
        raise Misconfigured(
            say("This role can't disconnect {name}. Stop that process, or upgrade with its role.", name=Code(name))
        ) from error
