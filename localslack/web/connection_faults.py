"""Breaks the server's TCP connections the way networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

Address = tuple[str, int]


class ConnectionFaults:
    """The open connections, by client address."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def reset(self, scope: Scope) -> bool:
        """Break a request's connection with a TCP reset, and return True; return False if it's already gone."""
        transport = self._transport_of(scope)
        if transport is None:
            return False
        with contextlib.suppress(OSError, AttributeError):
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        return True

    def stop_reading(self, scope: Scope) -> bool:
        """Stop reading from a connection but leave it open, as when a network drops packets.

        Return True, or False if the connection is already gone.
        """
        transport = self._transport_of(scope)
        if transport is None:
            return False
        transport.pause_reading()
        return True

    def protocols(self) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
        """Return uvicorn's HTTP and WebSocket protocols, changed to track their connections here."""
        return _tracking_protocol(H11Protocol, self), _tracking_protocol(WebSocketsSansIOProtocol, self)

    def track(self, transport: asyncio.Transport) -> None:
        """Add an open connection."""
        self._transports[transport.get_extra_info("peername")[:2]] = transport

    def untrack(self, address: Address | None) -> None:
        """Remove a closed connection."""
        if address is not None:
            self._transports.pop(address, None)

    def _transport_of(self, scope: Scope) -> asyncio.Transport | None:
        return self._transports.get(tuple(scope["client"] or ("", 0)))


def _tracking_protocol(base: type[Any], connections: ConnectionFaults) -> type[asyncio.Protocol]:
    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        connections.track(transport)
        base.connection_made(self, transport)

    def connection_lost(self: Any, error: Exception | None) -> None:
        connections.untrack(getattr(self, "client", None))
        base.connection_lost(self, error)

    methods = {"connection_made": connection_made, "connection_lost": connection_lost}
    return cast("type[asyncio.Protocol]", type(f"Tracked{base.__name__}", (base,), methods))
