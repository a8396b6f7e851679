"""A test bench for the services: a real SQLite ledger, an in-memory registry that can fail, and a manual clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bot.anchor_file import LocalAnchorFile
from bot.domain.audit.events import Event
from bot.domain.commands.base import Command
from bot.domain.commands.parser import parse_command
from bot.domain.commands.promotions import Approve, Cancel, Override, Reject, Withdraw
from bot.domain.core.actors import Caller, Person, Profile
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNotice
from bot.domain.transitions.transition import Transition
from bot.ledger import SqlLedger
from bot.metrics.recorder import PrometheusMetrics
from bot.ports import MessageKind, OutboxMessage, QueuedCommand
from bot.services.audit.pages import audit_queries
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import CommandDispatcher, CommandResult, Origin
from bot.services.core.context import ActivePolicy, Context
from bot.services.integrity.digests import DigestLimits, Digests
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.file_incidents import compare_after_entry, report_comparison
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import PolicyMonitors
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.policy.freezes import Freezes
from bot.services.policy.queries import policy_queries
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
from bot.services.rollbacks.history import ProductionHistory
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.completion import Completion
from bot.services.transitions.drift import DriftDetector
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.preconditions import Preconditions
from bot.services.transitions.registry_tags import TagWriter
from bot.services.transitions.restores import Restores
from tests.support.services.fakes import FakeDirectory, FakeSources, FaultyRegistry, ManualClock

ALICE, BOB, CAROL, DAVE = (Profile(person=Person("T1", f"U{name}")) for name in ("ALICE", "BOB", "CAROL", "DAVE"))
GUEST = Profile(person=Person("T1", "UGUEST"), is_guest=True)
STRANGER = Profile(person=Person("T2", "UBOB"), is_home=False)
SLACK = Origin(entry_point="slack", channel="C1")

POLICY: dict[str, Any] = {
    "channel": "#ml-models",
    "roles": {"lead": ["UBOB", "UCAROL"], "admin": ["UDAVE"]},
    "models": {
        "*": {
            "staging": {"approvers": ["lead"], "requester_may_approve": True},
            "production": {"approvers": ["lead"], "expires_after": "24h"},
        },
        "two*": {"production": {"approvers": ["lead"], "required": 2, "override": ["admin"]}},
        "unruled": {"staging": {"approvers": ["lead"]}},
    },
}


@dataclass(frozen=True)
class Decision:
    """The result of a command on a request: the request, and how many approvals count."""

    request: Request
    approvals: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The services and their dependencies. `churn` has v3 in Production, v2 in Staging, and v1 and v4 in no stage."""

    ledger: SqlLedger
    registry: FaultyRegistry
    clock: ManualClock
    policy: Policy
    owner: str = "here:1:a"
    metrics: PrometheusMetrics = field(default_factory=PrometheusMetrics)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    context: Context = field(init=False)
    lookups: RegistryQueries = field(init=False)
    commands: CommandDispatcher = field(init=False)
    history: ProductionHistory = field(init=False)
    gate_checks: GateChecks = field(init=False)
    gatekeeper: AccessControl = field(init=False)
    comparisons: Comparisons = field(init=False)
    decisions: RequestDecisions = field(init=False)
    requests: Requests = field(init=False)
    digests: Digests = field(init=False)
    request_upkeep: RequestUpkeep = field(init=False)
    opening: RequestOpening = field(init=False)
    tending: RegistryEdits = field(init=False)
    rollbacks: Rollbacks = field(init=False)
    errands: CommandQueue = field(init=False)
    moves: TransitionExecutor = field(init=False)
    mirror: TagWriter = field(init=False)
    freezing: Freezes = field(init=False)
    watch: DriftDetector = field(init=False)
    sources: FakeSources = field(init=False)
    monitoring: MonitorScheduler = field(init=False)
    incidents: Incidents = field(init=False)
    fitness: LoadabilityChecks = field(init=False)
    file_monitors: PolicyMonitors = field(init=False)
    restores: Restores = field(init=False)
    reviews: Reviews = field(init=False)

    def __post_init__(self) -> None:
        context = Context(
            ledger=self.ledger,
            registry=self.registry,
            tracker=self.registry,
            active_policy=ActivePolicy(self.policy),
            clock=self.clock,
            owner=self.owner,
            observer=self.metrics,
            directory=self.directory,
        )
        gatekeeper, lookups, decisions = AccessControl(context), RegistryQueries(context), RequestDecisions(context)
        gate_checks = GateChecks(context, lookups)
        completion = Completion(context, partial(compare_after_entry, context))
        requests, tending = Requests(context, decisions), RegistryEdits(context, lookups, gatekeeper)
        opening = RequestOpening(context, lookups, gate_checks, decisions)
        fitness = LoadabilityChecks(context)
        limits = DigestLimits(rate=10**9, max_bytes=10**9, recheck=timedelta(days=1))
        digests = Digests(
            context, limits, on_recorded=lambda tx, digest: None, on_changed=partial(report_comparison, context)
        )
        rollbacks = Rollbacks(context, lookups, gatekeeper, fitness, requests)
        sources, incidents, moves = (
            FakeSources(),
            Incidents(context, fitness),
            TransitionExecutor(
                context, Preconditions(context, gate_checks, fitness, digests.compare_listing), completion
            ),
        )
        history, comparisons = ProductionHistory(context, lookups), Comparisons(context, lookups)
        freezing, reviews = Freezes(context), Reviews(context, decisions)
        monitors = Monitors(context, gatekeeper, Backtester(context, sources).backtest)
        monitoring = MonitorScheduler(
            context, sources, incidents, run_transitions=moves.execute_due, monotonic=self.clock.monotonic
        )
        errands = CommandQueue(
            context,
            {
                **opening.handlers(),
                **Registration(context).handlers(),
                **tending.handlers(),
                **rollbacks.registry_change_handlers(),
            },
        )
        commands = CommandDispatcher(
            gatekeeper,
            errands.submit,
            {
                **lookups.handlers(),
                **comparisons.handlers(),
                **gate_checks.handlers(),
                **request_queries(context),
                **history.handlers(),
                **policy_queries(context),
                **audit_queries(context),
                **monitors.query_handlers(),
            },
            {
                **requests.handlers(),
                **reviews.handlers(),
                **rollbacks.change_handlers(),
                **freezing.handlers(),
                **monitors.change_handlers(),
                **monitoring.handlers(),
            },
        )
        made = {
            "sources": sources,
            "incidents": incidents,
            "file_monitors": PolicyMonitors(context),
            "monitoring": monitoring,
            "rollbacks": rollbacks,
            "fitness": fitness,
            "context": context,
            "lookups": lookups,
            "gatekeeper": gatekeeper,
            "commands": commands,
            "history": history,
            "gate_checks": gate_checks,
            "opening": opening,
            "decisions": decisions,
            "requests": requests,
            "digests": digests,
            "request_upkeep": RequestUpkeep(context, decisions),
            "reviews": reviews,
            "tending": tending,
            "comparisons": comparisons,
            "moves": moves,
            "mirror": TagWriter(context),
            "freezing": freezing,
            "watch": DriftDetector(context, monotonic=self.clock.monotonic),
            "errands": errands,
            "restores": Restores(context, LocalAnchorFile(), gatekeeper, completion, errands, requests),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    # -- doing -------------------------------------------------------------------------------------------------

    def execute(self, who: Caller, what: str | Command) -> CommandResult:
        """Execute a typed text or a command, as every entry point does."""
        command = parse_command(what) if isinstance(what, str) else what
        assert command is not None
        return self.commands.execute(who, command, SLACK)

    def ask(self, text: str = "promote churn 4 production", who: Caller = ALICE) -> QueuedCommand:
        """Queue a command; nothing is read from the registry yet."""
        queued = self.execute(who, text).queued
        assert queued is not None
        return queued

    def do(self, text: str, who: Caller = ALICE) -> CommandResult:
        """Execute a command and any transition that it makes due."""
        done = self.errands.execute(self.ask(text, who).id)
        if done.transition_id:
            self.moves.execute_due(done.due_model)
        return done

    def open(self, text: str = "promote churn 4 production", who: Caller = ALICE) -> Request:
        """Queue a promote command, and open its request."""
        return self.open_ask(self.ask(text, who).id)

    def open_ask(self, ask_id: str) -> Request:
        """Execute a queued promote command, and return its request."""
        request = self.errands.execute(ask_id).request
        assert request is not None
        return request

    def decide(self, who: Caller, command: Command) -> Decision:
        """Execute a command on a request, and return the updated request with its approvals."""
        request = self.execute(who, command).request
        assert request is not None
        with self.ledger.read() as reading:
            return Decision(request, len(counting_approvals(reading.votes(request.id))))

    def approve(self, request: Request, who: Caller = BOB) -> Decision:
        """Approve a request."""
        return self.decide(who, Approve(request=request.id))

    def reject(self, request: Request, who: Caller = BOB, reason: str = "too slow") -> Decision:
        """Reject a request."""
        return self.decide(who, Reject(request=request.id, reason=reason))

    def withdraw(self, request: Request, who: Caller = BOB) -> Decision:
        """Withdraw a vote."""
        return self.decide(who, Withdraw(request=request.id))

    def override(self, request: Request, who: Caller = DAVE, reason: str = "known") -> Decision:
        """Override the failed gates of a request."""
        return self.decide(who, Override(request=request.id, reason=reason))

    def cancel(self, request: Request, who: Caller = ALICE, reason: str = "") -> Request:
        """Cancel a request."""
        return self.decide(who, Cancel(request=request.id, reason=reason)).request

    def approved(self, text: str = "promote churn 4 production") -> Request:
        """Open a request and approve it; its transition is recorded, but not made yet."""
        return self.approve(self.open(text)).request

    def finding(self, note: OutboxMessage) -> DriftNotice:
        """Return the drift notice of a message."""
        with self.ledger.read() as reading:
            return reading.drift_notice(note.lane)

    def findings(self) -> list[DriftNotice]:
        """Return the drift notices in the outbox, oldest first."""
        return [self.finding(note) for note in self.notes() if note.kind is MessageKind.NOTICE]

    # -- seeing ------------------------------------------------------------------------------------------------

    def state(self, request: Request) -> RequestState:
        """Return a request's current state."""
        return self.now(request).state

    def now(self, request: Request) -> Request:
        """Return the current request."""
        with self.ledger.read() as reading:
            return reading.request(request.id)

    def move(self, request: Request) -> Transition:
        """Return an approved request's transition."""
        with self.ledger.read() as reading:
            return reading.transition(f"promotion:{request.id}")

    def moves_of(self, model: str = "churn") -> list[Transition]:
        """Return a model's transitions, newest first."""
        with self.ledger.read() as reading:
            return reading.transitions(model)

    def events(self) -> list[Event]:
        """Return the audit events, oldest first."""
        with self.ledger.read() as reading:
            return [link.event for link in reading.audit_events()]

    def tags(self) -> list[str]:
        """Return the tags of the audit events, oldest first."""
        return [event.tag.value for event in self.events()]

    def notes(self) -> list[OutboxMessage]:
        """Return the messages in the outbox."""
        with self.ledger.read() as reading:
            return reading.due_messages(self.clock.now())

    def keys(self) -> set[str]:
        """Return the keys of the messages in the outbox, without ids."""
        return {":".join(part for at, part in enumerate(note.key.split(":")) if at != 1) for note in self.notes()}

    def told(self, kind: str) -> str:
        """Return the text of the message whose key starts with `kind`, such as `news` or `direct`."""
        return next(str(unpack_sentence(note.data["say"])) for note in self.notes() if note.key.startswith(kind))


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """Return a test bench."""
    made = bench_on(sqlite_url)
    yield made
    made.ledger.close()


def bench_on(url: str) -> Bench:
    """Return a test bench with an empty ledger, which the caller must close."""
    metrics = PrometheusMetrics()
    registry = FaultyRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    return Bench(
        ledger=SqlLedger(url, observer=metrics),
        registry=registry,
        clock=ManualClock(),
        policy=validate_policy(POLICY),
        metrics=metrics,
    )


def second_bench(bench: Bench) -> Bench:
    """Return a second process's services, with the same ledger and registry."""
    return Bench(
        ledger=bench.ledger,
        registry=bench.registry,
        clock=bench.clock,
        policy=bench.policy,
        owner="there:2:b",
        directory=bench.directory,
    )
