"""A TCP proxy between two programs that can fail at any byte, in the ways that networks fail."""

from __future__ import annotations

import re
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

_RESET = struct.pack("ii", 1, 0)  # linger for no second: closing sends a reset, as a cable that is pulled ends in one
_HTTP = re.compile(rb"[A-Z]+ /\S* HTTP/1\.[01]\r\n")  # how a request begins
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TROUBLED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SocketFault(StrEnum):
    """A fault that can happen to data sent to the far side."""

    LATENCY = "latency"  # it arrives late, and so do all that follow
    RESET_BEFORE = "reset before"  # the connection is reset, and the far side never saw it
    RESET_AFTER = "reset after"  # the far side has it, and the connection is reset in place of the answer
    HALF_OPEN = "half open"  # the far side vanishes: current connections get no data and no end
    BLACKHOLE = "blackhole"  # the same for new connections: they're accepted, and never answered
    TOO_MANY = "429"  # HTTP: an intermediary answers 429, with Retry-After
    TROUBLED = "503"  # HTTP: an intermediary answers 503


@dataclass
class _PlannedFault:
    """A planned fault. It starts with data that contains `on`, after `skip` such pieces have passed."""

    fault: SocketFault
    on: bytes
    skip: int
    times: int
    has_begun: bool = False


@dataclass(eq=False)
class _ProxiedConnection:
    """A connection through the proxy: the client is the near side, and the server the far side."""

    near: socket.socket
    far: socket.socket
    is_dead: bool = False  # data on it is dropped
    ends_with_the_answer: bool = False

    def reset(self) -> None:
        """Reset both ends."""
        self.is_dead = True
        _reset(self.near)
        _reset(self.far)

    def vanish(self) -> None:
        """Drop the far side without notifying the near side."""
        self.is_dead = True
        _reset(self.far)


class TcpProxy:
    """Passes bytes to and from `to` (a port of this machine, or a Unix socket), at its own address.

    Where HTTP names the far side by its address, the near side reads the relay's, and the other way round. `latency`
    is how many seconds a piece takes that is late. Ended by `close`.
    """

    def __init__(self, to: int | str, *, latency: float = 0.2) -> None:
        self._to = to
        self._latency = latency
        self._lines: list[_ProxiedConnection] = []
        self._gone: list[_ProxiedConnection] = []
        self._lock = threading.Lock()
        self._is_cut = False
        self._closed = threading.Event()
        self._order: _PlannedFault | None = None
        self._struck = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._names = [f"127.0.0.1:{port}".encode() for port in (to, self.port)]
        self.refused = threading.Semaphore(0)  # one for each connection that was reset while the wire was cut
        threading.Thread(target=self._accept, daemon=True).start()

    # -- what can be done to it ----------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset all connections, and new ones until `mend`."""
        with self._lock:
            self._is_cut = True
            lines, self._lines = self._lines, []
        for line in [*lines, *self._gone]:
            line.reset()

    def mend(self) -> None:
        """Allow new connections again, and remove the planned faults."""
        with self._lock:
            self._is_cut = False
            self._order = None

    def fail(self, fault: SocketFault, *, on: bytes = b"", skip: int = 0, times: int = 1) -> None:
        """Plan a fault for data that contains `on`, after `skip` such pieces, and for the data that follows.

        It happens `times` times in all; then the wire is well again, but for what it has broken.
        """
        with self._lock:
            self._struck = 0
            self._order = _PlannedFault(fault, on, skip, times)

    @property
    def struck(self) -> int:
        """How often the fault has happened since it was planned."""
        with self._lock:
            return self._struck

    def close(self) -> None:
        """Close the proxy permanently."""
        self._closed.set()
        self.cut()
        self._listener.close()

    # -- the wire ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        """Open a connection; if the far side refuses it, reset the near side."""
        try:
            line = _ProxiedConnection(near, self._dial())
        except OSError:
            _reset(near)
            return
        with self._lock:
            self._lines.append(line)
            is_cut = self._is_cut
        if is_cut:
            line.reset()
            self.refused.release()
            return
        threading.Thread(target=self._inward, args=(line,), daemon=True).start()
        self._outward(line)

    def _dial(self) -> socket.socket:
        if isinstance(self._to, int):
            far = socket.create_connection(("127.0.0.1", self._to))
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return far
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._to)
        return far

    def _outward(self, line: _ProxiedConnection) -> None:
        with suppress(OSError):
            while said := line.near.recv(65536):
                if not line.is_dead and self._passes(line, self._strikes(said)):
                    line.far.sendall(self._translated(said, to_far=True))
            if not line.is_dead:
                line.far.shutdown(socket.SHUT_WR)

    def _passes(self, line: _ProxiedConnection, fault: SocketFault | None) -> bool:
        """Apply the fault to the connection; return whether the data is still sent."""
        match fault:
            case SocketFault.LATENCY:
                self._closed.wait(self._latency)
            case SocketFault.RESET_AFTER:
                line.ends_with_the_answer = True
            case SocketFault.RESET_BEFORE:
                line.reset()
            case SocketFault.HALF_OPEN:
                self._vanish()
            case SocketFault.BLACKHOLE:
                line.vanish()
            case SocketFault.TOO_MANY | SocketFault.TROUBLED:
                line.is_dead = True  # read the rest of the request, so that closing doesn't reset the connection
                line.near.sendall(_TOO_MANY if fault is SocketFault.TOO_MANY else _TROUBLED)
                line.near.shutdown(socket.SHUT_WR)
        return not line.is_dead

    def _inward(self, line: _ProxiedConnection) -> None:
        with suppress(OSError):
            while said := line.far.recv(65536):
                if line.is_dead:
                    continue
                if line.ends_with_the_answer:
                    line.reset()
                    return
                line.near.sendall(self._translated(said, to_far=False))
            if not line.is_dead:
                line.near.shutdown(socket.SHUT_WR)

    def _strikes(self, said: bytes) -> SocketFault | None:
        """Return the fault for this data, or None."""
        with self._lock:
            order = self._order
            if order is None or (order.fault in {SocketFault.TOO_MANY, SocketFault.TROUBLED} and not _HTTP.match(said)):
                return None
            if not order.has_begun:
                if order.on not in said:
                    return None
                if order.skip:
                    order.skip -= 1
                    return None
                order.has_begun = True
            self._struck += 1
            if self._struck >= order.times:
                self._order = None
            return order.fault

    def _vanish(self) -> None:
        """Drop the far side of all current connections."""
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.vanish()
        self._gone += lines  # so that they are closed in the end

    def _translated(self, said: bytes, *, to_far: bool) -> bytes:
        """Return the data with the receiving side's address, if the length stays the same."""
        far, near = self._names
        if len(far) != len(near):
            return said
        return said.replace(near, far) if to_far else said.replace(far, near)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RD)  # wakes the reader: until then, the system wouldn't close it
    one.close()
