"""`registrar demo` in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from types import TracebackType

import psutil
import pytest

COMMAND = [sys.executable, "-X", "faulthandler", "-m", "handlers", "demo"]
# The training command, with fewer customers than the command line allows.
TRAINING = [
    sys.executable,
    "-X",
    "faulthandler",
    "-c",
    "import sys; from handlers.demo.main import run_demo; sys.exit(run_demo(train=True, rows=400))",
]
PATIENCE = 300  # seconds: a minute on an idle machine, and several times that on a busy one


class DemoProcess:
    """A demo that runs until its `with` block or the process ends."""

    def __init__(self, home: Path, *, command: Sequence[str] = COMMAND, **environment: str) -> None:
        self.said = ""
        self.address = ""
        self.process = subprocess.Popen(
            command,
            env=clean_environment(REGISTRAR_HOME=str(home), **environment),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # A demo that hangs while it starts or ends is aborted, so that its output ends and shows where it hung.
        # In between it can run as long as the test does.
        self._guard = self._abort_later()

    def __enter__(self) -> DemoProcess:
        try:
            self.reads_until("Press Ctrl-C to stop")
            self._guard.cancel()
        except BaseException:
            self.end(signal.SIGKILL)
            raise
        self.address = next(word for word in self.said.split() if word.startswith("http://"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    @property
    def url(self) -> str:
        """The workspace's URL, without its query."""
        return self.address.partition("?")[0]

    def _abort_later(self) -> Timer:
        guard = Timer(PATIENCE, self.process.send_signal, [signal.SIGABRT])
        guard.daemon = True
        guard.start()
        return guard

    def reads_until(self, words: str) -> None:
        """Read its output until a line contains this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return
        pytest.fail(f"The demo ended before it said “{words}”:\n{self.said}")

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it, read the rest of its output, and return its exit code."""
        if self.process.returncode is None:
            self._guard.cancel()
            self._guard = self._abort_later()
            self.process.send_signal(how)
            self.said += self.process.communicate()[0] or ""
            self._guard.cancel()
        if self.process.wait() == -signal.SIGABRT:
            pytest.fail(f"The demo hung or crashed:\n{self.said}")
        return self.process.returncode

    def left_behind(self) -> list[psutil.Process]:
        """Return the demo's processes that are still running."""
        return [one for one in psutil.process_iter() if _group_of(one) == self.process.pid]


def run_demo(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command until it ends."""
    return subprocess.run(
        [*COMMAND, *options],
        env=clean_environment(**environment),
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def clean_environment(**more: str) -> dict[str, str]:
    """Return an environment without a display."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"}
    return {name: value for name, value in os.environ.items() if name not in hidden} | more


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
