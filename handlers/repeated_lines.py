"""Limit how often the log repeats itself, so that a caller who causes warnings or errors can't fill the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import Context
from traceback import walk_tb
from typing import TextIO

MAX_REPEATS = 100  # warnings and errors from one line of code in an interval
INTERVAL = 60.0  # seconds


class RepeatLimitingHandler(logging.StreamHandler[TextIO]):
    """Writes at most `MAX_REPEATS` warnings and errors a minute from one line of code, and then a count of the rest.

    Lines at INFO have no limit, because they report normal work, such as audit events. `monotonic` returns seconds.
    """

    def __init__(self, stream: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._monotonic = monotonic
        self._interval_end = 0.0
        # By line of code, since messages can contain anything: the count, and the last record.
        self._repeats: dict[tuple[object, ...], tuple[int, logging.LogRecord]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if (now := self._monotonic()) >= self._interval_end:
            self._interval_end = now + INTERVAL
            self._write_counts()
        if record.levelno >= logging.WARNING:
            place = record.pathname, record.lineno, *_origin(record)
            count = self._repeats.get(place, (0, record))[0] + 1
            self._repeats[place] = count, record
            if count > MAX_REPEATS:
                return
        super().emit(record)

    def _write_counts(self) -> None:
        """Write how many lines were left out in the past interval, without the current work's context."""
        repeats, self._repeats = self._repeats, {}
        for count, last in repeats.values():
            if (omitted := count - MAX_REPEATS) > 0:
                message = f"repeated lines from {last.module}:{last.lineno} that were left out: {omitted:,}"
                fields = {"name": last.name, "levelno": last.levelno, "levelname": last.levelname, "msg": message}
                Context().run(super().emit, logging.makeLogRecord(fields))


def _origin(record: logging.LogRecord) -> tuple[object, ...]:
    """Return the exception's type and the line that raised it, since one line of code logs all unexpected errors."""
    kind, _, trace = record.exc_info or (None, None, None)
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(trace)]
    return kind, *frames[-1:]
