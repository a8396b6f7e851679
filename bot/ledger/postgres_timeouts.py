"""A connection to PostgreSQL that waits for an answer only so long.

The server's own time limits end a statement, and say so over a wire that works. Where the server has vanished, or what
lies between takes everything and answers nothing, nobody says anything: psycopg would wait as long as the system keeps
the connection, which is a quarter of an hour, or for ever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from psycopg import AsyncConnection, Connection, Notify, OperationalError
from psycopg.errors import ConnectionTimeout
from sqlalchemy import Engine, event

SECONDS_PER_DAY = 86_400.0  # seconds
TIMED_OUT = "the server did not answer in time"
T = TypeVar("T", bound="TimeLimitedConnection | TimeLimitedAsyncConnection")


class TimeLimitedConnection(Connection[Any]):
    """psycopg's connection; where the server does not answer within `limit` seconds it is closed."""

    limit = 2.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Return what the server answers. Raises OperationalError, also where nothing comes in time."""
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except OperationalError as error:
            if not _has_no_answer(self, error):
                raise
            self.pgconn.finish()
            raise ConnectionTimeout(TIMED_OUT) from error


class TimeLimitedAsyncConnection(AsyncConnection[Any]):
    """The same for asyncio. Whoever listens for notices may wait for them as long as they like."""

    limit = 2.0

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Return what the server answers. Raises OperationalError, also where nothing comes in time."""
        try:
            return await super().wait(gen, interval, self.limit if timeout is None else timeout)
        except OperationalError as error:
            if timeout is not None or not _has_no_answer(self, error):
                raise
            self.pgconn.finish()
            raise ConnectionTimeout(TIMED_OUT) from error

    async def notifies(self, *, timeout: float | None = None, stop_after: int | None = None) -> AsyncGenerator[Notify]:
        """Yield notices as they come: nobody owes us one."""
        async for notice in super().notifies(
            timeout=SECONDS_PER_DAY if timeout is None else timeout, stop_after=stop_after
        ):
            yield notice


def _has_no_answer(connection: TimeLimitedConnection | TimeLimitedAsyncConnection, error: OperationalError) -> bool:
    """Tell whether nothing came: what the server says has a code, and what broke the connection has closed it."""
    return error.sqlstate is None and not connection.closed


def with_time_limit(connection_class: type[T], limit: float) -> type[T]:
    """Return the same kind of connection with another limit, for a pool that makes them itself (seconds)."""
    return type(connection_class.__name__, (connection_class,), {"limit": limit})


def set_time_limits(engine: Engine, limit: float, *, ping_limit: float) -> None:
    """Let no answer on the engine's connections be waited for longer than `limit` seconds.

    Of a connection from the pool, it is asked first whether it still leads anywhere, and that `ping` seconds long.
    """

    @event.listens_for(engine, "do_connect")
    def connect(_: object, record: object, arguments: list[Any], more: dict[str, Any]) -> TimeLimitedConnection:
        connection = TimeLimitedConnection.connect(*arguments, **more)
        connection.limit = limit
        return connection

    @event.listens_for(engine, "checkin")
    def rest(connection: TimeLimitedConnection | None, record: object) -> None:
        if connection is not None:  # None: it broke
            connection.limit = ping_limit

    @event.listens_for(engine, "checkout")
    def begin(connection: TimeLimitedConnection, record: object, fairy: object) -> None:
        connection.limit = limit
