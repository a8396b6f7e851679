"""Raw HTTP connections, for requests that no HTTP client sends: incomplete, slow, or with unread responses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

from fastapi import FastAPI

from bot.settings import Settings
from handlers.startup_checks import open_listener
from handlers.web.connections import ConnectionLimits, Network
from handlers.web.server import build_server
from tests.support.waiting import PATIENCE, wait_until

SMALL = 4096  # bytes that the system buffers, so that unread responses stay in the server
Address = tuple[str, int]


@contextlib.contextmanager
def http_server(
    web: FastAPI, limits: ConnectionLimits, trusted_proxies: Sequence[Network] = (), *, host: str = "127.0.0.1"
) -> Iterator[Address]:
    """Serve an application on a socket, with these limits, and yield the address for clients on this machine."""
    with open_listener(Settings(REGISTRAR_HOST=host, REGISTRAR_PORT=0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)  # accepted connections inherit it
        server = build_server(web, limits, trusted_proxies)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield "127.0.0.1", listener.getsockname()[1]
        server.stop()
        thread.join(timeout=10)


class RawConnection:
    """A connection to an HTTP server."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(address)

    def send(self, data: bytes) -> RawConnection:
        """Send bytes. Raises OSError if the server has closed the connection."""
        self._socket.sendall(data)
        return self

    def try_to_send(self, data: bytes) -> None:
        """Send bytes, unless the server has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def get(self, path: str, *headers: str) -> str:
        """Send a request without a body, and return the response's body; empty if the server closes the connection."""
        lines = [f"GET {path} HTTP/1.1", "Host: registrar", *headers, "", ""]
        return self.send("\r\n".join(lines).encode()).receive()

    def receive(self) -> str:
        """Return the body of the next response, up to where the server closes the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self._read()):
                return ""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        while len(body) < length and (more := self._read()):
            body += more
        return body.decode()

    def send_until_closed(self, data: bytes, pause: float = 0.0) -> None:
        """Send the same bytes every `pause` seconds until the server closes the connection.

        Raises TimeoutError if the server neither reads nor closes it.
        """
        with contextlib.suppress(ConnectionError):
            while not self._closes_within(pause):
                self._socket.sendall(data)

    def wait_for_bytes(self, size: int) -> None:
        """Wait until so many bytes have arrived, without reading them."""
        wait_until(lambda: len(self._socket.recv(size, socket.MSG_PEEK)) == size)

    def wait_until_closed(self) -> bytes:
        """Wait until the server closes the connection, and return what it sent. Raises TimeoutError if it doesn't."""
        return b"".join(iter(self._read, b""))

    def is_open(self) -> bool:
        """Return whether the server hasn't closed the connection."""
        return not self._closes_within(0.0)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _closes_within(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, TimeoutError):
            return False
        except ConnectionError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""
