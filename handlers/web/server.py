"""The HTTP server: uvicorn, with connection limits and a list of trusted proxies."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from bot.settings import Settings
from handlers.web.connections import ConnectionLimits, Connections, LimitedConnection, Network

# Connections that the event loop accepts before it reads from those that it has. asyncio uses one number for this and
# for the system's queue. If it's large, a burst takes all descriptors before any limit applies (and then asyncio logs
# as many tracebacks), or pushes out connections whose requests were about to be read.
ACCEPTS_AT_ONCE = 4
OTHER_DESCRIPTORS = 128  # files, databases, and sockets that don't depend on the settings, and a burst of connections
DESCRIPTORS_PER_THREAD = 3  # a thread can wait for the registry, for Slack, and for a file
MIN_CONNECTIONS = 32
TICK_SECONDS = 1.0  # seconds; the header Date has the time of the last tick


class HttpServer(uvicorn.Server):
    """A uvicorn server that keeps the system's connection queue at full length, and ticks only once a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = Future[None]()

    def stop(self) -> None:
        """Stop the server. Any thread can call this."""
        self.should_exit = True
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def main_loop(self) -> None:
        stopped = asyncio.wrap_future(self._stopped)
        while not await self.on_tick(0):
            await asyncio.wait([stopped], timeout=TICK_SECONDS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(socket.SOMAXCONN)


def build_server(web: FastAPI, limits: ConnectionLimits, trusted_proxies: Sequence[Network] = ()) -> HttpServer:
    """Return the server. It accepts X-Forwarded-For only from one of `trusted_proxies`."""
    protocol: Any = partial(LimitedConnection, Connections(limits, trusted_proxies))
    config = uvicorn.Config(
        web,
        http=protocol,
        ws="none",  # no route uses WebSockets, whose connections would have no limits
        timeout_keep_alive=limits.idle,  # type: ignore[arg-type]  # any number of seconds works
        backlog=ACCEPTS_AT_ONCE,
        log_config=None,
        access_log=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=[str(network) for network in trusted_proxies],
        timeout_graceful_shutdown=5,
    )
    return HttpServer(config)


def other_descriptors(settings: Settings) -> int:
    """Return how many descriptors everything except the HTTP server's connections can use."""
    return OTHER_DESCRIPTORS + DESCRIPTORS_PER_THREAD * (settings.threads + settings.connections)


def allot_descriptors(settings: Settings) -> ConnectionLimits:
    """Raise the descriptor limit if needed, and return connection limits that leave enough for everything else.

    The process's limit is raised only as far as needed, because some libraries can't use descriptors over 1,024.
    """
    others, most = other_descriptors(settings), ConnectionLimits().connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < others + most:
        soft = others + most if hard == unlimited else min(others + most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    free = most if soft == unlimited else soft - others
    return ConnectionLimits(connections=max(MIN_CONNECTIONS, min(most, free)))
