"""`registrar setup` in its own process, on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import pytest

from tests.support.app.demo_process import clean_environment
from tests.support.paths import ROOT

# The process takes the terminal as its own, so that Ctrl-C reaches it as it does in a shell.
_COMMAND = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from handlers.terminal.main import main; sys.exit(main(['setup']))"
)
PATIENCE = 60  # seconds for the next expected text
CTRL_C = "\x03"
SILENCE = 10  # seconds after Ctrl-C without any output


class SetupProcess:
    """The command until its `with` block ends. `screen`: everything that it printed."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.screen = ""
        self._position = 0
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND],
            cwd=folder,
            env=clean_environment(PYTHONPATH=str(ROOT), COLUMNS="200", **environment),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def __enter__(self) -> SetupProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def reads_until(self, text: str) -> str:
        """Return what it prints from here, up to and with this text."""
        while text not in self.screen[self._position :]:
            if not self._read():
                pytest.fail(f"It ended before it said “{text}”:\n{self.screen}")
        begin, self._position = self._position, self.screen.index(text, self._position) + len(text)
        return self.screen[begin : self._position]

    def answers(self, question: str, line: str) -> None:
        """Wait for a question, and type an answer."""
        self.reads_until(f"{question}")
        self.reads_until(": ")
        self.presses(f"{line}\n")

    def presses(self, keys: str) -> None:
        """Type keys."""
        os.write(self._terminal, keys.encode())

    def interrupts(self, keys: str = "") -> int:
        """Type keys and Ctrl-C, read the rest, and return the exit code.

        A signal between Python's last check for signals and the start of a read is handled only after the read.
        """
        self.presses(f"{keys}{CTRL_C}")
        if not select.select([self._terminal], [], [], SILENCE)[0]:
            self.presses("\n")
        return self.ends()

    def ends(self) -> int:
        """Read the rest, and return the exit code."""
        while self._read():
            pass
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        """Read what was printed; return whether there can be more."""
        if not select.select([self._terminal], [], [], PATIENCE)[0]:
            pytest.fail(f"It printed nothing more:\n{self.screen}")
        try:
            printed = os.read(self._terminal, 65536)
        except OSError:  # Linux's way to say that the other side was closed
            return False
        self.screen += printed.decode(errors="replace").replace("\r\n", "\n")
        return bool(printed)
