"""A world with a monitor on `churn`: readings arrive automatically, time runs fast, and v5 performs badly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL, POLICY, RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry

MONITOR = "accuracy-live"
BAD = 5
RULE: dict[str, Any] = {
    "name": MONITOR,
    "source": "live",
    "query": "accuracy",
    "greater_than": 0.92,
    "every": "10s",
    "fail_after": 2,
    "recover_after": 2,
    "warmup": "0s",
    "cooldown": "0s",
    "min_served": "1s",
    "action": "auto",
}


class AcceleratedClock:
    """A clock that runs ten times as fast, and can be advanced."""

    def __init__(self, times: float = 10.0) -> None:
        self._times, self._ahead = times, timedelta(0)
        self._began, self._at = time.monotonic(), datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self._at + timedelta(seconds=self._times * (time.monotonic() - self._began)) + self._ahead

    def advance(self, **span: float) -> None:
        """Advance the clock."""
        self._ahead += timedelta(**span)


class MetricPusher:
    """Pushes the metrics of the version in Production until the block ends."""

    def __init__(self, app: RunningApp, clock: AcceleratedClock) -> None:
        self._world, self._clock = app, clock
        self.bad_versions = {BAD}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="life", daemon=True)

    def __enter__(self) -> MetricPusher:
        """Start pushing."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop pushing."""
        self._ended.set()
        self._thread.join()

    def fill(self, since: timedelta, every: timedelta = timedelta(minutes=30)) -> None:
        """Push past readings, too."""
        now = self._clock.now()
        self._push([now - every * n for n in range(1, since // every)])

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            self._push([self._clock.now()])

    def _push(self, times: list[datetime]) -> None:
        for version in self._world.production():
            about = 0.87 if version in self.bad_versions else 0.952
            readings = [
                PushedReading(
                    source="live",
                    model="churn",
                    version=version,
                    metric="accuracy",
                    at=at,
                    received_at=at,
                    value=about + 0.001 * (at.minute * 7 % 11 - 5),
                    client="life",
                )
                for at in times
            ]
            with self._world.ledger.write() as tx:
                tx.add_readings(readings)


def monitored_policy(**rule: Any) -> Policy:
    """Return the tests' policy with a monitor for `churn`."""
    churn = {**POLICY["models"]["*"], "monitors": [RULE | rule]}
    return make_policy({"sources": {"live": {"type": "push"}}, "models": POLICY["models"] | {"churn": churn}})


@contextmanager
def monitored_app(
    slack: Remote, home: Path, **rule: Any
) -> Iterator[tuple[RunningApp, AcceleratedClock, MetricPusher]]:
    """Run the complete bot with five versions of `churn`, v3 in Production, and a monitor."""
    registry, clock = MemoryRegistry(), AcceleratedClock()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    with running_app(slack, home, registry, policy=monitored_policy(**rule), clock=clock) as app:
        app.registrar.poll_registry()
        with MetricPusher(app, clock) as life:
            yield app, clock, life


def promote(app: RunningApp, version: int, reason: str) -> None:
    """Let Alice request and Bob approve."""
    app.alice.types(CHANNEL, f'/model promote churn {version} production --reason "{reason}"')
    assert app.bob.clicks(app.card(holds=f"Promote churn v{version}"), "Approve").acked
    app.card(holds=f"v{version} is in Production")
