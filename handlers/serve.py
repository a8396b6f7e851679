"""`registrar run` and `registrar worker`: Socket Mode, HTTP, jobs, and a graceful shutdown."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from queue import Empty, SimpleQueue

from fastapi import FastAPI
from slack_bolt import App
from slack_sdk.errors import SlackApiError

from bot.bootstrap.build import build_for_slack
from bot.bootstrap.slack import slack_client
from bot.bootstrap.storage import has_plugins
from bot.domain.policy.pending_edit import describe_pending_edit
from bot.domain.policy.policy import Policy, unsigned_endpoints
from bot.domain.promotions.approvers import unmeetable_rules
from bot.malloc import limit_malloc
from bot.metrics.recorder import PrometheusMetrics
from bot.ports import UnsetSetting
from bot.registrar import Registrar
from bot.registry.light_import import leave_out_data_libraries
from bot.settings import Settings
from bot.slack.core.client import CONNECTION_ERRORS
from handlers import logs, mcp, scheduled_jobs
from handlers.api.calls import ApiServices
from handlers.manifest import find_missing_scopes
from handlers.mcp.http import mount_mcp
from handlers.slack import register
from handlers.slack.deferred import RequestDispatcher
from handlers.slack.interactions import SlackInteractions
from handlers.slack.socket_mode import SocketModeConnection
from handlers.terminal.session import TerminalSession
from handlers.web import app as web_app
from handlers.web.readiness import Component, NotHealthy, Readiness, ledger_component, registry_component
from handlers.web.server import allot_descriptors, build_server

log = logging.getLogger(__name__)

SWITCH_INTERVAL = (
    0.0005  # seconds until a busy thread yields to one that acknowledges; Python's default is ten times that
)
SHUTDOWN_SECONDS = 25.0  # seconds for shutdown; unfinished work stays in the ledger for the next process
MAX_JOB_PAUSE = 15.0  # seconds without a finished job after which the scheduler counts as stuck


def serve(
    settings: Settings,
    policy: Policy,
    listener: socket.socket,
    print_line: Callable[[str], None],
    *,
    is_worker: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish work in progress. `print_line` prints a line for people.

    A worker accepts nothing from Slack; it works on the queue alongside the processes that do. Raises Misconfigured and
    SlackUnreachable before anything is served, and LedgerUpgraded after an upgrade of the ledger has stopped the
    process.
    """
    metrics, unset = PrometheusMetrics(), list[UnsetSetting]()
    helpless, unsigned = ", ".join(unmeetable_rules(policy)), ", ".join(unsigned_endpoints(policy))
    sys.setswitchinterval(SWITCH_INTERVAL)
    limit_malloc()
    if not has_plugins():  # one could use MLflow in this process, too
        leave_out_data_libraries()
    with closing(build_for_slack(settings, policy, observer=metrics, warn=unset.append)) as registrar:
        logs.set_process_name(registrar.context.owner)
        service = Service(settings, registrar, listener, metrics, is_worker=is_worker)
        stop: SimpleQueue[None] = SimpleQueue()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: stop.put(None))
        for each in unset:
            log.warning("%s", each)
        with service:
            notices = [
                *(f"Warning: {each}" for each in unset),
                f"The policy has rules that can't be met: {helpless}." if helpless else "",
                f"Events are sent unsigned to endpoints without a secret_env: {unsigned}." if unsigned else "",
                *registrar.sources.config_errors(),
            ]
            for line in filter(None, notices):
                print_line(line)
            ways = [("Socket Mode", settings.slack_app_token), ("signed HTTP", settings.slack_signing_secret)]
            by = "background work" if is_worker else " and ".join(name for name, is_on in ways if is_on)
            print_line(f"Registrar is ready: {by}, HTTP at {service.address}, policy {settings.policy}.")
            try:
                wait_for_stop(stop, check=registrar.context.ledger.require_same_tables)
                service.stop_accepting()
                print_line("Stopping: finishing work in progress.")
                wait_for_stop(stop, settings.drain_time.total_seconds())
            finally:
                exit_after(SHUTDOWN_SECONDS, getattr(sys.exception(), "exit_code", 0))


def exit_after(seconds: float, code: int = 0) -> None:
    """End the process after `seconds`, even if something hangs. Acknowledged work is always in the ledger."""

    def leave() -> None:
        log.warning("work was still running after %.0f seconds; the next process continues it", seconds)
        os._exit(code)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def wait_for_stop(
    stop: SimpleQueue[None], timeout: float | None = None, check: Callable[[], object] = lambda: None
) -> None:
    """Wait until a signal handler puts something into `stop`, or for `timeout` seconds, if it's set.

    `check` is called twice a second and can raise an error.

    Signal handlers run only on the main thread, which isn't woken if the system delivers the signal to another thread,
    so this polls. `stop` isn't an Event, because a handler that sets an Event can deadlock on the lock that the waiting
    thread holds.
    """
    until = None if timeout is None else time.monotonic() + timeout
    while until is None or time.monotonic() < until:
        with suppress(Empty):
            return stop.get(timeout=0.5 if until is None else max(0.0, min(0.5, until - time.monotonic())))
        check()
    return None


class Service:
    """The HTTP server, Socket Mode, and the scheduler. `with` starts and stops them.

    A worker has the scheduler and the queue of checks; its HTTP server answers health checks, but no calls from Slack,
    MLflow, or API clients. `metrics`: if set, these and the ledger's metrics are served.
    """

    def __init__(
        self,
        settings: Settings,
        registrar: Registrar,
        listener: socket.socket,
        metrics: PrometheusMetrics | None = None,
        *,
        is_worker: bool = False,
    ) -> None:
        self.registrar = registrar
        self._is_worker = is_worker
        self.app, self._interactions = build_bolt_app(settings, registrar)
        self._dispatch = RequestDispatcher(self.app, registrar).dispatch
        self.address = "http://{}:{}".format(*listener.getsockname()[:2])
        self._settings = settings
        self._listener = listener
        context = registrar.context
        parts = [
            ledger_component(context.ledger),
            registry_component(context.registry),
            Component("ticker", self._check_jobs),
        ]
        self.readiness = Readiness(
            parts if is_worker else [*parts, Component("slack", self._check_slack)], warnings=self._policy_warnings
        )
        web = self._build_web(metrics)
        self._server = build_server(web, allot_descriptors(settings), settings.trusted_proxies)
        self._outbox_thread = scheduled_jobs.OutboxThread(registrar)
        self._digest_thread = scheduled_jobs.DigestThread(registrar)
        self._scheduler = scheduled_jobs.build_scheduler(registrar, settings, self._digest_thread.wake)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="http", daemon=True)
        self._socket_mode: SocketModeConnection | None = None
        self._is_started = False

    def _build_web(self, metrics: PrometheusMetrics | None) -> FastAPI:
        context, sources = self.registrar.context, self.registrar.sources
        if metrics:
            metrics.add_ledger_metrics(context.ledger, context.clock)
        signing_secret, webhook_secret = (
            secret.get_secret_value() if secret and not self._is_worker else None
            for secret in (self._settings.slack_signing_secret, self._settings.webhook_secret)
        )
        services = ApiServices(
            ledger=context.ledger,
            policy=lambda: context.policy,
            requires_signature=sources.requires_signature,
            clock=context.clock,
            registrar=self.registrar,
        )
        web = web_app.create_app(
            self._dispatch,
            signing_secret,
            webhook_secret=webhook_secret,
            on_model_changed=self.registrar.schedule_refresh,
            api_services=None if self._is_worker else services,
            readiness=self.readiness,
            metrics=metrics,
        )
        if not self._is_worker and mcp.is_installed():
            mount_mcp(web, TerminalSession(self._settings, self.registrar))
        return web

    def __enter__(self) -> Service:
        """Resume unfinished work, connect, and start the scheduler. Raises Misconfigured and SlackUnreachable."""
        with ExitStack() as begun:
            begun.push(self)
            self.registrar.release_dead_leases()
            if self.registrar.policy_reloader:
                # Before anything is served, because this decides which policy is in effect.
                self.registrar.policy_reloader.load_initial()
            self._thread.start()
            if self._settings.slack_app_token and not self._is_worker:
                token = self._settings.slack_app_token.get_secret_value()
                self._socket_mode = SocketModeConnection(self.app, self._dispatch, token)
                self._socket_mode.open()
            self.registrar.monitoring.start()
            self._scheduler.start()
            self._outbox_thread.start()
            self._digest_thread.start()
            begun.pop_all()
        self._is_started = True
        self.registrar.submit(self.registrar.recover)
        self.registrar.submit(self.registrar.poll_registry)
        self.registrar.submit(self._report_missing_scopes)
        return self

    def _report_missing_scopes(self) -> None:
        """Tell admins which scopes the installed app is missing."""
        try:
            self.registrar.admins.report_missing_scopes(find_missing_scopes(self._interactions.client))
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't check the app's scopes: %s", error)

    def stop_accepting(self) -> None:
        """Stop Socket Mode, so that Slack sends new events elsewhere. HTTP requests are answered until the end."""
        self.readiness.is_stopping = True
        sockets, self._socket_mode = self._socket_mode, None
        if sockets:
            sockets.shut_down()

    def __exit__(self, *_: object) -> None:
        """Accept nothing new, finish work in progress, deliver pending messages, and close."""
        self.stop_accepting()
        self._server.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._digest_thread.stop()
        self._outbox_thread.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        if self._is_started:
            self.registrar.drain()
        self.registrar.close()
        self._interactions.close()
        self._listener.close()

    def _check_slack(self) -> str:
        """Return a sentence that says how Slack connects. Raises NotHealthy if Socket Mode isn't connected."""
        if not self._settings.slack_app_token:
            return "Slack connects over HTTP only."
        if self.readiness.is_stopping:
            return "Socket Mode is closed. Slack sends new events to other processes."
        if self._socket_mode is None or not self._socket_mode.is_connected():
            raise NotHealthy("Socket Mode isn't connected. It reconnects automatically when Slack responds.")
        return "Socket Mode is connected."

    def _policy_warnings(self) -> list[str]:
        """Return warnings that don't affect health: why the policy in effect differs from the file."""
        context = self.registrar.context
        edit = context.active_policy.pending_edit
        return [str(describe_pending_edit(edit, context.active_policy.revision, context.clock.now()))] if edit else []

    def _check_jobs(self) -> str:
        """Return a sentence that says that the scheduler is running. Raises NotHealthy if it isn't, or is stuck."""
        if not self._scheduler.running:
            raise NotHealthy("The scheduler isn't running yet.")
        if (since := self._scheduler.seconds_since_last_job()) > MAX_JOB_PAUSE:
            raise NotHealthy(
                f"No scheduled job has finished for {since:.0f} seconds. The log shows which one is stuck."
            )
        return "The scheduler is running."


def build_bolt_app(settings: Settings, registrar: Registrar) -> tuple[App, SlackInteractions]:
    """Return the Bolt app with every listener, and the object that the listeners share.

    The app acknowledges inline, because a listener returns within milliseconds and queues the rest. Signatures are
    verified before the app is called, and its client uses the configured address.
    """
    app = App(
        logger=logging.getLogger("slack_bolt"),  # otherwise, Bolt uses the root's level and logs bodies at DEBUG
        client=slack_client(settings, observer=registrar.context.observer),
        process_before_response=True,
        request_verification_enabled=False,
        token_verification_enabled=False,
        ssl_check_enabled=bool(settings.slack_signing_secret),  # only sent over HTTP, as are URLs to verify
        url_verification_enabled=bool(settings.slack_signing_secret),
        attaching_function_token_enabled=False,  # for workflow steps, as conversation arguments are for assistants
        attaching_conversation_kwargs_enabled=False,
        listener_executor=registrar.worker_pool,
        raise_error_for_unhandled_request=False,
    )
    return app, register(app, registrar)
