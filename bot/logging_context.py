"""What the current work belongs to: a request, a transition, a model, an actor. Every log line includes it.

It belongs to the current thread and ends with the block; `with_context` takes it to another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, TypeVar

T = TypeVar("T")

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_context: ContextVar[Mapping[str, str] | None] = ContextVar("story", default=None)  # None: no block is open


@contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """Add these fields to what is logged in this block. None and empty values are left out."""
    token = _context.set({**current(), **_without_empty(fields)})
    try:
        yield
    finally:
        _context.reset(token)


def bind(**fields: str | None) -> None:
    """Add these fields for the rest of the enclosing block; without one, do nothing."""
    now = _context.get()
    if now is not None:
        _context.set({**now, **_without_empty(fields)})


def current() -> Mapping[str, str]:
    """Return the current fields."""
    return _context.get() or _EMPTY


def with_context(task: Callable[[], T]) -> Callable[[], T]:
    """Return the task so that it runs with the current fields, on whatever thread.

    The rest of the context isn't copied, for example who collects the tasks for after an acknowledgement: that's over
    by then.
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


def _without_empty(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
