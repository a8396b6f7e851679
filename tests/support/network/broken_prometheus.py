"""Answers that a working Prometheus wouldn't give."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bot.sources.prometheus import MAX_BODY_BYTES

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class FakeServer:
    """A server that answers every request with these bytes, and then closes the connection or keeps it open.

    `seen` holds the request lines and headers; `lines` counts the connections.
    """

    def __init__(self, answer: bytes | Callable[[str], bytes], *, hangs_up: bool = True) -> None:
        self.seen: list[str] = []
        self.lines = 0
        self._answer = answer
        self._hangs_up = hangs_up
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Close all connections."""
        for one in [self._listening, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                self.lines += 1
                self._open.append(line)
                threading.Thread(target=self._talk, args=[line], daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with suppress(OSError):
            while request := self._request(line):
                self.seen.append(request)
                line.sendall(self._answer if isinstance(self._answer, bytes) else self._answer(request))
                if self._hangs_up:
                    line.shutdown(socket.SHUT_RDWR)

    def _request(self, line: socket.socket) -> str:
        read = b""
        while not read.endswith(b"\r\n\r\n"):
            piece = line.recv(65536)
            if not piece:
                return ""
            read += piece
        return read.decode()


def http_response(status: int, body: bytes | Any, *headers: str) -> bytes:
    """Return the bytes of an HTTP response."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(payload)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + payload


def success_body(kind: str, result: Any) -> dict[str, Any]:
    """Return the body of a successful Prometheus response."""
    return {"status": "success", "data": {"resultType": kind, "result": result}}


ONE = success_body("vector", [{"metric": {}, "value": [NOON.timestamp(), "0.9"]}])


ERROR = {"status": "error", "errorType": "bad_data", "error": "1:5: parse error:\x1b[31m no\u202e good " + "x" * 999}


BAD_RESPONSES = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "noise": bytes(range(256)) * 4,
    "half a body": http_response(200, ONE)[:-10],
    "no body": http_response(200, b""),
    "html": http_response(200, b"<!doctype html><title>Welcome</title>", "Content-Type: text/html"),
    "a login page": http_response(302, b"", "Location: https://login.example.com/"),
    "moved": http_response(301, b"", "Location: http://127.0.0.1:1/"),
    "a circle": http_response(307, b"", "Location: /api/v1/query"),
    "not modified": http_response(304, b""),
    "bad query": http_response(400, ERROR),
    "bad request of a proxy": http_response(400, b"<html>Bad Request</html>"),
    "not let in": http_response(401, b"who are you?"),
    "forbidden": http_response(403, {}),
    "not found": http_response(404, b"404 page not found"),
    "too many": http_response(429, b"slow down"),
    "cannot be reckoned": http_response(422, ERROR | {"errorType": "execution"}),
    "broken": http_response(500, b"oops"),
    "broken in its own words": http_response(500, ERROR | {"errorType": "internal"}),
    "bad gateway": http_response(502, b"<html>"),
    "overloaded": http_response(503, ERROR | {"errorType": "timeout"}),
    "a figure with an error": http_response(500, ONE),
    "created": http_response(201, ONE),
    "latin": http_response(200, '{"status": "é"}'.encode("latin-1")),
    "gzip": http_response(200, b"\x1f\x8b\x08\x00\x00", "Content-Encoding: gzip"),
    "deep": http_response(200, b"[" * 100_000),
    "huge": http_response(200, b" " * (MAX_BODY_BYTES + 1)),
    "huge header": b"HTTP/1.1 200 So\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
}


BAD_BODIES: dict[str, Any] = {
    "null": None,
    "a list": [],
    "a text": "success",
    "a number": 1,
    "empty": {},
    "an error with 200": ERROR,
    "no data": {"status": "success"},
    "data is a list": {"status": "success", "data": []},
    "no result": {"status": "success", "data": {"resultType": "vector"}},
    "result is null": success_body("vector", None),
    "result is a mapping": success_body("vector", {"value": [1, "1"]}),
    "another kind": success_body("histogram", []),
    "no kind": {"status": "success", "data": {"result": []}},
    "a text result": success_body("string", [1, "0.9"]),
    "series is a text": success_body("vector", ["0.9"]),
    "series is null": success_body("vector", [None]),
    "no value": success_body("vector", [{"metric": {}}]),
    "value is a text": success_body("vector", [{"value": "0.9"}]),
    "value is short": success_body("vector", [{"value": [1]}]),
    "value is long": success_body("vector", [{"value": [1, "1", 1]}]),
    "a figure is a number": success_body("vector", [{"value": [1, 0.9]}]),
    "a figure is true": success_body("vector", [{"value": [1, True]}]),
    "a figure is null": success_body("vector", [{"value": [1, None]}]),
    "a figure is a word": success_body("vector", [{"value": [1, "good"]}]),
    "a figure is empty": success_body("vector", [{"value": [1, ""]}]),
    "a figure with an underscore": success_body("vector", [{"value": [1, "1_000"]}]),
    "a time is a text": success_body("vector", [{"value": ["1", "0.9"]}]),
    "a time is true": success_body("vector", [{"value": [True, "0.9"]}]),
    "a time is too far": success_body("vector", [{"value": [1e300, "0.9"]}]),
    "a time is NaN": success_body("vector", [{"value": [math.nan, "0.9"]}]),
    "two series": success_body("vector", [{"value": [1, "1"]}, {"value": [1, "1"]}]),
    "a histogram": success_body("vector", [{"histogram": [1, {}]}]),
    "a matrix as a vector": success_body("vector", [{"values": [[1, "1"]]}]),
    "values are a text": success_body("matrix", [{"values": "1"}]),
    "values are figures": success_body("matrix", [{"values": [1]}]),
    "a scalar is empty": success_body("scalar", []),
}
