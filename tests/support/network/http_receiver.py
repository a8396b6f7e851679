"""A third-party HTTP server that records requests and sends planned replies."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request; headers have lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class PlannedReply:
    """A planned reply. With `hold`, it's sent only after that event is set."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    drips: bool = False  # a byte of a header now and then, and never an end


class HttpReceiver:
    """The server. The last of `replies` is repeated."""

    def __init__(self) -> None:
        self.url = ""
        self.got: list[ReceivedRequest] = []
        self.replies: list[PlannedReply] = [PlannedReply()]
        self.is_asked = threading.Event()
        self.closing = threading.Event()

    def reply_to(self, got: ReceivedRequest) -> PlannedReply:
        """Return the reply to a request."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(BaseHTTPRequestHandler):
    receiver: HttpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        got = ReceivedRequest(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
        self.receiver.got.append(got)
        reply = self.receiver.reply_to(got)
        self.receiver.is_asked.set()
        try:
            self._drip() if reply.drips else self._answer(reply)
        except OSError:  # the client is gone
            self.close_connection = True

    do_GET = do_POST  # noqa: N815 - http.server calls it so

    def _answer(self, reply: PlannedReply) -> None:
        if reply.hold:
            reply.hold.wait(20)
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _drip(self) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.receiver.closing.wait(0.02):
            self.wfile.write(b"x")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def run_receiver(receiver: HttpReceiver | None = None) -> Iterator[HttpReceiver]:
    """Serve on a free port until the block ends."""
    receiver = receiver or HttpReceiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": receiver}))
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        for reply in receiver.replies:
            if reply.hold:
                reply.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
