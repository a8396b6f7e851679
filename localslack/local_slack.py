"""A workspace inside this process: uvicorn in a thread, and a client for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from localslack import manifest as manifests
from localslack.backend import BackendSettings
from localslack.client import Remote
from localslack.seed import Seed
from localslack.web import server

START_SECONDS = 30.0


class LocalSlack(Remote):
    """A running local workspace. Start one with `LocalSlack.start`; leaving the `with` block stops it."""

    def __init__(self, url: str, server_thread: _ServerThread) -> None:
        self._server_thread = server_thread
        super().__init__(url)

    @classmethod
    def start(  # noqa: PLR0913 - all settings, keyword-only
        cls,
        manifest: str | Path | Mapping[str, Any],
        *,
        state: str | Path | None = None,
        seed: Seed | None = None,
        request_url: str | None = None,
        port: int = 0,
        host: str = server.LOOPBACK,
        secrets: Mapping[str, str] | None = None,
        rate_limits: bool = True,
        speed: float = 1.0,
        files_ready_after: float = 1.0,
    ) -> LocalSlack:
        """Start a workspace, and return once it responds.

        manifest: the app's manifest, a file or a mapping. state: a file that preserves messages, people, tokens, and
        other state across restarts. host: the address to serve on, such as that of a container network. The workspace
        has no passwords, so anyone who can connect can act as anyone. secrets: bot_token, app_token, signing_secret, or
        verification_token, to use instead of random ones. rate_limits: whether Slack's rate limits apply. speed: how
        many times faster than real time rate limits and file checks run. files_ready_after: how long checking a file
        takes, in seconds at that speed. Raises OSError if it can't read the manifest or listen at the address, and
        ValueError for an invalid manifest.
        """
        loaded_manifest = manifests.load(manifest)
        listening_socket = server.listen(port, host)
        url = f"http://{host}:{listening_socket.getsockname()[1]}/"
        settings = BackendSettings(
            manifest=loaded_manifest,
            base_url=url,
            state=state,
            seed=seed or Seed(),
            request_url=request_url,
            secrets=dict(secrets or {}),
            rate_limits=rate_limits,
            speed=speed,
            files_ready_after=files_ready_after,
        )
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(listening_socket.close)
            server_thread = _ServerThread(settings, listening_socket)
            cleanup.pop_all()
        return cls(url, server_thread)

    def __enter__(self) -> LocalSlack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and wait until it has stopped."""
        self.close()
        self._server_thread.stop()


class _ServerThread:
    """The thread that runs the server."""

    def __init__(self, settings: BackendSettings, listening_socket: socket.socket) -> None:
        self._ready = threading.Event()
        self._server = server.build(settings, listening_socket, lambda _: self._ready.set())
        self._thread = threading.Thread(
            target=_serve, args=(self._server, listening_socket), name="localslack", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            self._server.should_exit = True
            raise RuntimeError("the local workspace didn't start")

    def stop(self) -> None:
        """Stop the server and wait for the thread."""
        self._server.should_exit = True
        self._thread.join()


def _serve(uvicorn_server: uvicorn.Server, listening_socket: socket.socket) -> None:
    uvicorn_server.run(sockets=[listening_socket])
