"""The `registrar` program: run its command line, then end the process."""

from __future__ import annotations

import atexit
import os
import sys

_FLUSH_FAILED = 120  # what Python itself exits with


def main() -> int:
    """Run the command line, and return its exit code.

    At exit, it waits for threads and exit handlers, but doesn't free the remaining memory, because that takes time
    and can crash native libraries (https://github.com/python/cpython/issues/87135).
    """
    code: int | str | None = 1  # also after an exception
    atexit.register(lambda: _end(code))  # the first to be registered is the last to run

    from handlers.terminal.main import main as run  # noqa: PLC0415 - its own exit handlers run before ours

    try:
        code = run()
    except SystemExit as ended:
        code = ended.code
        raise
    return code


def _end(code: int | str | None) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = _FLUSH_FAILED
    os._exit(code if isinstance(code, int) else bool(code))
