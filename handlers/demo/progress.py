"""The terminal's output while the demo starts, which is never silent for more than three seconds."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

SILENCE_SECONDS = 2.0  # seconds after which it shows how long the current step has taken
TICK_SECONDS = 0.25


class ProgressReporter:
    """Prints lines and, after `silence` seconds without output, how long the current step has taken.

    It stops when its block ends. On a terminal, the time is updated in place; elsewhere, such as in a file or a CI log,
    each update is a separate line.
    """

    def __init__(self, out: TextIO | None = None, silence: float = SILENCE_SECONDS) -> None:
        self._out = out or sys.stdout
        self._silence = silence
        self._lock = threading.Lock()
        self._step, self._is_line_open = "", False  # the current step; whether the last line is still open
        self._step_started = self._last_printed = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> ProgressReporter:
        """Start watching for silence."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """End an open line, and stop printing progress."""
        self._stopping.set()
        self._thread.join()
        with self._lock:
            self._end_line()

    def print_line(self, line: str) -> None:
        """Print a line."""
        with self._lock:
            self._end_line()
            self._print(f"{line}\n")

    def begin_step(self, step: str) -> None:
        """Print the current step, and start timing it."""
        with self._lock:
            self._end_line()
            self._step, self._step_started = step, time.monotonic()
            self._is_line_open = self._out.isatty()
            self._print(f"{step} …" if self._is_line_open else f"{step} …\n")

    def _run(self) -> None:
        while not self._stopping.wait(min(TICK_SECONDS, self._silence)):
            with self._lock:
                now = time.monotonic()
                if now - self._last_printed >= self._silence:
                    line = f"{self._step or 'Starting'} … {now - self._step_started:.0f} s"
                    self._is_line_open = self._out.isatty()
                    self._print(f"\r{line}" if self._is_line_open else f"{line}\n")

    def _end_line(self) -> None:
        if self._is_line_open:
            self._print("\n")
        self._is_line_open = False

    def _print(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._last_printed = time.monotonic()
