"""Run examples/churn/serve.py alongside the demo: start it early, restart it if it dies, and stop it at the end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from handlers.demo.folder import DemoFolder
from handlers.demo.models import MODEL

SERVING_SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "serve.py"
PUSH_SECONDS = 2.0  # seconds between two pushes
RESTART_SECONDS = 2.0  # seconds before it's restarted
STOP_SECONDS = 5.0  # seconds to exit before it's killed

log = logging.getLogger(__name__)


class ModelServer:
    """The process that serves the model. Its output goes to the demo's log.

    `start` starts it, and it stops when the block ends. `port` is where it reports the served version. If the policy
    doesn't mention it, because the policy is edited or from an older demo, `port` is None, and the process isn't
    started.
    """

    def __init__(self, folder: DemoFolder, registrar_url: str, port: int | None) -> None:
        self._command = [sys.executable, str(SERVING_SCRIPT), "--port", str(port), "--every", str(PUSH_SECONDS)]
        self._command += ["--keep", str(folder.serving_cache), "--end-with-stdin"]
        self._environment = os.environ | {
            "MLFLOW_TRACKING_URI": folder.registry_uri,
            "REGISTRAR_URL": registrar_url,
            "REGISTRAR_TOKEN": folder.token_file.read_text(encoding="ascii").strip(),
        }
        self.port = port
        self.crash_count = 0  # how often it exited without being stopped
        self._log = folder.log_file
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._broken: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"serve {MODEL}", daemon=True)

    def __enter__(self) -> ModelServer:
        """Return the server without starting it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process, and wait until it has exited."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def start(self) -> None:
        """Start the process, unless it was started before or the policy doesn't mention it."""
        if self.port is not None and self._thread.ident is None:
            self._thread.start()

    def break_version(self, version: int | None) -> None:
        """Make this version wrong until another one replaces it, even if the process restarts; None breaks nothing."""
        with self._lock:
            self._broken = version
            self._send_broken()

    def _send_broken(self) -> None:
        if self._broken is not None and self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # it just exited; the next one gets the line at its start
                self._process.stdin.write(f"break {self._broken}\n".encode())
                self._process.stdin.flush()

    def is_answering(self) -> bool:
        """Return whether the process reports a served version."""
        if self.port is None:
            return False
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=1)) as connection:
            try:
                connection.request("GET", "/version")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._log.open("ab") as output:
                # Its standard input is a pipe that closes when the demo exits, for any reason; then it exits, too.
                process = subprocess.Popen(  # noqa: S603 - our own script
                    self._command, env=self._environment, stdin=subprocess.PIPE, stdout=output, stderr=output
                )
            with self._lock:
                self._process = process
                self._send_broken()
            while process.poll() is None and not self._stopping.wait(0.2):
                pass
            if not self._stopping.is_set():
                self.crash_count += 1
                log.warning("serve.py exited with %s; restarting it", process.returncode)
                self._stopping.wait(RESTART_SECONDS)
            with self._lock:
                self._process = None
            _stop_process(process)


def _stop_process(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
