"""The log doesn't grow with every warning that a caller causes."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import pytest

from bot import logging_context
from handlers import logs
from handlers.repeated_lines import INTERVAL, MAX_REPEATS, RepeatLimitingHandler


class Log:
    """A log whose clock the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._out = io.StringIO()
        self._handler = RepeatLimitingHandler(self._out, lambda: self.seconds)

    def write(
        self, message: str, *, line: int = 1, level: int = logging.WARNING, error: Exception | None = None
    ) -> None:
        """Log a message from this line of code, with this exception's traceback."""
        exc_info = (type(error), error, error.__traceback__) if error else None
        self._handler.handle(logging.LogRecord("bot", level, "/bot/web.py", line, message, (), exc_info))

    @property
    def lines(self) -> list[str]:
        """The lines so far."""
        return self._out.getvalue().splitlines()


@pytest.fixture
def log() -> Log:
    """Return an empty log."""
    return Log()


def raised(act: Callable[[], object]) -> Exception:
    """Return what this raises, with its traceback."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        act()
    return caught.value


def test_repeated_warnings_are_left_out_and_counted(log: Log) -> None:
    for each in range(MAX_REPEATS + 1234):
        log.write(f"invalid request {each}")
    assert len(log.lines) == MAX_REPEATS
    log.seconds += INTERVAL
    log.write("something else", line=2)
    assert log.lines[MAX_REPEATS:] == ["repeated lines from web:1 that were left out: 1,234", "something else"]


def test_after_the_interval_warnings_are_written_again(log: Log) -> None:
    for _ in range(MAX_REPEATS + 1):
        log.write("invalid request")
    log.seconds += INTERVAL
    log.write("invalid request")
    assert log.lines[-1] == "invalid request"


def test_each_line_of_code_has_its_own_limit(log: Log) -> None:
    for _ in range(MAX_REPEATS + 1):
        log.write("invalid request")
    log.write("the disk is full", line=2)
    assert log.lines[-1] == "the disk is full"


def test_a_repeated_error_does_not_hide_others_that_are_logged_in_the_same_place(log: Log) -> None:
    for _ in range(MAX_REPEATS + 1):
        log.write("unexpected error", error=raised(lambda: int("x")))
    hidden = len(log.lines)
    log.write("unexpected error, ID 1", error=raised(lambda: int("y")))
    assert len(log.lines) > hidden
    log.write("unexpected error, ID 2", error=raised([].pop))
    assert log.lines[-1].startswith("IndexError")


def test_normal_work_is_always_logged(log: Log) -> None:
    for _ in range(2 * MAX_REPEATS):
        log.write("registrar:request:opened churn", level=logging.INFO)
    assert len(log.lines) == 2 * MAX_REPEATS


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_count_has_no_context_of_other_work(form: logs.LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    out, seconds = io.StringIO(), [0.0]
    handler = logs.build_handler(out, log_format=form)
    monkeypatch.setattr(handler, "_monotonic", lambda: seconds[0])
    record = logging.LogRecord("bot", logging.WARNING, "/bot/web.py", 1, "invalid request", (), None)
    for _ in range(MAX_REPEATS + 1):
        handler.handle(record)
    seconds[0] = INTERVAL
    with logging_context.bound(request="r4k7q"):
        handler.handle(record)
    count, last = out.getvalue().splitlines()[MAX_REPEATS:]
    assert "web:1 that were left out: 1" in count
    assert ("r4k7q" in count, "r4k7q" in last) == (False, True)
