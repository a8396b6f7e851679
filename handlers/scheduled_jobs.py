"""Scheduled jobs. Each one calls a service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_SUBMITTED,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler

from bot.ports import DueWork
from bot.registrar import Registrar
from bot.settings import Settings

log = logging.getLogger(__name__)

CLOCK_CHECK_SECONDS = 5.0  # seconds between checks for a clock that was set back
PULSE_SECONDS = 0.5  # seconds between checks for due work
IDLE_SECONDS = 15.0  # seconds between two runs of a job without due work; some also do what isn't in the ledger
DIGEST_STOP_SECONDS = 5.0  # seconds to wait for a store that doesn't respond
LONG_RUN_SECONDS = 60.0  # seconds after which a running job is logged


class JobScheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler's scheduler, plus a check for a clock that was set back.

    Without the check, setting the clock back an hour would stop the jobs for an hour.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._stopping = threading.Event()
        self._stop_lock = threading.Lock()

    def start(self, paused: bool = False) -> None:
        """Start the scheduler."""
        self._last_job_ended = time.monotonic()
        self.add_listener(self._record_job_end, EVENT_JOB_EXECUTED)
        self.add_listener(
            LongRunLogger(), EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR
        )
        logging.getLogger("apscheduler.scheduler").addFilter(_is_not_skip_message)  # added only once, even if repeated
        super().start(paused)
        threading.Thread(target=self._watch_clock, name="clock watch", daemon=True).start()

    def shutdown(self, wait: bool = True) -> None:
        """Stop the scheduler; with `wait`, only after the running jobs end."""
        with self._stop_lock:
            self._stopping.set()
        super().shutdown(wait)

    def run_now(self, job_id: str) -> None:
        """Make a job run next, unless the scheduler is stopping.

        Jobs can call this. While APScheduler stops, it holds its lock until the running jobs end, so a job that waited
        for that lock then would cause a deadlock.
        """
        with self._stop_lock:
            if not self._stopping.is_set():
                self.modify_job(job_id, next_run_time=datetime.now(UTC))

    def seconds_since_last_job(self) -> float:
        """Return the seconds since a job last finished."""
        return time.monotonic() - self._last_job_ended

    def _record_job_end(self, event: object) -> None:
        self._last_job_ended = time.monotonic()

    def _watch_clock(self) -> None:
        while not self._stopping.wait(CLOCK_CHECK_SECONDS):  # uses the monotonic clock, which can't be set
            reschedule_after_clock_change(self, datetime.now(UTC))


class OutboxThread:
    """A thread that delivers messages to Slack: new ones within a second, postponed ones as soon as they're due."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tell Slack", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current delivery."""
        self._stopping.set()
        self._registrar.outbox.wake()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._registrar.run_logged(self._registrar.outbox.deliver)
            self._registrar.outbox.wait_until_due(IDLE_SECONDS)


class DigestThread:
    """A thread that hashes versions' files. It isn't a scheduled job, because large files take hours."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._stopping = threading.Event()
        self._is_due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hash files", daemon=True)

    def wake(self) -> None:
        """Start hashing what's due."""
        self._is_due.set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, even in the middle of a file, which the next start rereads. Don't wait long for a hung store."""
        self._stopping.set()
        self._is_due.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=DIGEST_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._is_due.wait(IDLE_SECONDS)
            self._is_due.clear()
            if not self._stopping.is_set():
                self._registrar.run_logged(lambda: self._registrar.digests.run_due(self._stopping))


class WorkPulse:
    """Runs the jobs whose work is due. One query covers all jobs, because one for each would take longer when idle.

    `jobs` maps each kind of work to a job's ID and the minimum seconds between two of its runs.
    """

    def __init__(
        self, registrar: Registrar, scheduler: JobScheduler, jobs: Mapping[DueWork, tuple[str, float]]
    ) -> None:
        self._registrar = registrar
        self._scheduler = scheduler
        self._jobs = jobs
        self._last_runs = dict.fromkeys(jobs, -inf)

    def run_due(self) -> None:
        """Run the due jobs now, each on its own thread. Raises LedgerUnavailable."""
        now = time.monotonic()
        for kind in self._registrar.due_work():
            job_id, seconds = self._jobs[kind]
            if now - self._last_runs[kind] >= seconds - PULSE_SECONDS / 2:
                self._last_runs[kind] = now
                self._scheduler.run_now(job_id)


class LongRunLogger:
    """Logs once when a job has been running for a long time. Skipped runs aren't logged: the next one is due anyway.

    `monotonic`: the clock that times the runs, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started: dict[str, float] = {}  # by job, until it ends or is logged as long-running

    def __call__(self, event: JobEvent) -> None:
        """Handle an APScheduler event: a job was submitted, was skipped, or ended."""
        if event.code == EVENT_JOB_SUBMITTED:
            self._started[event.job_id] = self._monotonic()
        elif event.code != EVENT_JOB_MAX_INSTANCES:
            self._started.pop(event.job_id, None)
        elif self._monotonic() - self._started.get(event.job_id, inf) >= LONG_RUN_SECONDS:
            seconds = self._monotonic() - self._started.pop(event.job_id)
            log.warning(
                "the job %s has been running for %.0f s; its next run starts when this one ends", event.job_id, seconds
            )


def _is_not_skip_message(record: logging.LogRecord) -> bool:
    """Return False for APScheduler's notice that it skipped a run because the previous one is still running.

    On a busy machine, APScheduler logs this every half second.
    """
    return "maximum number of running instances" not in str(record.msg)


def reschedule_after_clock_change(scheduler: BaseScheduler, now: datetime) -> list[str]:
    """Immediately run the jobs whose next run is further away than their interval. Return their names."""
    slack = timedelta(seconds=CLOCK_CHECK_SECONDS)
    jobs = [
        job
        for job in scheduler.get_jobs()
        if (due := getattr(job, "next_run_time", None)) and due - now > job.trigger.interval + slack
    ]
    for job in jobs:
        job.modify(next_run_time=now)
    if jobs:
        log.warning("the clock was set back; running %s jobs now", len(jobs))
    return [str(job.name) for job in jobs]


def build_scheduler(
    registrar: Registrar, settings: Settings, wake_digests: Callable[[], object] = lambda: None
) -> JobScheduler:
    """Return an unstarted scheduler with the jobs. They're idempotent, and none is stored.

    A job with a kind of work runs when `Registrar.due_work` includes that kind, at most once per interval; otherwise,
    it runs only every IDLE_SECONDS. `wake_digests` wakes the thread that hashes files.
    """
    jobs: list[tuple[str, Callable[[], object], float]] = [
        ("reminders", registrar.send_reminders, 15),
        ("policy file", registrar.reload_policy, 1),
        ("anchor", registrar.anchor_audit, 15),
        ("audit stream", registrar.stream_audit, 2),
        ("passports", registrar.passports.issue_due, 60),
        ("files in Production", registrar.digests.schedule, 600),  # it reads the state of every model
        ("monitors of the file", registrar.policy_monitors.sync, 15),
        ("sweeping", registrar.delete_old_measurements, 3600),
        ("registry poll", registrar.poll_registry, settings.poll_interval.total_seconds()),
    ]
    jobs_for_work: list[tuple[DueWork, str, Callable[[], object], float]] = [
        (DueWork.MESSAGES, "messages", registrar.outbox.wake, 1),
        (DueWork.EVENTS, "events", registrar.endpoint_outboxes.deliver, 1),
        (DueWork.SERVING_CHECKS, "serving", registrar.serving_checks.run_due, 1),
        (DueWork.RECOVERY, "recovery", registrar.recover, 2),
        (DueWork.EXPIRY, "expiry", registrar.expire_requests, 2),
        (DueWork.TAGS, "tags", registrar.tag_writer.write_due, 2),
        (DueWork.DIGESTS, "hashing", wake_digests, 1),
        (DueWork.MONITORS, "monitors", registrar.monitoring.tick, 0.5),
        (DueWork.INCIDENTS, "incidents", registrar.end_and_remind_incidents, 2),
    ]
    for _, name, task, _ in jobs_for_work:
        jobs.append((name, task, IDLE_SECONDS))
    scheduler = JobScheduler(
        timezone=UTC,
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        executors={"default": ThreadPoolExecutor(len(jobs) + 1)},  # a job that hangs never delays another
    )
    pulse = WorkPulse(registrar, scheduler, {kind: (name, seconds) for kind, name, _, seconds in jobs_for_work})
    for name, task, seconds in [*jobs, ("due work", pulse.run_due, PULSE_SECONDS)]:
        scheduler.add_job(registrar.run_logged, "interval", args=[task], id=name, name=name, seconds=seconds)
    return scheduler
