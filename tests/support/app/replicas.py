"""Several real Registrar processes on one PostgreSQL, one MLflow, and one workspace, which can be killed or paused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_until

READY = "Registrar is ready"


class Replica:
    """One process. `verb` is run or worker; its output goes to a file. `port` is its HTTP port; 0: any free one."""

    def __init__(self, verb: str, environment: Mapping[str, str], log: Path, port: int = 0) -> None:
        self.verb, self.log = verb, log
        self._environment = {**os.environ, **environment, "REGISTRAR_PORT": str(port)}
        self._lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Replica:
        """Start it; it can take seconds until it's ready."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "handlers", self.verb], env=self._environment, stdout=out, stderr=out
            )
        return self

    def wait(self) -> Replica:
        """Wait until it says that it's ready."""
        wait_until(lambda: self.is_ready or self.has_ended)
        assert self.is_ready, self.said[-3000:]
        return self

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.process is None or self.process.poll() is not None

    @property
    def said(self) -> str:
        """Its output."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether it has become ready since it was last started."""
        return READY in self.said.rpartition("\x00")[2]

    @property
    def address(self) -> str:
        """The URL of its HTTP server."""
        return self.said.rpartition("HTTP at ")[2].partition(",")[0]

    def kill(self) -> None:
        """Kill it, like a power failure."""
        with self._lock:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
        with self.log.open("ab") as out:
            out.write(b"\x00")

    def stop(self) -> None:
        """Pause it, like a debugger or a swapping machine."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Resume it."""
        self._signal(signal.SIGCONT)

    def end(self) -> int:
        """Ask it to stop; return its exit code."""
        with self._lock:
            assert self.process is not None
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            return self.process.wait(60)

    def _signal(self, number: int) -> None:
        with self._lock, suppress(ProcessLookupError):
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)
