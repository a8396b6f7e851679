"""An interactive shell in a pseudoterminal, with the completion for `registrar`."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

END = "\x03END\x03"  # what our `registrar` prints last
ARGUMENTS = {
    "bash": ("--noprofile", "--norc", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "-i"),
}
# `registrar complete` is the real one, but it waits as long as it takes; any other command prints its words.
PROGRAM = """#!/bin/sh
if [ "$1" = complete ]; then PYTHONPATH={root} exec {python} -c '
from handlers.terminal.command_line import complete
from handlers.terminal.main import main
complete.MAX_WAIT = None
main()' "$@"; fi
printf '\\001%s' "$@"
printf '{end}'
"""


@dataclass(frozen=True)
class ShellSession:
    """A shell; `line` is its end of the pseudoterminal."""

    line: int

    def words(self, typed: str) -> list[str]:
        """Type a line, in which a tab completes, and return the words that the command got."""
        os.write(self.line, f"{typed}\r".encode())
        return self._read().partition(END)[0].split("\x01")[1:]

    def screen(self, typed: str) -> str:
        """Type a line, and return all that the shell has shown until its command ended."""
        os.write(self.line, f"{typed}\r".encode())
        return self._read()

    def _read(self) -> str:
        shown = b""
        while END.encode() not in shown:
            shown += os.read(self.line, 65536)
        return shown.decode()


@contextmanager
def open_shell(shell: str, folder: Path) -> Iterator[ShellSession]:
    """Run a shell in this folder, with an empty home, until the block ends."""
    program = folder / "bin" / "registrar"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable), end=END))
    program.chmod(0o755)
    script = folder / "completion"
    made = [sys.executable, "-m", "handlers", "completion", shell]
    script.write_bytes(subprocess.run(made, cwd=ROOT, capture_output=True, check=True).stdout)
    environ = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "xterm",
        "COLUMNS": "200",
        "LC_ALL": "C.UTF-8",
    }
    line, side = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", shell, *ARGUMENTS[shell]],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=folder,
        env=environ,
    )
    os.close(side)
    session = ShellSession(line)
    try:
        load = 'eval "$(cat completion)"' if shell != "fish" else "source completion"
        session.words(f"{load}; registrar ready")
        yield session
    finally:
        process.kill()
        process.wait()
        os.close(line)
