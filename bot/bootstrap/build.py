"""Wire up the application. Only this module names every concrete class."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from datetime import timedelta
from functools import partial
from typing import cast

from bot.anchor_file import LocalAnchorFile
from bot.bootstrap.slack import LazyDirectory, fetch_home_team_id, slack_client, slack_directory, slack_notifier
from bot.bootstrap.storage import open_dispatcher, open_ledger, open_registry
from bot.domain.policy.policy import Policy
from bot.fair_pool import FairPool
from bot.key_folder import KeyFolder
from bot.policy_file import LocalPolicyFile
from bot.ports import (
    NO_DIRECTORY,
    NO_OBSERVER,
    SYSTEM_CLOCK,
    Clock,
    Directory,
    Dispatcher,
    Ledger,
    ModelRegistry,
    Notifier,
    Observer,
    OpenRegistry,
    UnsetSetting,
)
from bot.process_identity import new_process_name
from bot.registrar import NullOutbox, Registrar, Worker
from bot.services.audit.anchoring import Anchoring
from bot.services.audit.pages import audit_queries
from bot.services.audit.streaming import AuditStream
from bot.services.core.access import AccessControl
from bot.services.core.admins import AdminAlerts
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import CommandDispatcher
from bot.services.core.context import ActivePolicy, Context
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.core.outbox import Outbox
from bot.services.core.outbox_messages import tell_requester_of_refused_card
from bot.services.home.home import Homes
from bot.services.home.statuses import ModelStatuses
from bot.services.integrity.digests import DigestLimits, Digests
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.file_incidents import compare_after_entry, report_comparison
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import PolicyMonitors
from bot.services.monitoring.proposals import MonitorProposals
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.policy.freezes import Freezes
from bot.services.policy.queries import policy_queries
from bot.services.policy.reload import PolicyReloader
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.expiry_and_reminders import RequestUpkeep
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.opening import RequestOpening
from bot.services.promotions.queries import request_queries
from bot.services.promotions.reviews import Reviews
from bot.services.promotions.voting import Requests
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.edits import RegistryEdits
from bot.services.registry.queries import RegistryQueries
from bot.services.registry.registration import Registration
from bot.services.registry.suggestions import Suggestions
from bot.services.rollbacks.history import ProductionHistory
from bot.services.rollbacks.history_import import HistoryImporter
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.completion import Completion
from bot.services.transitions.drift import DriftDetector
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.passports import Passports, issue_waiting
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

LISTENERS_PER_PERSON = 2  # a person does one thing at a time, and each one competes for the ledger
QUERY_THREADS = 8  # queries can wait for a thread; decisions can't


def build_registrar(  # noqa: PLR0913 - the composition root
    settings: Settings,
    active_policy: ActivePolicy,
    *,
    ledger: Ledger,
    registry: OpenRegistry,
    notifier: Notifier | None,
    directory: Directory,
    clock: Clock = SYSTEM_CLOCK,
    policy_file: LocalPolicyFile | None = None,
    observer: Observer = NO_OBSERVER,
    admins: AdminAlerts | None = None,
    dispatcher: Dispatcher | None = None,
) -> Registrar:
    """Return the services built on these adapters. Without a notifier, another process delivers the messages.

    Without a `dispatcher`, this process runs checks on its own threads.
    """
    context = Context(
        ledger=ledger,
        registry=registry.registry,
        tracker=registry.tracker,
        links=registry.links,
        active_policy=active_policy,
        clock=clock,
        owner=new_process_name(),
        observer=observer,
        directory=directory,
        signer=KeyFolder(settings.keys_folder).signer,
        passport_lifetime=settings.passport_lifetime,
    )
    access, queries, decisions = AccessControl(context), RegistryQueries(context), RequestDecisions(context)
    gate_checks, loadability = GateChecks(context, queries), LoadabilityChecks(context)
    completion = Completion(context, on_entry=partial(compare_after_entry, context))
    limits = DigestLimits(rate=settings.digest_rate, max_bytes=settings.digest_max, recheck=settings.digest_recheck)
    digests = Digests(
        context, limits, on_recorded=partial(issue_waiting, context), on_changed=partial(report_comparison, context)
    )
    audit_stream = AuditStream(context)
    worker = Worker(
        context=context,
        outbox=Outbox(
            context,
            notifier,
            min_interval=timedelta(seconds=settings.slack_pace),
            on_give_up=tell_requester_of_refused_card,
        )
        if notifier
        else NullOutbox(),
        transition_executor=TransitionExecutor(
            context, Preconditions(context, gate_checks, loadability, digests.compare_listing), completion
        ),
        tag_writer=TagWriter(context),
        drift_detector=DriftDetector(context),
        request_upkeep=RequestUpkeep(context, decisions),
        listener_pool=FairPool(settings.threads, "listen", LISTENERS_PER_PERSON),
        worker_pool=FairPool(settings.threads, "work"),
        query_pool=FairPool(QUERY_THREADS, "look"),
    )
    requests, reviews, freezes = Requests(context, decisions), Reviews(context, decisions), Freezes(context)
    rollbacks = Rollbacks(context, queries, access, loadability, requests)
    sources, incidents = open_sources(active_policy, ledger, registry), Incidents(context, loadability)
    run_backtest = Backtester(context, sources).backtest
    monitors = Monitors(context, access, run_backtest)
    monitoring = MonitorScheduler(
        context,
        sources,
        incidents,
        dispatcher=dispatcher,
        run_transitions=worker.execute_transitions,
        deliver_messages=worker.schedule_delivery,
    )
    edits, statuses = RegistryEdits(context, queries, access), ModelStatuses(context)
    command_queue = CommandQueue(
        context,
        {
            **RequestOpening(context, queries, gate_checks, decisions).handlers(),
            **Registration(context).handlers(),
            **edits.handlers(),
            **rollbacks.registry_change_handlers(),
        },
    )
    commands = CommandDispatcher(
        access,
        command_queue.submit,
        {
            **queries.handlers(),
            **Comparisons(context, queries).handlers(),
            **gate_checks.handlers(),
            **request_queries(context),
            **ProductionHistory(context, queries).handlers(),
            **policy_queries(context),
            **audit_queries(context),
            **monitors.query_handlers(),
            **statuses.handlers(),
        },
        {
            **requests.handlers(),
            **reviews.handlers(),
            **rollbacks.change_handlers(),
            **freezes.handlers(),
            **monitors.change_handlers(),
            **monitoring.handlers(),
        },
    )
    restores = Restores(context, LocalAnchorFile(), access, completion, command_queue, requests)
    context.startup_check.require(restores.check)
    return Registrar(
        **{field.name: getattr(worker, field.name) for field in fields(worker)},
        access_control=access,
        commands=commands,
        registry_queries=queries,
        suggestions=Suggestions(context, queries),
        homes=Homes(context, statuses),
        command_queue=command_queue,
        request_decisions=decisions,
        reviews=reviews,
        rollbacks=rollbacks,
        history_import=HistoryImporter(context, queries, access),
        edits=edits,
        freezes=freezes,
        anchoring=Anchoring(context, LocalAnchorFile()),
        audit_stream=audit_stream,
        policy_reloader=PolicyReloader(context, policy_file, directory) if policy_file else None,
        monitors=monitors,
        proposals=MonitorProposals(context, access, monitors, run_backtest),
        monitoring=monitoring,
        incidents=incidents,
        policy_monitors=PolicyMonitors(context),
        sources=sources,
        restores=restores,
        passports=Passports(context, settings.status_lifetime),
        endpoint_outboxes=EndpointOutboxes(
            context,
            WebhookNotifier(active_policy.current, audit_stream.read_lines, now=context.clock.now),
            concurrency=EVENT_CONCURRENCY,
            max_age=EVENT_MAX_AGE,
            on_give_up=record_undelivered_event,
        ),
        serving_checks=ServingChecks(context, HttpServingProbes()),
        digests=digests,
        directory=directory,
        admins=admins or AdminAlerts(ledger, active_policy.current, directory),
    )


def open_sources(active_policy: ActivePolicy, ledger: Ledger, registry: OpenRegistry) -> MetricSources:
    """Return the metric sources that the policy in effect defines."""
    return MetricSources(
        active_policy.current,
        SourceDependencies(
            ledger=ledger,
            registry=cast("ModelRegistry", RegistryWithTracker(registry.registry, registry.tracker)),
            tracker=registry.tracker,
            environ=os.environ,
        ),
    )


def build_for_slack(
    settings: Settings,
    policy: Policy,
    *,
    clock: Clock = SYSTEM_CLOCK,
    observer: Observer = NO_OBSERVER,
    warn: Callable[[UnsetSetting], object] = bool,
) -> Registrar:
    """Return the services for the Slack app, as configured. Raises Misconfigured and SlackUnreachable.

    Calls `warn` right away if a registry setting that should be set isn't.
    """
    with ExitStack() as begun:
        ledger = open_ledger(settings, observer, exclusive=True, clock=clock)
        begun.callback(ledger.close)
        registry = open_registry(settings, observer)
        if registry.unset:
            warn(registry.unset)
        client, rules = slack_client(settings, observer=observer), ActivePolicy(policy)
        directory = slack_directory(settings, fetch_home_team_id(client), rules, observer)
        admins = AdminAlerts(ledger, rules.current, directory)
        registrar = build_registrar(
            settings,
            rules,
            ledger=ledger,
            registry=registry,
            notifier=slack_notifier(client, ledger, rules, directory, admins, clock, registry.links),
            directory=directory,
            clock=clock,
            policy_file=LocalPolicyFile(settings.policy),
            observer=observer,
            admins=admins,
            dispatcher=None if ledger.is_file else open_dispatcher(settings),
        )
        begun.pop_all()
    return registrar


def build_for_terminal(
    settings: Settings, policy: Policy, ledger: Ledger, *, warn: Callable[[UnsetSetting], object]
) -> Registrar:
    """Return the services for a terminal. `ledger` can be a NullLedger if a command only reads the registry.

    The bot delivers messages to Slack. If this terminal has no Slack token, the bot also executes transitions whose
    approvers must be rechecked. Calls `warn` once, when MLflow is first used, if MLFLOW_TRACKING_URI isn't set.
    """
    rules = ActivePolicy(policy)
    directory = LazyDirectory(settings, rules) if settings.slack_bot_token else NO_DIRECTORY
    registry = open_registry(settings, warn=warn)
    return build_registrar(settings, rules, ledger=ledger, registry=registry, notifier=None, directory=directory)
