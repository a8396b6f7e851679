"""The ASGI application with all endpoints, and the uvicorn server that runs it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette

from localslack.backend import Backend, BackendSettings
from localslack.web import page
from localslack.web.access_guard import AccessGuard
from localslack.web.app_endpoints import AppEndpoints
from localslack.web.connection_faults import ConnectionFaults
from localslack.web.control_endpoints import ControlEndpoints
from localslack.web.file_endpoints import FileEndpoints
from localslack.web.person_endpoints import PersonEndpoints

LOOPBACK = "127.0.0.1"


class _Server(uvicorn.Server):
    """A uvicorn server that ends all waits for changes before it waits for requests to finish."""

    def __init__(self, config: uvicorn.Config, backend: Backend) -> None:
        super().__init__(config)
        self._backend = backend

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all waits for changes, and then shut down as uvicorn does."""
        self._backend.changes.close()
        await super().shutdown(sockets)


def listen(port: int = 0, host: str = LOOPBACK) -> socket.socket:
    """Return a listening socket.

    port: 0 for any free one. host: an IPv4 address of this machine. Raises OSError if the port or the
    address can't be used, and OverflowError for an invalid port number.
    """
    # The protocol is explicit because asyncio turns off Nagle's algorithm only for such sockets; with it,
    # every answer on a reused connection takes 40 ms.
    listening_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening_socket.bind((host, port))
        listening_socket.listen(512)
    except BaseException as error:
        listening_socket.close()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
        raise
    return listening_socket


def build(
    settings: BackendSettings, listening_socket: socket.socket, on_start: Callable[[Backend], None]
) -> uvicorn.Server:
    """Return a server for one workspace, to be run with this socket.

    on_start: called with the workspace in the server's event loop, when the server is ready.
    """
    backend, connection_faults = Backend(settings), ConnectionFaults()
    app_endpoints = AppEndpoints(backend, connection_faults)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await backend.router.set_request_url(settings.request_url)
        on_start(backend)
        yield
        await backend.close()

    people_routes = [*PersonEndpoints(backend).routes(), *FileEndpoints(backend).routes()]
    routes = [
        *app_endpoints.routes(),
        *people_routes,
        *ControlEndpoints(backend, app_endpoints).routes(),
        *page.routes(),
    ]
    app = AccessGuard(Starlette(routes=routes, lifespan=lifespan), *listening_socket.getsockname())
    http, ws = connection_faults.protocols()
    config = uvicorn.Config(
        app,
        http=http,
        ws=ws,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        # Longer than clients keep idle connections: with the same timeout (5 s by default, also in httpx2), a request
        # can be sent on a connection that's being closed.
        timeout_keep_alive=65,
        ws_ping_interval=10,
        ws_ping_timeout=60,
    )
    return _Server(config, backend)
