"""A registry that's slow or down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, running_app
from tests.support.registry.memory import MemoryRegistry

VOTE_STANDS = "Your vote is recorded"


class SlowRegistry(MemoryRegistry):
    """A registry that doesn't answer while it's `tired`, until it's `rested`."""

    def __init__(self) -> None:
        self.waiting = Semaphore(0)
        self.rested = Event()
        self.rested.set()
        super().__init__(sleep=lambda _: self._rest())
        self.delay = 2.0

    def tires(self) -> None:
        """Stop answering."""
        self.waiting = Semaphore(0)
        self.rested.clear()

    def wakes(self, after: int) -> None:
        """Answer again once this many calls are waiting."""
        for _ in range(after):
            assert self.waiting.acquire(timeout=10)
        self.rested.set()

    def _rest(self) -> None:
        self.waiting.release()
        self.rested.wait(30)


@pytest.fixture
def registry() -> Iterator[SlowRegistry]:
    """A registry that a test can make slow or take down."""
    registry = SlowRegistry()
    yield registry
    registry.rested.set()


@pytest.fixture
def clock() -> AdjustableClock:
    """The clock of the bot."""
    return AdjustableClock()


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, registry: SlowRegistry, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The complete bot with that registry."""
    with running_app(slack, tmp_path, registry, http=True, clock=clock) as app:
        yield app
        registry.is_down = False
        registry.rested.set()


def asks(app: RunningApp, text: str = "promote churn 4 production") -> None:
    """Let Alice request a promotion."""
    assert app.alice.types(CHANNEL, f"/model {text}").acked
