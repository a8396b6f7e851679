"""Count the files and functions in bot/ and handlers/ that run during a journey: `python -m scripts.journey_trace`.

A journey is a promotion (typed, approved, executed) or a monitor's check that ends in a rollback. Code that only
background jobs run isn't counted, because the scheduler's jobs are removed. `--files` lists each journey's files.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from bot.domain.registry.model import Stage
from handlers import scheduled_jobs
from localslack import LocalSlack
from tests.journeys.monitoring import test_automatic_rollback as rollbacks
from tests.support.app.app_fixture import CHANNEL, MANIFEST, POLICY, AdjustableClock, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

ROOT = f"{Path(__file__).parents[1]}/"
SETTLE_SECONDS = 1.5  # for work that continues after the last visible effect


@dataclass
class Trace:
    """The calls to production code on all threads during a recording."""

    is_recording: bool = False
    calls: list[tuple[str | None, str, str]] = field(default_factory=list)  # from file, file, function

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Record a call to production code, with the production file that it came from."""
        if event != "call" or not self.is_recording:
            return
        file = _production_file(frame)
        if file is None:
            return
        back = frame.f_back
        while back is not None and _production_file(back) is None:
            back = back.f_back
        self.calls.append((back and _production_file(back), file, frame.f_code.co_name))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record calls during the block and shortly afterward."""
        self.is_recording = True
        yield
        time.sleep(SETTLE_SECONDS)
        self.is_recording = False

    @property
    def files(self) -> set[str]:
        """The files whose code ran."""
        return {file for _, file, _ in self.calls}

    @property
    def functions(self) -> set[tuple[str, str]]:
        """The functions that ran, by file and name."""
        return {(file, name) for _, file, name in self.calls}

    @property
    def crossings(self) -> int:
        """The number of calls from one file to another."""
        return collections.Counter(source != file for source, file, _ in self.calls)[True]


def _production_file(frame: FrameType) -> str | None:
    below = frame.f_code.co_filename.removeprefix(ROOT)
    return below if below.startswith(("bot/", "handlers/")) else None


def promote(trace: Trace, slack: LocalSlack, folder: Path) -> None:
    """Promote a version: Alice requests it, Bob approves it, and it reaches Production."""
    with running_app(slack, folder, MemoryRegistry()) as app:
        app.alice.types(CHANNEL, "/model help")
        time.sleep(1)
        with trace.recording():
            app.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
            card = app.card()
        with trace.recording():
            app.bob.clicks(card, "Approve")
            slack.wait_for(lambda: app.production() == [4] or None)


def roll_back(trace: Trace, slack: LocalSlack, folder: Path) -> None:
    """Run a monitor's check on a bad version in Production, which triggers a rollback to the previous version."""
    os.environ["REGISTRAR_CLIENT_SERVE"] = rollbacks.TOKEN
    clock, registry = AdjustableClock(), MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    policy = make_policy(
        {
            "models": {"*": POLICY["models"]["*"] | {"monitors": [rollbacks.MONITOR | {"every": "25s"}]}},
            "sources": {"live": {"type": "push"}},
            "clients": {"serve": {"token_env": "REGISTRAR_CLIENT_SERVE", "may": ["push"]}},
        }
    )
    with running_app(slack, folder, registry, policy=policy, clock=clock) as app:
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
        app.bob.clicks(app.card(), "Approve")
        slack.wait_for(lambda: app.production() == [4] or None)
        app.registrar.monitoring.tick()  # the first check finds no reading
        rollbacks.push(app, 0.42)
        clock.advance(timedelta(seconds=25))
        with trace.recording():
            app.registrar.monitoring.tick()
            wait_until(lambda: app.production() == [3])


JOURNEYS = {"promotion": promote, "rollback": roll_back}


def without_jobs(build: Any) -> Any:
    """Wrap a function that builds the scheduler so that it has no jobs and only the journey's own calls count."""

    def quiet(*arguments: Any) -> Any:
        scheduler = build(*arguments)
        for job in list(scheduler.get_jobs()):
            scheduler.remove_job(job.id)
        return scheduler

    return quiet


def measure(journey: str) -> Trace:
    """Return the trace of one journey in a local workspace."""
    trace = Trace()
    threading.setprofile(trace)
    with tempfile.TemporaryDirectory() as folder, LocalSlack.start(MANIFEST) as slack:
        JOURNEYS[journey](trace, slack, Path(folder))
    threading.setprofile(None)  # type: ignore[arg-type]  # the stubs don't know that None stops it
    return trace


def main() -> None:
    """Print the counts of each journey."""
    parser = argparse.ArgumentParser(prog="journey_trace")
    parser.add_argument("--files", action="store_true", help="list the files")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    scheduled_jobs.build_scheduler = without_jobs(scheduled_jobs.build_scheduler)
    for journey in JOURNEYS:
        trace = measure(journey)
        print(
            f"{journey}: {len(trace.files)} files, {len(trace.functions)} functions, {len(trace.calls)} calls, "
            f"{trace.crossings} between files"
        )
        if options.files:
            by_file = collections.Counter(file for file, _ in trace.functions)
            print(*(f"  {count:3} {file}" for file, count in sorted(by_file.items())), sep="\n")


if __name__ == "__main__":
    main()
