"""An MLflow server as it comes (four workers) pauses in every answer; here is what keeps it going.

It sends the head and the body of an answer apart and holds the body back until the head is acknowledged, for which
our side of the connection takes 40 ms. On Linux we can say that it be acknowledged at once; elsewhere it stays slow.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_AT_ONCE: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


def acknowledge_at_once(connection: HTTPConnection) -> None:
    """Let what comes next be acknowledged at once. The system forgets it: say it before every answer."""
    if _AT_ONCE is not None and connection.sock is not None:
        with suppress(OSError):  # a connection that broke is found out by whoever reads
            connection.sock.setsockopt(socket.IPPROTO_TCP, _AT_ONCE, 1)


class _Prompt(HTTPConnection):
    def getresponse(self) -> Any:
        """Return the answer."""
        acknowledge_at_once(self)
        return super().getresponse()


class _PromptTls(HTTPSConnection):
    def getresponse(self) -> Any:
        """Return the answer."""
        acknowledge_at_once(self)
        return super().getresponse()


def keep_answers_coming() -> None:
    """Let urllib3, over which MLflow's client asks, acknowledge at once from now on. Once is enough."""
    for pool, plain, prompt in (
        (HTTPConnectionPool, HTTPConnection, _Prompt), (HTTPSConnectionPool, HTTPSConnection, _PromptTls),
    ):  # fmt: skip
        if pool.ConnectionCls is plain:  # somebody else's is left as it is
            pool.ConnectionCls = prompt
