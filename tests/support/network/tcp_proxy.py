"""A wire between two programs that can be cut in the middle of a word, and that fails in the ways that wires fail."""

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
    """What can happen to a piece that is sent to the far side."""

    LATENCY = "latency"  # it arrives late, and so do all that follow
    RESET_BEFORE = "reset before"  # the connection is reset, and the far side never saw it
    RESET_AFTER = "reset after"  # the far side has it, and the connection is reset in place of the answer
    HALF_OPEN = "half open"  # the far side has vanished: whoever is connected hears nothing any more, not even an end
    BLACKHOLE = "blackhole"  # the same for whoever connects next: they are taken, and never answered
    TOO_MANY = "429"  # HTTP: a stranger on the way says 429, with Retry-After
    TROUBLED = "503"  # HTTP: a stranger on the way says 503


@dataclass
class _PlannedFault:
    """A fault that waits for its moment. It begins with a piece that holds `on`, after `skip` of those have passed."""

    fault: SocketFault
    on: bytes
    skip: int
    times: int
    has_begun: bool = False


@dataclass(eq=False)
class _ProxiedConnection:
    """One connection through the relay: who asked for it is near, what we connected to for them is far."""

    near: socket.socket
    far: socket.socket
    is_dead: bool = False  # whatever is said on it arrives nowhere
    ends_with_the_answer: bool = False

    def reset(self) -> None:
        """Reset both ends."""
        self.is_dead = True
        _reset(self.near)
        _reset(self.far)

    def vanish(self) -> None:
        """Let the far side be gone; the near one hears nothing of it."""
        self.is_dead = True
        _reset(self.far)


class TcpProxy:
    """Hands bytes on to `to` (a port of this machine, or a Unix socket) and back, at an address of its own.

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
        """Reset what is connected, and whatever connects until it is mended."""
        with self._lock:
            self._is_cut = True
            lines, self._lines = self._lines, []
        for line in [*lines, *self._gone]:
            line.reset()

    def mend(self) -> None:
        """Let new connections through again, and forget what was to fail."""
        with self._lock:
            self._is_cut = False
            self._order = None

    def fail(self, fault: SocketFault, *, on: bytes = b"", skip: int = 0, times: int = 1) -> None:
        """Let something happen to a piece that holds `on`, after `skip` of those, and then to whatever is said next.

        It happens `times` times in all; then the wire is well again, but for what it has broken.
        """
        with self._lock:
            self._struck = 0
            self._order = _PlannedFault(fault, on, skip, times)

    @property
    def struck(self) -> int:
        """How often something has happened since it was ordered."""
        with self._lock:
            return self._struck

    def close(self) -> None:
        """Cut it for good."""
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
        """Begin a line; a far side that takes nobody is told to the near one by a reset."""
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
        """Let it happen to the line; tell whether the piece that it happened to still goes on."""
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
                line.is_dead = True  # what is still said of the request is read, so that closing resets nothing
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
        """Return what happens to this piece."""
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
        """Let the far side of everything that is connected now be gone."""
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.vanish()
        self._gone += lines  # so that they are closed in the end

    def _translated(self, said: bytes, *, to_far: bool) -> bytes:
        """Return it with the address of the side that it goes to, where no length changes by that."""
        far, near = self._names
        if len(far) != len(near):
            return said
        return said.replace(near, far) if to_far else said.replace(far, near)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RD)  # wakes whoever reads it: until then the system would not close it
    one.close()
