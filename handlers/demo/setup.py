"""Set up the demo: models in a registry, and Registrar on top."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime

from bot.bootstrap.build import build_for_slack
from bot.domain.core.errors import RegistrarError
from bot.domain.monitoring.monitor import Monitor
from bot.domain.registry.model import Stage
from bot.policy_file import load_policy
from bot.registrar import Registrar
from bot.services.monitoring.checks import current_term
from bot.settings import Settings
from handlers.demo import models
from handlers.demo.folder import DemoFolder
from handlers.demo.guide import DemoGuide
from handlers.demo.model_server import ModelServer
from handlers.demo.progress import ProgressReporter
from handlers.serve import Service
from localslack import LocalSlack

MAX_WAIT_SECONDS = 180.0  # seconds for serve.py to start, and for the first reading; a slow disk can take most of it
MAX_CRASHES = 2  # restarts of serve.py after which the demo stops waiting
POLL_SECONDS = 0.1  # seconds


@contextmanager
def run_registrar(
    folder: DemoFolder,
    slack: LocalSlack,
    serving: ModelServer,
    listener: socket.socket,
    progress: ProgressReporter,
    rows: int | None,
) -> Iterator[tuple[Registrar, DemoGuide]]:
    """Run Registrar with the demo's models until the block ends, after registering any that are missing.

    The block begins after the monitor's first reading since this start, or once waiting for it times out. Nothing is
    checked before serve.py can push, because a check without data would count toward an alert. Yields Registrar and the
    guide, which isn't started yet.
    """
    values = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MLFLOW_TRACKING_URI": folder.registry_uri,
        "REGISTRAR_HOME": folder.path,
        "REGISTRAR_POLICY": folder.policy_file,
        "REGISTRAR_PORT": 0,
    }
    settings = Settings.model_validate(values)
    with closing(build_for_slack(settings, load_policy(folder.policy_file))) as registrar:
        if not folder.has_served:
            models.prepare_models(registrar.context.registry, folder, progress, rows)
        serving.start()
        began = registrar.context.clock.now()
        if serving.port is not None:
            progress.begin_step(f"Starting examples/churn/serve.py, which serves {models.MODEL}")
            _wait_until(serving.is_answering, serving)
        service = Service(settings, registrar, listener)
        guide = DemoGuide(service.app, slack, registrar, serving.break_version, folder.broken_file)
        with service:
            slack.wait_until_connected()
            if serving.port is not None and _find_monitor(registrar):
                progress.begin_step(f"Waiting for the first reading of {models.MONITOR}")
                if not _wait_until(lambda: _has_reading(registrar, began), serving):
                    progress.print_line(f"No reading yet. See {folder.log_file} for the output of serve.py.")
            threading.Thread(target=_preload, args=[registrar], name="loading", daemon=True).start()
            yield registrar, guide


def _wait_until(condition: Callable[[], bool], serving: ModelServer) -> bool:
    """Wait until a condition is true, and return whether it is; give up after a while, or if serve.py keeps failing."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    while not (is_so := condition()) and time.monotonic() < end and serving.crash_count < MAX_CRASHES:
        time.sleep(POLL_SECONDS)
    return is_so


def _find_monitor(registrar: Registrar) -> Monitor | None:
    """Return the monitor of the demo's model; None if it was removed from the policy or paused."""
    if all(rule.name != models.MONITOR for rule in registrar.context.policy.rules_for(models.MODEL).monitors):
        return None
    registrar.policy_monitors.sync()
    with registrar.context.ledger.read() as reading:
        monitors = (monitor for monitor in reading.monitors(models.MODEL) if monitor.name == models.MONITOR)
        return next((monitor for monitor in monitors if not monitor.is_paused), None)


def _has_reading(registrar: Registrar, since: datetime) -> bool:
    """Return whether the monitor has a reading of the served version after `since`; run a check once there's data.

    Also returns True if there won't be a reading, because no monitor is active or nothing is in Production.
    """
    monitor = _find_monitor(registrar)
    if monitor is None:
        return True
    with registrar.context.ledger.read() as reading:
        state, term = reading.monitor_state(monitor.id), current_term(reading, models.MODEL)
        if term is None:
            snapshot = reading.registry_snapshot(models.MODEL)
            return snapshot is not None and not snapshot.holders(Stage.PRODUCTION)
        pushed = reading.readings(
            monitor.rule.source,
            [(models.MODEL, monitor.rule.query)],
            since=max(since, term.since),
            until=registrar.context.clock.now(),
        )
    if state.move == term.transition_id and state.newest is not None and state.newest > since:
        return True
    if any(measurement.version == term.version for measurement in pushed):
        with suppress(RegistrarError):  # another thread is checking it right now
            registrar.monitoring.check_now(monitor.id)
    return False


def has_monitors(registrar: Registrar) -> bool:
    """Return whether the policy has a monitor for the demo's model."""
    return bool(registrar.context.policy.rules_for(models.MODEL).monitors)


def _preload(registrar: Registrar) -> None:
    """Load what the first command needs while people read the terminal. On a second start, they type sooner."""
    from bot.slack.monitoring import chart  # noqa: F401 - slow to load, like the one below
    from bot.slack.registry import comparison_chart  # noqa: F401

    with suppress(RegistrarError):
        registrar.context.registry.versions(models.MODEL)
