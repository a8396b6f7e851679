"""What the work at hand belongs to: a request, a move, a model, who acts. Every line of the log says it.

It goes with the thread that works and ends with the block; to another thread it goes where somebody `carried` it there.
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
    """Let what is logged in this block say this, too. What is None or empty is left out."""
    token = _context.set({**current(), **_without_empty(fields)})
    try:
        yield
    finally:
        _context.reset(token)


def bind(**fields: str | None) -> None:
    """Let what is logged in the rest of the block around say this, too; where there is none, nothing happens."""
    now = _context.get()
    if now is not None:
        _context.set({**now, **_without_empty(fields)})


def current() -> Mapping[str, str]:
    """Return what is known of the work at hand."""
    return _context.get() or _EMPTY


def with_context(task: Callable[[], T]) -> Callable[[], T]:
    """Return the task so that it belongs to the same, on whatever thread it is done.

    Not the whole context goes along: what else is in one, such as who collects what follows an acknowledgement, is
    over by then.
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
