"""Scheduled jobs: anchors, clock changes, missed runs, and long runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler

from bot.domain.audit.anchors import parse_anchors
from bot.domain.audit.events import EventTag
from bot.domain.monitoring.readings import PushedReading
from bot.domain.registry.model import Stage
from bot.ports import DueWork
from bot.registrar import Registrar
from handlers import scheduled_jobs
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text, running_app, settings_for
from tests.support.network.http_receiver import run_receiver
from tests.support.registry.memory import MemoryFiles, MemoryRegistry
from tests.support.services.fakes import ManualClock
from tests.support.waiting import PATIENCE, wait_until


def test_the_head_is_anchored_in_the_file_and_the_channel(slack: LocalSlack, tmp_path: Path) -> None:
    file = tmp_path / "anchor.jsonl"
    policy = make_policy({"anchor": {"file": str(file), "channel": CHANNEL}})
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.card()
        [job] = [
            job
            for job in scheduled_jobs.build_scheduler(app.registrar, settings_for(slack, tmp_path)).get_jobs()
            if job.name == "anchor"
        ]
        job.func(*job.args)
        [anchor] = parse_anchors(file.read_text(), "it")
        app.alice.waits_for(CHANNEL, lambda message: f"its hash is `{anchor.hash}`" in message_text(message))
        assert job.trigger.interval.total_seconds() == 15


def test_the_audit_log_is_streamed_to_the_policys_endpoint(slack: LocalSlack, tmp_path: Path) -> None:
    with run_receiver() as siem:
        policy = make_policy({"audit": {"stream": siem.url}})
        with running_app(slack, tmp_path, MemoryRegistry(), policy=policy) as app:
            app.alice.types(CHANNEL, "/model promote churn 4 production")
            app.card()
            scheduled = scheduled_jobs.build_scheduler(app.registrar, settings_for(slack, tmp_path)).get_jobs()
            [job] = [job for job in scheduled if job.name == "audit stream"]
            job.func(*job.args)
            assert siem.is_asked.wait(10)
        assert b'"tag": "person:promotion:asked"' in siem.got[0].body


def test_a_version_in_production_is_hashed_in_the_background(slack: LocalSlack, tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry.add_model("hashed", versions=[Stage.PRODUCTION])
    with running_app(slack, tmp_path, registry) as app:
        schedule_hashing(app)
        assert wait_until(lambda: EventTag.FILES_RECORDED.value in app.audit())


def schedule_hashing(app: RunningApp) -> None:
    """Do what the jobs do every few minutes."""
    app.registrar.poll_registry()
    app.registrar.digests.schedule()


class EndlessFiles(MemoryFiles):
    """Files that are being downloaded until the reader gives up."""

    begun = threading.Event()
    given_up = threading.Event()

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield empty pieces."""
        self.begun.set()
        try:
            while True:
                yield b""
        finally:
            self.given_up.set()


def test_a_stop_ends_a_download(slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = MemoryRegistry()
    registry.add_model("hashed", versions=[Stage.PRODUCTION])
    monkeypatch.setattr(registry, "version_files", lambda _: EndlessFiles({"model.pkl": b"x"}))
    with running_app(slack, tmp_path, registry) as app:
        schedule_hashing(app)
        assert EndlessFiles.begun.wait(PATIENCE)
    assert EndlessFiles.given_up.is_set()


def test_setting_the_clock_back_does_not_stop_jobs() -> None:
    scheduler = BackgroundScheduler(timezone=UTC)
    now = datetime.now(UTC)
    for name, seconds in (("soon", 2), ("late", 2)):
        scheduler.add_job(print, "interval", name=name, seconds=seconds, next_run_time=now + timedelta(seconds=seconds))
    scheduler.start(paused=True)
    try:
        assert scheduled_jobs.reschedule_after_clock_change(scheduler, now) == []
        assert sorted(scheduled_jobs.reschedule_after_clock_change(scheduler, now - timedelta(hours=1))) == [
            "late",
            "soon",
        ]
        assert {job.next_run_time for job in scheduler.get_jobs()} == {now - timedelta(hours=1)}
    finally:
        scheduler.shutdown(wait=False)


def test_missed_runs_are_made_up_once_and_never_overlap(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        found = scheduled_jobs.build_scheduler(app.registrar, settings_for(slack, tmp_path))
        found.start(paused=True)  # which applies the job defaults
        try:
            kept = {(job.misfire_grace_time, job.coalesce, job.max_instances) for job in found.get_jobs()}
        finally:
            found.shutdown(wait=False)
    assert kept == {(None, True, 1)}


def pushed(at: datetime) -> PushedReading:
    return PushedReading(
        source="live", model="churn", version=4, metric="f1", at=at, value=0.9, received_at=at, client="loop"
    )


def test_pushed_readings_are_kept_for_the_policys_retention(slack: LocalSlack, tmp_path: Path) -> None:
    policy = make_policy({"sources": {"live": {"type": "push", "keep": "2d"}}})
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy) as app:
        now = datetime.now(UTC)
        with app.registrar.context.ledger.write() as tx:
            tx.add_readings([pushed(now - timedelta(days=days)) for days in (3, 1)])
        [job] = [
            one
            for one in scheduled_jobs.build_scheduler(app.registrar, settings_for(slack, tmp_path)).get_jobs()
            if one.name == "sweeping"
        ]
        job.func(*job.args)
        with app.registrar.context.ledger.read() as reading:
            left = reading.readings("live", [("churn", "f1")], since=now - timedelta(days=9), until=now)
        assert [one.at for one in left] == [now - timedelta(days=1)]


# -- due work


class OneKindDue:
    """A Registrar in whose ledger only messages are due."""

    def due_work(self) -> frozenset[DueWork]:
        """Return the kind."""
        return frozenset({DueWork.MESSAGES})


def test_only_the_jobs_whose_work_is_due_run_now() -> None:
    scheduler = scheduled_jobs.JobScheduler(timezone=UTC)
    for name in ("messages", "tags"):
        scheduler.add_job(print, "interval", id=name, seconds=3600)
    scheduler.start(paused=True)
    try:
        pulse = scheduled_jobs.WorkPulse(
            cast("Registrar", OneKindDue()), scheduler, {DueWork.MESSAGES: ("messages", 60), DueWork.TAGS: ("tags", 1)}
        )
        pulse.run_due()
        soon = datetime.now(UTC) + timedelta(minutes=1)
        assert [job.id for job in scheduler.get_jobs() if job.next_run_time < soon] == ["messages"]
        scheduler.reschedule_job("messages", trigger="interval", seconds=3600)
        pulse.run_due()  # too soon after the last run
        assert [job.id for job in scheduler.get_jobs() if job.next_run_time < soon] == []
    finally:
        scheduler.shutdown(wait=False)


def test_jobs_that_hang_do_not_keep_the_others_from_running(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        scheduler = scheduled_jobs.build_scheduler(app.registrar, settings_for(slack, tmp_path))
        jobs = scheduler.get_jobs()
        are_all_running = threading.Barrier(len(jobs) + 1)
        for job in jobs:
            job.modify(func=are_all_running.wait, args=[], next_run_time=datetime.now(UTC))
        scheduler.start()
        try:
            are_all_running.wait(PATIENCE)
            assert not are_all_running.broken
        finally:
            are_all_running.abort()
            scheduler.shutdown()


def test_a_job_that_starts_another_does_not_keep_the_scheduler_from_stopping() -> None:
    scheduler, begun = scheduled_jobs.JobScheduler(timezone=UTC), threading.Event()

    def start_another() -> None:
        begun.set()
        scheduler._stopping.wait(PATIENCE)
        scheduler.run_now("another")

    scheduler.add_job(print, "interval", id="another", seconds=3600)
    scheduler.add_job(start_another, "interval", seconds=3600, next_run_time=datetime.now(UTC))
    scheduler.start()
    assert begun.wait(PATIENCE)
    stopping = threading.Thread(target=scheduler.shutdown, daemon=True)
    stopping.start()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


# -- jobs that take longer than their interval -------------------------------------------------------------------------


class HeldJob:
    """A job that runs until it's released, and signals when it starts."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        self.go_on.wait(20)


def test_skipped_runs_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, held, skipped = scheduled_jobs.JobScheduler(timezone=UTC), HeldJob(), threading.Semaphore(0)
    scheduler.add_job(held, "interval", id="outbox", seconds=0.01, max_instances=1)
    scheduler.add_listener(lambda _: skipped.release(), EVENT_JOB_MAX_INSTANCES)
    scheduler.start()
    try:
        assert held.begun.wait(20)
        assert all(skipped.acquire(timeout=20) for _ in range(5))
    finally:
        held.go_on.set()
        scheduler.shutdown()
    assert caplog.messages == []


def ran(runs: Callable[[JobEvent], None], *codes: int) -> None:
    """Send these events about a job."""
    for code in codes:
        runs(JobEvent(code, "outbox", "default"))


def test_a_long_running_job_is_logged_once_per_run(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    runs = scheduled_jobs.LongRunLogger(clock.monotonic)
    ran(runs, EVENT_JOB_SUBMITTED, EVENT_JOB_MAX_INSTANCES)
    clock.advance(seconds=scheduled_jobs.LONG_RUN_SECONDS - 1)
    ran(runs, EVENT_JOB_MAX_INSTANCES)
    assert caplog.messages == []
    clock.advance(seconds=1)
    ran(runs, *[EVENT_JOB_MAX_INSTANCES] * 3)
    assert caplog.messages == ["the job outbox has been running for 60 s; its next run starts when this one ends"]
    ran(runs, EVENT_JOB_EXECUTED, EVENT_JOB_SUBMITTED, EVENT_JOB_MAX_INSTANCES)
    clock.advance(seconds=scheduled_jobs.LONG_RUN_SECONDS)
    ran(runs, EVENT_JOB_MAX_INSTANCES)
    assert len(caplog.messages) == 2
