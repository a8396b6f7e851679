"""Where everything concrete is put together; the only file that names every concrete class."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bot.anchor_file import AnchorFile
from bot.bootstrap.slack import AskedLate, home_team, slack_client, slack_directory, slack_notifier
from bot.bootstrap.storage import open_ledger, open_queue, open_registry
from bot.domain.commands.base import Command
from bot.domain.commands.changes import Archive, Describe, Register, Rollback, SetTags
from bot.domain.policy.policy import Policy
from bot.policy_file import PolicyFile
from bot.ports import (
    NO_SLACK,
    UNOBSERVED,
    Clock,
    Directory,
    Ledger,
    Notifier,
    Observer,
    Registry,
)
from bot.process_identity import name_process
from bot.registrar import Registrar, Unsent
from bot.services.audit.anchoring import Anchoring
from bot.services.core.access import Gatekeeper
from bot.services.core.admins import Admins
from bot.services.core.command_queue import Errands
from bot.services.core.commands import Hand
from bot.services.core.context import Context, Rules
from bot.services.core.endpoint_outboxes import Endpoints
from bot.services.core.outbox import Outbox
from bot.services.core.outbox_messages import refused
from bot.services.home.home import Homes
from bot.services.monitoring.backtests import Backtesting
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import FileMonitors
from bot.services.monitoring.scheduler import Monitoring
from bot.services.policy.freezes import Freezing
from bot.services.policy.reload import Policies
from bot.services.promotions.gate_checks import Gating
from bot.services.promotions.requests import Requests
from bot.services.promotions.reviews import Reviews
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.edits import Tending
from bot.services.registry.queries import Lookups
from bot.services.registry.registration import Registration
from bot.services.rollbacks.history_import import Importing
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.drift import Watch
from bot.services.transitions.executor import Moves
from bot.services.transitions.loadability import Fitness
from bot.services.transitions.registry_tags import Mirror
from bot.services.transitions.restores import Restores
from bot.services.transitions.serving_checks import TOLD_AT_ONCE, TOLD_FOR, Servings, given_up
from bot.serving_probe import ServingProbes
from bot.settings import Settings, Unset
from bot.sources import Parts
from bot.sources.plugins import Sources
from bot.webhooks import Webhooks

if (
    TYPE_CHECKING
):  # a terminal that only compares draws nothing, and needs neither Slack nor a ledger: who does imports it
    pass

LOOKING = 8  # threads for lookups; the registry is mostly near, and a lookup may wait where a decision may not


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


def build(  # noqa: PLR0913 - everything concrete meets here
    settings: Settings,
    rules: Rules,
    *,
    ledger: Ledger,
    registry: Registry,
    notifier: Notifier | None,
    directory: Directory,
    clock: Clock | None = None,
    policy_file: PolicyFile | None = None,
    observer: Observer = UNOBSERVED,
    admins: Admins | None = None,
) -> Registrar:
    """Return the services over these plugs. Without a notifier nothing is delivered: another process does that."""
    context = Context(
        ledger=ledger,
        registry=registry,
        rules=rules,
        clock=clock or SystemClock(),
        owner=name_process(),
        observer=observer,
        directory=directory,
    )
    gatekeeper, gating = Gatekeeper(context), Gating(context)
    lookups = Lookups(context, gating)
    requests, tending = Requests(context, lookups, gating), Tending(context, lookups, gatekeeper)
    fitness, sources = Fitness(context), open_sources(rules, ledger, registry)
    rollbacks = Rollbacks(context, lookups, gatekeeper, fitness, requests)
    incidents = Incidents(context, rollbacks, fitness)
    monitoring = Monitoring(context, sources, incidents)
    errands, moves = Errands(context, requests, hands(context, tending, rollbacks)), Moves(context, gating, fitness)
    restores = Restores(context, AnchorFile(), gatekeeper, moves, errands, requests)
    context.gate.guard(restores.check)
    registrar = Registrar(
        context=context,
        gatekeeper=gatekeeper,
        lookups=lookups,
        homes=Homes(context),
        comparisons=Comparisons(context, lookups),
        errands=errands,
        requests=requests,
        reviews=Reviews(context),
        rollbacks=rollbacks,
        importing=Importing(context, lookups, gatekeeper),
        tending=tending,
        freezing=Freezing(context, gatekeeper),
        anchoring=Anchoring(context, AnchorFile()),
        policies=Policies(context, policy_file, directory) if policy_file else None,
        monitors=Monitors(context, gatekeeper, Backtesting(context, sources).backtest),
        monitoring=monitoring,
        incidents=incidents,
        file_monitors=FileMonitors(context),
        sources=sources,
        moves=moves,
        restores=restores,
        mirror=Mirror(context),
        watch=Watch(context),
        outbox=Outbox(context, notifier, pace=timedelta(seconds=settings.slack_pace), given_up=refused)
        if notifier
        else Unsent(),
        events=Endpoints(
            context, Webhooks(lambda: rules.policy), at_once=TOLD_AT_ONCE, limit=TOLD_FOR, given_up=given_up
        ),
        servings=Servings(context, ServingProbes()),
        directory=directory,
        admins=admins or Admins(ledger, lambda: rules.policy, directory),
        work=ThreadPoolExecutor(settings.threads, thread_name_prefix="work"),
        looking=ThreadPoolExecutor(LOOKING, thread_name_prefix="look"),
    )
    monitoring.let(registrar.move, registrar.outbox_soon)
    return registrar


def open_sources(rules: Rules, ledger: Ledger, registry: Registry) -> Sources:
    """Return the sources of the policy that holds at each moment."""
    return Sources(lambda: rules.policy, Parts(ledger=ledger, registry=registry, environ=os.environ))


def hands(context: Context, tending: Tending, rollbacks: Rollbacks) -> dict[type[Command], Hand]:
    """Return who carries out which command, but for promotions."""
    return {
        Register: Registration(context).carry_out,
        Describe: tending.describe,
        SetTags: tending.tag,
        Archive: tending.archive,
        Rollback: rollbacks.roll_back,
    }


def build_for_slack(
    settings: Settings, policy: Policy, *, clock: Clock | None = None, observer: Observer = UNOBSERVED
) -> Registrar:
    """Return everything as the settings say, Slack asked who we are. Raises Misconfigured and SlackUnreachable."""
    with ExitStack() as begun:
        ledger = open_ledger(settings, observer, serves=True)
        begun.callback(ledger.close)
        client, rules = slack_client(settings, observer=observer), Rules(policy)
        directory = slack_directory(settings, home_team(client), rules, observer)
        admins = Admins(ledger, lambda: rules.policy, directory)
        registrar = build(
            settings,
            rules,
            ledger=ledger,
            registry=open_registry(settings, observer),
            notifier=slack_notifier(client, ledger, rules, directory, admins, clock or SystemClock()),
            directory=directory,
            clock=clock,
            policy_file=PolicyFile(settings.policy),
            observer=observer,
            admins=admins,
        )
        if not ledger.is_file:
            registrar.monitoring.dispatch_by(open_queue(settings))
        begun.pop_all()
    return registrar


def build_for_terminal(
    settings: Settings, policy: Policy, ledger: Ledger, *, warn: Callable[[Unset], object]
) -> Registrar:
    """Return the services for a terminal over a ledger, or over none for what only looks at the registry.

    Slack hears nothing from here; what it must hear is written down for the bot. Without a token, moves that need to
    know whether their approvers can still approve are left to the bot as well. `warn` hears of an unset
    MLFLOW_TRACKING_URI once, when MLflow is asked for the first time.
    """
    rules = Rules(policy)
    directory = AskedLate(settings, rules) if settings.slack_bot_token else NO_SLACK
    registry = open_registry(settings, warn=warn)
    return build(settings, rules, ledger=ledger, registry=registry, notifier=None, directory=directory)
