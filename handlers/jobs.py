"""What the clock wakes: each job is one line into a service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_SUBMITTED,
    JobEvent,
)
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler

from bot.registrar import Registrar
from bot.settings import Settings

log = logging.getLogger(__name__)

WATCHED_EVERY = 1.0  # seconds between two looks whether the clock was set back
TOLD_EVERY = 1.0  # seconds between two checks for new messages
LONG = 60.0  # seconds after which a job that is still running is worth a line in the log


class Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler's, with somebody who watches the clock: one that is set back by an hour would stop it for an hour."""

    def start(self, paused: bool = False) -> None:
        """Let the clock tick."""
        self._ran = time.monotonic()
        self.add_listener(self._has_run, EVENT_JOB_EXECUTED)
        self.add_listener(Runs(), EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        logging.getLogger("apscheduler.scheduler").addFilter(_is_no_skip)  # once, however often it's added
        super().start(paused)
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="clock watch", daemon=True).start()

    def shutdown(self, wait: bool = True) -> None:
        """Stop, after the jobs that are running."""
        self._ended.set()
        super().shutdown(wait)

    def since_a_job_ran(self) -> float:
        """Return for how many seconds no job has come to its end."""
        return time.monotonic() - self._ran

    def _has_run(self, event: object) -> None:
        self._ran = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(WATCHED_EVERY):  # by the monotonic clock, which nobody sets
            bring_back(self, datetime.now(UTC))


class Telling:
    """Delivers messages to Slack: new ones within a second, postponed ones as soon as they can go."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="tell Slack", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, after the current delivery."""
        self._ended.set()
        self._registrar.outbox.wake()
        if self._thread.ident is not None:
            self._thread.join()

    def _tell(self) -> None:
        while not self._ended.is_set():
            self._registrar.quietly(self._registrar.outbox.deliver)
            self._registrar.outbox.rest(TOLD_EVERY)


class Runs:
    """Logs once that a job has been running for long. A run that is skipped meanwhile is no news: the next one is due.

    `monotonic` is the clock that ages them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: dict[str, float] = {}  # by job, until it has ended or its length was logged

    def __call__(self, event: JobEvent) -> None:
        """Note what APScheduler did with a job: submitted it, skipped it, or saw it end."""
        if event.code == EVENT_JOB_SUBMITTED:
            self._since[event.job_id] = self._monotonic()
        elif event.code != EVENT_JOB_MAX_INSTANCES:
            self._since.pop(event.job_id, None)
        elif self._monotonic() - self._since.get(event.job_id, inf) >= LONG:
            seconds = self._monotonic() - self._since.pop(event.job_id)
            log.warning("the job %s has been running for %.0f s; it starts again when it's done", event.job_id, seconds)


def _is_no_skip(record: logging.LogRecord) -> bool:
    """Tell whether a line of APScheduler's is about anything but a run that it skipped since the last one still runs.

    It logs one for each tick, every half second on a busy machine.
    """
    return "maximum number of running instances" not in str(record.msg)


def bring_back(scheduler: BaseScheduler, now: datetime) -> list[str]:
    """Let jobs run now whose next time is further away than their interval; return their names."""
    late = [job for job in scheduler.get_jobs() if _is_too_far(job, now)]
    for job in late:
        job.modify(next_run_time=now)
    if late:
        log.warning("the clock was set back: %s jobs run now", len(late))
    return [str(job.name) for job in late]


def _is_too_far(job: object, now: datetime) -> bool:
    next_time: datetime | None = getattr(job, "next_run_time", None)
    interval: timedelta = job.trigger.interval  # type: ignore[attr-defined]
    return next_time is not None and next_time - now > interval + timedelta(seconds=WATCHED_EVERY)


def schedule(registrar: Registrar, settings: Settings) -> Scheduler:
    """Return the jobs on a scheduler that is not started yet. They are few, and idempotent; nothing is stored."""
    scheduler = Scheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1})
    jobs: list[tuple[str, Callable[[], object], float]] = [
        ("events", registrar.events.deliver, 1),
        ("serving", registrar.servings.ask, 1),
        ("recovery", registrar.recover, 2),
        ("expiry", registrar.expire, 2),
        ("reminders", registrar.remind, 15),
        ("policy file", registrar.take_up_policy, 1),
        ("anchor", registrar.anchor, 15),
        ("tags", registrar.mirror.write, 2),
        ("monitors", registrar.monitoring.tick, 0.5),
        ("incidents", registrar.tend, 2),
        ("monitors of the file", registrar.file_monitors.sync, 15),
        ("sweeping", registrar.sweep, 3600),
        ("registry poll", registrar.poll, settings.poll.total_seconds()),
    ]
    for name, task, seconds in jobs:
        scheduler.add_job(registrar.quietly, "interval", args=[task], id=name, name=name, seconds=seconds)
    return scheduler
