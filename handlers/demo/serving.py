"""examples/churn/serve.py beside the demo: started when all is ready, started again if it dies, ended with the demo."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from handlers.demo.home import Home
from handlers.demo.models import MODEL

SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "serve.py"
EVERY = 2.0  # seconds between two pushes
AGAIN = 2.0  # seconds until it is started again
LEAVING = 5.0  # seconds that it has for ending by itself

log = logging.getLogger(__name__)


class Serving:
    """A process that serves the model. What it says goes into the demo's log."""

    def __init__(self, home: Home, registrar: str, port: int) -> None:
        self._command = [sys.executable, str(SCRIPT), "--port", str(port), "--every", str(EVERY), "--end-with-stdin"]
        self._environment = os.environ | {
            "MLFLOW_TRACKING_URI": home.registry,
            "REGISTRAR_URL": registrar,
            "REGISTRAR_TOKEN": home.token.read_text(encoding="ascii").strip(),
        }
        self._log = home.log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"serve {MODEL}", daemon=True)

    def __enter__(self) -> Serving:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and wait until it has."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._log.open("ab") as told:
                # Its standard input is a pipe that ends with us, whichever way we end; and then it ends as well.
                process = subprocess.Popen(  # noqa: S603 - our own script
                    self._command, env=self._environment, stdin=subprocess.PIPE, stdout=told, stderr=told
                )
            while process.poll() is None and not self._ended.wait(0.2):
                pass
            if not self._ended.is_set():
                log.warning("serve.py ended with %s; it is started again", process.returncode)
                self._ended.wait(AGAIN)
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(LEAVING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
