"""Where everything concrete is put together; the only file that names every concrete class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING

from bot.anchor_file import AnchorFile
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import Archive, Describe, Register, Rollback, SetTags
from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import LedgerUnavailable, Misconfigured, NoLedgerHere, SlackNotConnected, SlackUnreachable
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import Electorate
from bot.policy_file import PolicyFile, parse_policy
from bot.ports import (
    NO_SLACK,
    UNOBSERVED,
    Clock,
    Directory,
    Dispatcher,
    Ledger,
    Notifier,
    Observer,
    Reading,
    Registry,
    Writing,
)
from bot.process_identity import name_process
from bot.registrar import Registrar, Unsent
from bot.registry.mlflow.registry import MlflowRegistry
from bot.registry.tag_stages import TaggedStages
from bot.services.audit.anchoring import Anchoring
from bot.services.core.access import Gatekeeper
from bot.services.core.admins import Admins
from bot.services.core.command_queue import Errands, Hand
from bot.services.core.context import CHALLENGER, CHAMPION, Context, Rules
from bot.services.core.outbox import Endpoints, Outbox
from bot.services.core.outbox_messages import refused
from bot.services.home.home import Homes
from bot.services.monitoring.backtests import Backtesting
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import FileMonitors
from bot.services.monitoring.scheduler import Monitoring
from bot.services.policy.freezes import Freezing
from bot.services.policy.reload import Policies, policy_in_force
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
    from slack_sdk import WebClient

    from bot.ledger.database import SqlLedger
    from bot.slack.core.directory import SlackDirectory

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


class AskedLate:
    """The directory of a terminal: Slack is asked once somebody's rights matter, for most commands never."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._settings = settings
        self._rules = rules

    @cached_property
    def _slack(self) -> Directory:
        try:
            team = home_team(slack_client(self._settings, timeout=5))
        except Misconfigured as error:
            raise SlackNotConnected(error.sentence) from error
        return slack_directory(self._settings, team, self._rules)

    def profile(self, person: Person) -> Profile:
        """Return what Slack says of the person."""
        return self._slack.profile(person)

    def profiles_now(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return what Slack says of people now."""
        return self._slack.profiles_now(people)

    def electorate(self, ids: Sequence[str]) -> Electorate:
        """Return who is behind ids."""
        return self._slack.electorate(ids)

    def members(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind ids."""
        return self._slack.members(ids)

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of ids."""
        return self._slack.names(ids)


class NoLedger:
    """The ledger of those who only look at the registry: they need no database, nor its settings."""

    def write(self) -> AbstractContextManager[Writing]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def read(self) -> AbstractContextManager[Reading]:
        """Raise NoLedgerHere."""
        raise NoLedgerHere("This was opened without a ledger.")

    def recognize(self, operators: Callable[[], Mapping[str, str]]) -> None:
        """There is nobody to recognize."""

    def close(self) -> None:
        """There is nothing to close."""


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


def as_slack_knows(settings: Settings, policy: Policy, user: str) -> Profile:
    """Return a user's standing, asked of Slack where there is a token; without, what the policy says is all.

    Raises Misconfigured for a token that Slack does not take, and SlackUnreachable.
    """
    if settings.slack_bot_token is None:
        return Profile(person=Person("", user))
    team = home_team(slack_client(settings, timeout=5))
    return slack_directory(settings, team, Rules(policy)).profile(Person(team, user))


def open_queue(settings: Settings) -> Dispatcher:
    """Return the queue of checks for all processes on this PostgreSQL."""
    from bot.ledger.procrastinate_dispatcher import Queue  # on SQLite nobody needs it

    return Queue(settings.ledger_url)


def open_ledger(settings: Settings, observer: Observer = UNOBSERVED, *, serves: bool = False) -> SqlLedger:
    """Return the ledger, ready for work; SQLite's tables are brought up to date. With `serves` it serves it alone.

    Raises LedgerUnavailable, and Misconfigured where that of PostgreSQL has to be made or upgraded first, or another
    process serves one that has room for one only.
    """
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections, observer=observer)
    try:
        if serves:
            ledger.serve_alone()
        ledger.prepare()
    except BaseException:
        ledger.close()
        raise
    return ledger


def ledger_beside(settings: Settings) -> Ledger:
    """Return the ledger that is there, or none: it is neither made nor brought up to date, and can be away."""
    from bot.ledger.database import SqlLedger

    ledger = SqlLedger(settings.ledger_url, connections=settings.connections)
    with suppress(LedgerUnavailable):
        if ledger.is_current():
            return ledger
    ledger.close()
    return NoLedger()


def policy_beside(settings: Settings, ledger: Ledger) -> tuple[Policy, str] | None:
    """Return the policy that the bot on this ledger put in force last, and its revision.

    None where no bot ever did, or this version can't read it: then the file counts. Raises LedgerUnavailable.
    """
    if isinstance(ledger, NoLedger):
        return None
    with ledger.read() as reading:
        return policy_in_force(reading, lambda text: parse_policy(text, settings.policy))


def open_registry(
    settings: Settings, observer: Observer = UNOBSERVED, *, warn: Callable[[Unset], object] | None = None
) -> Registry:
    """Return the registry that the settings name. `warn` hears once of a registry of our own, before it is opened."""

    @cache
    def begin() -> None:
        if warn and (unset := settings.unset_mlflow):
            warn(unset)

    registry = MlflowRegistry(settings.mlflow_uri, settings.registry_uri, observer=observer, begin=begin)
    return registry if settings.has_stages else TaggedStages(registry, champion=CHAMPION, challenger=CHALLENGER)


def slack_client(settings: Settings, *, timeout: int = 10, observer: Observer = UNOBSERVED) -> WebClient:
    """Return a client that does not retry by itself: after a reset that would post twice."""
    if settings.slack_bot_token is None:
        raise Misconfigured(say("{name} is not set.", name=Code("SLACK_BOT_TOKEN")))
    from bot.http_client import certificates
    from bot.slack.core.client import HeardClient

    client = HeardClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        timeout=timeout,
        retry_handlers=[],
        ssl=certificates(),
    )
    client.observer = observer
    return client


def slack_directory(settings: Settings, team: str, rules: Rules, observer: Observer = UNOBSERVED) -> SlackDirectory:
    """Return who tells who people are, soon enough for an acknowledgement."""
    from bot.slack.core.directory import SlackDirectory

    def groups() -> frozenset[str]:
        return rules.policy.groups()  # of the policy that holds at that moment

    return SlackDirectory(slack_client(settings, timeout=2, observer=observer), team, groups)


def slack_notifier(
    client: WebClient, ledger: Ledger, rules: Rules, directory: SlackDirectory, admins: Admins, clock: Clock
) -> Notifier:
    """Return who delivers messages to Slack, under the policy that applies at that moment."""
    from bot.slack.delivery.notifier import SlackNotifier  # it draws

    return SlackNotifier(
        client, ledger, lambda: rules.policy, clock.now, directory.names, admins.tell, admins.tell_of_scopes
    )


def home_team(client: WebClient) -> str:
    """Return the id of the workspace that the token belongs to."""
    from slack_sdk.errors import SlackApiError

    from bot.slack.core.api_errors import LOST, error_of

    try:
        return str(client.auth_test()["team_id"])
    except SlackApiError as error:
        raise Misconfigured(
            say(
                "Slack does not take the bot's token ({what}). Copy {name} again from your app's page.",
                what=error_of(error),
                name=Code("SLACK_BOT_TOKEN"),
            )
        ) from error
    except LOST as error:
        raise SlackUnreachable(say("Slack does not answer at {url}.", url=Code(client.base_url))) from error
