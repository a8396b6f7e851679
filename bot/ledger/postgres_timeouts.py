"""PostgreSQL connections with client-side timeouts.

The server's own timeouts end a statement and report it over a working connection. If the server vanishes or the network
drops everything, psycopg waits for as long as the operating system keeps the connection: 15 minutes, or forever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from psycopg import AsyncConnection, Connection, Notify, OperationalError
from psycopg.errors import ConnectionTimeout
from sqlalchemy import Engine, event

SECONDS_PER_DAY = 86_400.0
TIMED_OUT = "the server didn't respond in time"
T = TypeVar("T", bound="TimeLimitedConnection | TimeLimitedAsyncConnection")


class TimeLimitedConnection(Connection[Any]):
    """A psycopg connection that is closed if the server doesn't respond within `limit` seconds."""

    limit = 2.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Return the server's answer. Raises OperationalError if that fails, or if there's no answer in time."""
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except OperationalError as error:
            if not _has_no_answer(self, error):
                raise
            self.pgconn.finish()
            raise ConnectionTimeout(TIMED_OUT) from error


class TimeLimitedAsyncConnection(AsyncConnection[Any]):
    """The asyncio version of TimeLimitedConnection. Listening for notifications has no limit."""

    limit = 2.0

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Return the server's answer. Raises OperationalError if that fails, or if there's no answer in time."""
        try:
            return await super().wait(gen, interval, self.limit if timeout is None else timeout)
        except OperationalError as error:
            if timeout is not None or not _has_no_answer(self, error):
                raise
            self.pgconn.finish()
            raise ConnectionTimeout(TIMED_OUT) from error

    async def notifies(self, *, timeout: float | None = None, stop_after: int | None = None) -> AsyncGenerator[Notify]:
        """Yield notifications as they arrive, for `timeout` seconds (by default, a day)."""
        async for notice in super().notifies(
            timeout=SECONDS_PER_DAY if timeout is None else timeout, stop_after=stop_after
        ):
            yield notice


def _has_no_answer(connection: TimeLimitedConnection | TimeLimitedAsyncConnection, error: OperationalError) -> bool:
    """Return whether the error means that the server didn't respond.

    The server's own errors have a code, and a broken connection is closed.
    """
    return error.sqlstate is None and not connection.closed


def with_time_limit(connection_class: type[T], limit: float) -> type[T]:
    """Return a subclass with this limit, in seconds, for a pool that creates its own connections."""
    return type(connection_class.__name__, (connection_class,), {"limit": limit})


def set_time_limits(engine: Engine, limit: float, *, ping_limit: float) -> None:
    """Set how long the engine's connections wait for an answer, in seconds.

    `limit`: for statements. `ping_limit`: for the pool's test of a connection before it's used.
    """

    @event.listens_for(engine, "do_connect")
    def connect(_: object, record: object, arguments: list[Any], more: dict[str, Any]) -> TimeLimitedConnection:
        connection = TimeLimitedConnection.connect(*arguments, **more)
        connection.limit = limit
        return connection

    @event.listens_for(engine, "checkin")
    def rest(connection: TimeLimitedConnection | None, record: object) -> None:
        if connection is not None:  # None if it broke
            connection.limit = ping_limit

    @event.listens_for(engine, "checkout")
    def begin(connection: TimeLimitedConnection, record: object, fairy: object) -> None:
        connection.limit = limit
