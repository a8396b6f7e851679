"""A record of which of our functions ran, in order, on all threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from tests.support.paths import ROOT

TRACED = tuple(f"{ROOT}/{name}" for name in ("bot/", "handlers/", "tests/support/registry/memory.py"))


class CallTrace:
    """The calls of functions in bot/, handlers/, and the in-memory registry, as `module.Class.function`.

    It's a profile function, because `sys.monitoring` isn't in the oldest Python that we support.
    """

    def __init__(self) -> None:
        self._codes: list[CodeType] = []
        self._has_ended = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Record a call."""
        if self._has_ended:
            sys.setprofile(None)  # a thread that outlives the trace is no longer slow
        elif event == "call" and frame.f_code.co_filename.startswith(TRACED):
            self._codes.append(frame.f_code)

    def end(self) -> None:
        """Stop recording."""
        self._has_ended = True

    def names(self) -> list[str]:
        """Return the qualified names of the called functions, in order."""
        return [_qualified_name(code) for code in self._codes]


def _qualified_name(code: CodeType) -> str:
    path = code.co_filename.removeprefix(f"{ROOT}/").removesuffix(".py").removesuffix("/__init__")
    return f"{path.replace('/', '.')}.{code.co_qualname}"


@contextmanager
def traced_calls() -> Iterator[CallTrace]:
    """Record the calls on this thread, and on threads started within the block."""
    trace = CallTrace()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        yield trace
    finally:
        trace.end()
        sys.setprofile(None)
        threading.setprofile(None)
