"""The context of the current work: its request, transition, model, and actor. Every log line includes it.

The context belongs to the current thread and ends with the block; `with_context` carries it to another thread.
structlog's contextvars don't fit: fields bound within a block outlive it and have no order, and terminal commands would
import structlog even though they log nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_context: ContextVar[Mapping[str, str] | None] = ContextVar("story", default=None)  # None: no block is open


@contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """Add these fields to the log lines of this block. None and empty values are left out."""
    token = _context.set({**current(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


def bind(**fields: str | None) -> None:
    """Add these fields for the rest of the enclosing block; without one, do nothing."""
    if _context.get() is not None:
        _context.set({**current(), **{name: value for name, value in fields.items() if value}})


def current() -> Mapping[str, str]:
    """Return the current fields."""
    return _context.get() or {}


def with_context(task: Callable[[], T]) -> Callable[[], T]:
    """Return a function that runs the task with the current fields, on any thread.

    Other context variables aren't copied. The one that collects tasks to run after an acknowledgment, for example, has
    ended by then.
    """
    now = _context.get()
    if now is None:
        return task

    def run() -> T:
        token = _context.set(now)
        try:
            return task()
        finally:
            _context.reset(token)

    return run
