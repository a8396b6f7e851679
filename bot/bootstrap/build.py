"""Wire up the application: the only module that names every concrete class."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import cast

from bot.anchor_file import LocalAnchorFile
from bot.bootstrap.slack import LazyDirectory, fetch_home_team_id, slack_client, slack_directory, slack_notifier
from bot.bootstrap.storage import open_dispatcher, open_ledger, open_registry
from bot.domain.commands.base import Command
from bot.domain.commands.changes import Archive, Describe, Register, Rollback, SetTags
from bot.domain.commands.requests import Promote
from bot.domain.policy.policy import Policy
from bot.policy_file import LocalPolicyFile
from bot.ports import (
    NO_DIRECTORY,
    NO_OBSERVER,
    Clock,
    Directory,
    Ledger,
    ModelRegistry,
    Notifier,
    Observer,
    OpenRegistry,
    UnsetSetting,
)
from bot.process_identity import new_process_name
from bot.registrar import NullOutbox, Registrar
from bot.services.audit.anchoring import Anchoring
from bot.services.audit.pages import AuditQueries
from bot.services.core.access import AccessControl
from bot.services.core.admins import AdminAlerts
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import CommandHandler
from bot.services.core.context import ActivePolicy, Context
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.core.outbox import Outbox
from bot.services.core.outbox_messages import tell_requester_of_refused_card
from bot.services.home.home import Homes
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import PolicyMonitors
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.policy.freezes import Freezes
from bot.services.policy.queries import PolicyQueries
from bot.services.policy.reload import PolicyReloader
from bot.services.promotions.expiry_and_reminders import RequestUpkeep
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.opening import RequestOpening
from bot.services.promotions.outcomes import RequestDecisions
from bot.services.promotions.queries import RequestQueries
from bot.services.promotions.reviews import Reviews
from bot.services.promotions.voting import Requests
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.edits import RegistryEdits
from bot.services.registry.queries import RegistryQueries
from bot.services.registry.registration import Registration
from bot.services.rollbacks.history import ProductionHistory
from bot.services.rollbacks.history_import import HistoryImporter
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.completion import Completion
from bot.services.transitions.drift import DriftDetector
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.preconditions import Preconditions
from bot.services.transitions.registry_tags import TagWriter
from bot.services.transitions.restores import Restores
from bot.services.transitions.serving_checks import (
    EVENT_CONCURRENCY,
    EVENT_MAX_AGE,
    ServingChecks,
    record_undelivered_event,
)
from bot.serving_probe import HttpServingProbes
from bot.settings import Settings
from bot.sources import RegistryWithTracker, SourceDependencies
from bot.sources.plugins import MetricSources
from bot.webhook_sender import WebhookNotifier

QUERY_THREADS = 8  # queries can wait for a thread; decisions can't


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


def build_registrar(  # noqa: PLR0913 - the composition root
    settings: Settings,
    active_policy: ActivePolicy,
    *,
    ledger: Ledger,
    registry: OpenRegistry,
    notifier: Notifier | None,
    directory: Directory,
    clock: Clock | None = None,
    policy_file: LocalPolicyFile | None = None,
    observer: Observer = NO_OBSERVER,
    admins: AdminAlerts | None = None,
) -> Registrar:
    """Return the services over these adapters. Without a notifier, another process delivers the messages."""
    context = Context(
        ledger=ledger,
        registry=registry.registry,
        tracker=registry.tracker,
        links=registry.links,
        active_policy=active_policy,
        clock=clock or SystemClock(),
        owner=new_process_name(),
        observer=observer,
        directory=directory,
    )
    access, queries = AccessControl(context), RegistryQueries(context)
    gate_checks, decisions = GateChecks(context, queries), RequestDecisions(context)
    requests, edits = Requests(context, decisions), RegistryEdits(context, queries, access)
    opening = RequestOpening(context, queries, gate_checks, decisions)
    loadability, sources = LoadabilityChecks(context), open_sources(active_policy, ledger, registry)
    rollbacks = Rollbacks(context, queries, access, loadability, requests)
    incidents = Incidents(context, rollbacks, loadability)
    monitoring = MonitorScheduler(context, sources, incidents)
    command_queue = CommandQueue(context, command_handlers(context, opening, edits, rollbacks))
    completion = Completion(context)
    executor = TransitionExecutor(context, Preconditions(context, gate_checks, loadability), completion)
    restores = Restores(context, LocalAnchorFile(), access, completion, command_queue, requests)
    context.startup_check.require(restores.check)
    registrar = Registrar(
        context=context,
        access_control=access,
        registry_queries=queries,
        request_queries=RequestQueries(context),
        policy_queries=PolicyQueries(context),
        audit_queries=AuditQueries(context),
        history=ProductionHistory(context, queries),
        gate_checks=gate_checks,
        homes=Homes(context),
        comparisons=Comparisons(context, queries),
        command_queue=command_queue,
        requests=requests,
        request_upkeep=RequestUpkeep(context, decisions),
        reviews=Reviews(context),
        rollbacks=rollbacks,
        history_import=HistoryImporter(context, queries, access),
        edits=edits,
        freezes=Freezes(context, access),
        anchoring=Anchoring(context, LocalAnchorFile()),
        policy_reloader=PolicyReloader(context, policy_file, directory) if policy_file else None,
        monitors=Monitors(context, access, Backtester(context, sources).backtest),
        monitoring=monitoring,
        incidents=incidents,
        policy_monitors=PolicyMonitors(context),
        sources=sources,
        transition_executor=executor,
        restores=restores,
        tag_writer=TagWriter(context),
        drift_detector=DriftDetector(context),
        outbox=Outbox(
            context,
            notifier,
            min_interval=timedelta(seconds=settings.slack_pace),
            on_give_up=tell_requester_of_refused_card,
        )
        if notifier
        else NullOutbox(),
        endpoint_outboxes=EndpointOutboxes(
            context,
            WebhookNotifier(lambda: active_policy.policy),
            concurrency=EVENT_CONCURRENCY,
            max_age=EVENT_MAX_AGE,
            on_give_up=record_undelivered_event,
        ),
        serving_checks=ServingChecks(context, HttpServingProbes()),
        directory=directory,
        admins=admins or AdminAlerts(ledger, lambda: active_policy.policy, directory),
        worker_pool=ThreadPoolExecutor(settings.threads, thread_name_prefix="work"),
        query_pool=ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="look"),
    )
    monitoring.set_callbacks(registrar.execute_transitions, registrar.schedule_delivery)
    return registrar


def open_sources(active_policy: ActivePolicy, ledger: Ledger, registry: OpenRegistry) -> MetricSources:
    """Return the metric sources of the policy in force."""
    return MetricSources(
        lambda: active_policy.policy,
        SourceDependencies(
            ledger=ledger,
            registry=cast("ModelRegistry", RegistryWithTracker(registry.registry, registry.tracker)),
            tracker=registry.tracker,
            environ=os.environ,
        ),
    )


def command_handlers(
    context: Context, opening: RequestOpening, edits: RegistryEdits, rollbacks: Rollbacks
) -> dict[type[Command], CommandHandler]:
    """Return the handler of each command."""
    return {
        Promote: opening.execute,
        Register: Registration(context).execute,
        Describe: edits.set_description,
        SetTags: edits.set_tags,
        Archive: edits.archive,
        Rollback: rollbacks.roll_back,
    }


def build_for_slack(
    settings: Settings,
    policy: Policy,
    *,
    clock: Clock | None = None,
    observer: Observer = NO_OBSERVER,
    warn: Callable[[UnsetSetting], object] = bool,
) -> Registrar:
    """Return the services for the Slack app, as configured. Raises Misconfigured and SlackUnreachable.

    `warn` is called now if a setting of the registry should be set.
    """
    with ExitStack() as begun:
        ledger = open_ledger(settings, observer, exclusive=True)
        begun.callback(ledger.close)
        registry = open_registry(settings, observer)
        if registry.unset:
            warn(registry.unset)
        client, rules = slack_client(settings, observer=observer), ActivePolicy(policy)
        directory = slack_directory(settings, fetch_home_team_id(client), rules, observer)
        admins = AdminAlerts(ledger, lambda: rules.policy, directory)
        registrar = build_registrar(
            settings,
            rules,
            ledger=ledger,
            registry=registry,
            notifier=slack_notifier(client, ledger, rules, directory, admins, clock or SystemClock()),
            directory=directory,
            clock=clock,
            policy_file=LocalPolicyFile(settings.policy),
            observer=observer,
            admins=admins,
        )
        if not ledger.is_file:
            registrar.monitoring.use_dispatcher(open_dispatcher(settings))
        begun.pop_all()
    return registrar


def build_for_terminal(
    settings: Settings, policy: Policy, ledger: Ledger, *, warn: Callable[[UnsetSetting], object]
) -> Registrar:
    """Return the services for a terminal over a ledger, or without one for commands that only read the registry.

    The bot delivers messages to Slack. Without a token, it also executes transitions whose approvers have to be checked
    again. `warn` is called once for an unset MLFLOW_TRACKING_URI, when MLflow is first used.
    """
    rules = ActivePolicy(policy)
    directory = LazyDirectory(settings, rules) if settings.slack_bot_token else NO_DIRECTORY
    registry = open_registry(settings, warn=warn)
    return build_registrar(settings, rules, ledger=ledger, registry=registry, notifier=None, directory=directory)
