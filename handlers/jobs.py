"""What the clock wakes: each job is one line into a service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.background import BackgroundScheduler

from bot.bootstrap import Registrar
from bot.settings import Settings


def schedule(registrar: Registrar, settings: Settings) -> BackgroundScheduler:
    """Return the jobs on a scheduler that is not started yet. They are few, and idempotent; nothing is stored."""
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    jobs: list[tuple[str, Callable[[], object], float]] = [
        ("outbox", registrar.outbox.deliver, 1),
        ("events", registrar.events.deliver, 1),
        ("serving", registrar.servings.ask, 1),
        ("recovery", registrar.recover, 2),
        ("expiry", registrar.expire, 2),
        ("reminders", registrar.remind, 15),
        ("policy file", registrar.take_up_policy, 2),
        ("anchor", registrar.anchor, 15),
        ("tags", registrar.mirror.write, 2),
        ("registry poll", registrar.poll, settings.poll.total_seconds()),
    ]
    for name, task, seconds in jobs:
        scheduler.add_job(registrar.quietly, "interval", args=[task], id=name, name=name, seconds=seconds)
    return scheduler
