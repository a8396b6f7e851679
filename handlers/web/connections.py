"""Limits for HTTP connections: how long each one can wait for its client, and how many a caller can have.

uvicorn itself closes only connections that are idle between requests. Everything here runs on the server's event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

Network = IPv4Network | IPv6Network
IPV6_CUSTOMER = 64  # bits of an IPv6 address that identify a customer, who can use any address in that network
MAX_READ = 16_384  # bytes that are read and parsed at a time: everything else waits meanwhile
MAX_CHUNKS = 2_000  # of one body. Parsing one takes about 15 µs, even if it has one byte.


class Phase(Enum):
    """What a connection is waiting for."""

    HEAD = "the head of a request"
    BODY = "the rest of a request's body"
    RECEIPT = "the client, to receive a response"
    IDLE = "the next request"  # uvicorn itself closes the connection


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """How many connections the server can have, and how many seconds each one can wait for its client.

    `connections` is the limit for all callers together. `per_caller` is the limit for each client or, until it has
    authenticated, for each peer: an IPv4 address or an IPv6 /64. `body_bytes` is the limit for all incomplete bodies
    together. Dropped connections are logged at most once every `report_interval` seconds.
    """

    connections: int = 512
    per_caller: int = 128
    body_bytes: int = 32_000_000
    head: float = 10.0
    body: float = 30.0
    receipt: float = 30.0
    idle: float = 5.0
    report_interval: float = 10.0


class Connections:
    """The open connections, and which caller each one counts against.

    Those from `trusted_proxies` count only against the total.
    """

    def __init__(self, limits: ConnectionLimits, trusted_proxies: Sequence[Network] = ()) -> None:
        self.limits = limits
        self._trusted_proxies = trusted_proxies
        self._open: set[LimitedConnection] = set()
        self._counts: Counter[str] = Counter()  # open connections by caller
        self._waiting: dict[LimitedConnection, None] = {}  # those that wait for their client, longest wait first
        self._body_bytes = 0
        self._dropped: Counter[str] = Counter()  # since the last report

    def caller_at(self, address: IPv4Address | IPv6Address) -> str:
        """Return the caller that an unauthenticated connection from this address counts against.

        It's empty for a trusted proxy.
        """
        if any(address in network for network in self._trusted_proxies):
            return ""
        return str(IPv6Network((address, IPV6_CUSTOMER), strict=False)) if address.version == 6 else str(address)

    def add(self, connection: LimitedConnection) -> None:
        """Add a connection. Over a limit, drop the one that has waited longest for its client, or else this one.

        Over the caller's limit, only the caller's connections are dropped; over the total, unauthenticated ones are
        dropped first.
        """
        self._open.add(connection)
        self._counts[connection.caller] += 1
        if connection.caller and self._counts[connection.caller] > self.limits.per_caller:
            self._drop_first((each for each in self._waiting if each.caller == connection.caller), connection)
        elif len(self._open) > self.limits.connections:
            strangers = (each for each in self._waiting if not each.is_authenticated)
            self._drop_first(strangers, next(iter(self._waiting), connection))

    def remove(self, connection: LimitedConnection) -> None:
        """Remove a closed connection; does nothing if it was already removed."""
        if connection in self._open:
            self.set_phase(connection, None)
            self._open.remove(connection)
            self._count_down(connection.caller)

    def set_phase(self, connection: LimitedConnection, phase: Phase | None) -> None:
        """Record what a connection is waiting for now; None if it isn't waiting for its client."""
        self._waiting.pop(connection, None)
        self._body_bytes -= connection.body_bytes
        connection.body_bytes = 0
        if phase and connection in self._open:
            self._waiting[connection] = None

    def add_body_bytes(self, connection: LimitedConnection, size: int) -> None:
        """Count an incomplete body's bytes. Over the limit, drop the connection that has waited longest for one."""
        connection.body_bytes += size
        self._body_bytes += size
        if self._body_bytes > self.limits.body_bytes:
            self._drop_first((each for each in self._waiting if each.body_bytes), connection)

    def authenticate(self, connection: LimitedConnection, client: str) -> None:
        """Count a connection against this client.

        If the client is at its limit, the connection closes after its response instead.
        """
        if connection not in self._open or connection.caller in ("", client):
            return
        if self._counts[client] >= self.limits.per_caller:
            connection.cycle.default_headers = [*connection.cycle.default_headers, CLOSE_HEADER]
            return
        self._count_down(connection.caller)
        self._counts[client] += 1
        connection.caller, connection.is_authenticated = client, True

    def drop(self, connection: LimitedConnection, reason: str) -> None:
        """Close a connection immediately. `reason` is for the log."""
        self.remove(connection)
        if not self._dropped:
            connection.loop.call_later(self.limits.report_interval, self._report)
        self._dropped[reason] += 1
        connection.transport.abort()

    def _drop_first(self, candidates: Iterable[LimitedConnection], otherwise: LimitedConnection) -> None:
        self.drop(next(iter(candidates), otherwise), "over a limit")

    def _count_down(self, caller: str) -> None:
        self._counts[caller] -= 1
        if not self._counts[caller]:
            del self._counts[caller]

    def _report(self) -> None:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._dropped.items())
        log.warning("dropped connections in the last %g seconds: %s", self.limits.report_interval, reasons)
        self._dropped.clear()


class ChunkCounter(h11.Connection):
    """h11's parser, which also counts the chunks of each body and stops after the first one over the limit."""

    chunks = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event; NEED_DATA if the body has too many chunks."""
        if self.chunks > MAX_CHUNKS:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = 0
        elif isinstance(event, h11.Data):
            self.chunks += event.chunk_start
        return event


class LimitedConnection(H11Protocol):
    """A uvicorn connection with a deadline for each phase in which it waits for its client."""

    caller, is_authenticated, body_bytes = "", False, 0
    conn: ChunkCounter

    def __init__(self, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = ChunkCounter(h11.SERVER)
        self._connections = connections
        self._phase: Phase | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # like uvicorn's
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own transports; the default is 256 KB
            transport.max_size = MAX_READ
        if self.client:  # otherwise, the peer has already closed the connection
            address = ip_address(self.client[0])
            address = (address.version == 6 and address.ipv4_mapped) or address
            self.client = (str(address), self.client[1])
            self.caller = self._connections.caller_at(address)
        self.app_state = {**self.app_state, "connection": self}  # uvicorn copies it to every request's scope
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connections.remove(self)
        if self._deadline:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.chunks > MAX_CHUNKS:
            self._connections.drop(self, "in too many chunks")
        self._watch()
        if self._phase is Phase.BODY:
            self._connections.add_body_bytes(self, len(data))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch()

    def count_for(self, client: str) -> None:
        """Count this connection against a client that has authenticated, instead of against its peer."""
        self._connections.authenticate(self, client)

    def _watch(self) -> None:
        """Set the deadline if the phase has changed. More data within a phase doesn't extend it."""
        phase = self._current_phase()
        if phase is self._phase:
            return
        self._phase = phase
        self._connections.set_phase(self, phase)
        if self._deadline:
            self._deadline.cancel()
        limits = self._connections.limits
        seconds = {Phase.HEAD: limits.head, Phase.BODY: limits.body, Phase.RECEIPT: limits.receipt}
        self._deadline = (
            self.loop.call_later(seconds[phase], self._connections.drop, self, "too slow") if phase in seconds else None
        )

    def _current_phase(self) -> Phase | None:
        if self.transport.is_closing() or self.flow.write_paused:
            return Phase.RECEIPT
        if self.conn.their_state is h11.SEND_BODY:  # the rest of a body that has been answered isn't kept
            return Phase.RECEIPT if self.conn.our_state is h11.DONE else Phase.BODY
        if self.conn.their_state is h11.IDLE:
            return Phase.IDLE if self.timeout_keep_alive_task else Phase.HEAD
        return None


def authenticated(scope: MutableMapping[str, Any], client: str) -> None:
    """Count a request's connection against the client that has authenticated, instead of against its peer."""
    connection: LimitedConnection | None = scope.get("state", {}).get("connection")
    if connection:
        connection.count_for(client)
