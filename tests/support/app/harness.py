"""Helpers for several kinds of tests: forged requests, state snapshots, and many people."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar, cast

import httpx2

from bot.domain.audit.audit_chain import stream_records, verify
from bot.domain.audit.events import ChainedEvent, EventTag
from bot.domain.core.actors import Person as SlackPerson
from bot.domain.core.actors import Profile
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage
from bot.domain.transitions.model_card_sources import user_tags
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.ports import SYSTEM_CLOCK, Clock, ExperimentTracker, Ledger, ModelRegistry
from bot.services.core.context import ActivePolicy, Context
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.expiry_and_reminders import RequestUpkeep
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.voting import Requests
from bot.services.registry.queries import RegistryQueries
from bot.services.transitions.completion import Completion
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.preconditions import Preconditions
from bot.slack.promotions import request_card
from localslack import Remote, WorkspaceMember, payloads
from localslack.seed import PersonSeed
from localslack.signing import signed_headers
from tests.support.app.app_fixture import CHANNEL, POLICY, RunningApp, make_policy, message_text
from tests.support.registry.files import no_changes, no_entry_hook
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import tracker_of
from tests.support.services.fakes import FakeDirectory

JSON = dict[str, Any]
T = TypeVar("T")
LONG = 20.0  # seconds to wait for a thread

ML_MODELS = payloads.ChannelRef(id="C0MLMODELS", name="ml-models")
ALICE, BOB, DAVE = (payloads.Actor(id=f"U0{name.upper()}", name=name) for name in ("alice", "bob", "dave"))


# -- state snapshots -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StateSnapshot:
    """Everything in the ledger and the registry that an action could change."""

    requests: tuple[Request, ...]
    votes: tuple[Vote, ...]
    moves: tuple[Transition, ...]
    versions: tuple[Any, ...]
    aliases: tuple[tuple[str, str, int], ...]


def take_snapshot(app: RunningApp) -> StateSnapshot:
    """Return the current state.

    Findings of the poll are omitted, and so are the tags that copy the ledger, which are written later.
    """
    names = [model.name for model in app.registry.models()]
    with app.ledger.read() as reading:
        requests = reading.requests()
        votes = [vote for request in requests for vote in reading.votes(request.id)]
        moves = [
            move for name in names for move in reading.transitions(name) if move.kind is not TransitionKind.OBSERVED
        ]
    return StateSnapshot(
        tuple(requests),
        tuple(votes),
        tuple(moves),
        tuple(replace(one, tags=user_tags(one)) for name in names for one in app.registry.versions(name)),
        tuple((name, alias, v) for name in names for alias, v in sorted(app.registry.model(name).aliases.items())),
    )


def audit_links(ledger: Ledger, tag: EventTag | None = None) -> list[ChainedEvent]:
    """Return the audit events with this tag, or all of them."""
    found: list[ChainedEvent] = []
    with ledger.read() as reading:
        while more := reading.audit_events(after_number=found[-1].number if found else 0):
            found += more
    return [link for link in found if tag in (None, link.event.tag)]


def is_chain_intact(ledger: SqlLedger) -> bool:
    """Return whether the audit chain verifies from its first event to its head."""
    with ledger.read() as reading:
        return (
            verify(stream_records(lambda after: reading.audit_records(after_number=after)), reading.audit_head())
            is None
        )


def only_request(ledger: Ledger) -> Request:
    """Return the newest request, with its current state."""
    with ledger.read() as reading:
        return reading.requests(limit=1)[0]


# -- answers ---------------------------------------------------------------------------------------------------------


def reply_to(person: WorkspaceMember, act: Callable[[], object], channel: str = CHANNEL) -> str:
    """Act as this person, and return their private answer."""
    seen = {message["ts"] for message in person.sees(channel)}
    act()
    return message_text(person.waits_for(channel, lambda m: m.get("is_ephemeral") and m["ts"] not in seen))


def type_and_read_reply(person: WorkspaceMember, text: str, channel: str = CHANNEL) -> str:
    """Type a command, and return its answer."""
    return reply_to(person, lambda: person.types(channel, text), channel)


def sent_texts(slack: Remote) -> Iterator[str]:
    """Yield every text with Slack markup in all calls that the bot made."""
    for call in slack.calls():
        yield from _marked_up_texts(call["args"])


def _marked_up_texts(part: Any, key: str = "") -> Iterator[str]:
    if isinstance(part, str):
        decoded = _decoded(part) if key in {"blocks", "view", "metadata", "attachments"} else None
        if decoded is not None:
            yield from _marked_up_texts(decoded)
        elif key == "text":
            yield part
    elif isinstance(part, Mapping):
        if part.get("type") == "plain_text":
            return
        for name, value in part.items():
            yield from _marked_up_texts(value, name)
    elif isinstance(part, list):
        for one in part:
            yield from _marked_up_texts(one)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


# -- the wire --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignedClient:
    """A client that can reach the bot: Slack, or someone pretending to be Slack."""

    url: str
    secret: str

    def send(self, payload: JSON, **forged: Any) -> httpx2.Response:
        """Post a payload, signed now with the right secret unless `forged` says otherwise."""
        body, kind = payloads.as_http_body(payload)
        return self.post(body, kind, **forged)

    def post(
        self,
        body: bytes,
        kind: str = "application/x-www-form-urlencoded",
        *,
        secret: str | None = None,
        timestamp: int | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        """Post a body unchanged."""
        signed: dict[str, Any] = dict(signed_headers(self.secret if secret is None else secret, body, timestamp))
        return httpx2.post(
            self.url,
            content=body,
            headers={"Content-Type": kind} | signed | dict(headers or {}),
            trust_env=False,
            timeout=LONG,
        )


_presses = itertools.count(1)


def signed_client(app: RunningApp) -> SignedClient:
    """Return a client for a bot's own address."""
    return SignedClient(f"{app.service.address}/slack/events", app.slack.signing_secret)


def command(actor: payloads.Actor, text: str, place: payloads.ChannelRef = ML_MODELS) -> JSON:
    """Return a forged `/model …`; it's answered in the channel, since it has no response_url."""
    return payloads.slash_command("/model", text, actor=actor, place=place)


def click(
    actor: payloads.Actor, value: Any, action_id: str = request_card.APPROVE, place: payloads.ChannelRef = ML_MODELS
) -> JSON:
    """Return a forged click on a card's button that carries `value`."""
    pressed = f"1.{next(_presses):06}"  # each click is a new one; the same one twice is a replay
    action = {"type": "button", "action_id": action_id, "block_id": "decide", "action_ts": pressed, "value": value}
    message = {"ts": "1.000000", "text": "forged"}
    return payloads.block_actions(
        action, actor=actor, container=payloads.container_of(message, place.id), place=place, message=message
    )


# -- concurrency -----------------------------------------------------------------------------------------------------


def run_concurrently(tasks: Sequence[Callable[[], T]], limit: float = LONG) -> list[T]:
    """Run all tasks at the same moment, each on its own thread, and return the results in order.

    Raises what a task raised, and TimeoutError for one that hangs.
    """
    start = Barrier(len(tasks))

    def run(task: Callable[[], T]) -> T:
        start.wait(limit)
        return task()

    pool = ThreadPoolExecutor(len(tasks))
    try:
        futures: list[Future[T]] = [pool.submit(run, task) for task in tasks]
        return [future.result(limit) for future in futures]
    finally:
        pool.shutdown(wait=False)


def add_people(slack: Remote, number: int) -> list[WorkspaceMember]:
    """Add this many people to the workspace and the channel, and return them."""
    seeds = [PersonSeed(id=f"U1P{n:03}", name=f"person{n:03}") for n in range(number)]
    people = [slack.add_person(seed) for seed in seeds]
    slack.set_members(CHANNEL, [*slack.members(CHANNEL), *(seed.id for seed in seeds)])
    return people


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


# -- registry calls ----------------------------------------------------------------------------------------------------

Tap = Callable[[str, str], object]  # gets "before" or "after", and the name of the call


class _TappedRegistry:
    """A registry that reports every call, before it's made and after it takes effect."""

    def __init__(self, inner: ModelRegistry | ExperimentTracker, tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    @property
    def tracker(self) -> ExperimentTracker:
        return cast(ExperimentTracker, _TappedRegistry(tracker_of(self._inner), self._tap))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._tap("before", name)
            result = getattr(self._inner, name)(*args, **kwargs)
            self._tap("after", name)
            return result

        return call


def tapped_registry(inner: ModelRegistry, tap: Tap) -> ModelRegistry:
    """Return the registry, with every call reported."""
    return cast(ModelRegistry, _TappedRegistry(inner, tap))


# -- the services without sockets --------------------------------------------------------------------------------------

MODEL_LAYOUT = [Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE]  # v3 is in Production
LEAD, OTHER_LEAD = (Profile(person=SlackPerson("T0LOCAL", user)) for user in ("U0BOB", "U0CAROL"))


def context_over(
    ledger: Ledger, registry: ModelRegistry, *, owner: str = "test", clock: Clock | None = None
) -> Context:
    """Return the services' context for a process with this name."""
    policy = make_policy({"models": {"*": POLICY["models"]["*"]}})
    return Context(
        ledger=ledger,
        registry=registry,
        tracker=tracker_of(registry),
        active_policy=ActivePolicy(policy),
        clock=clock or SYSTEM_CLOCK,
        owner=f"host:1:{owner}",
        directory=FakeDirectory(),
    )


def requests_over(ledger: Ledger) -> Requests:
    """Return the voting service."""
    context = context_over(ledger, MemoryRegistry())
    return Requests(context, RequestDecisions(context))


def upkeep_over(ledger: Ledger) -> RequestUpkeep:
    """Return the service that expires requests."""
    context = context_over(ledger, MemoryRegistry())
    return RequestUpkeep(context, RequestDecisions(context))


def executor(
    ledger: Ledger, registry: ModelRegistry, *, owner: str = "test", clock: Clock | None = None
) -> TransitionExecutor:
    """Return the executor of a process with this name."""
    context = context_over(ledger, registry, owner=owner, clock=clock)
    gate_checks = GateChecks(context, RegistryQueries(context))
    preconditions = Preconditions(context, gate_checks, LoadabilityChecks(context), no_changes)
    return TransitionExecutor(context, preconditions, Completion(context, no_entry_hook))


def holders(registry: ModelRegistry, model: str) -> list[int]:
    """Return the versions in Production."""
    return [one.version for one in registry.versions(model) if one.stage is Stage.PRODUCTION]


def open_request(ledger: Ledger, model: str, *, required: int, lives: timedelta = timedelta(hours=1)) -> Request:
    """Open a request by Alice, without reading the registry."""
    now = datetime.now(UTC)
    request = Request(
        id=f"r{model.replace('-', '')}",
        model=model,
        version=4,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        incumbent=3,
        requester=SlackPerson("T0LOCAL", "U0ALICE"),
        reason="",
        required=required,
        opened_at=now,
        expires_at=now + lives,
    )
    with ledger.write() as tx:
        tx.add_request(request)
    return request


def make_transition(model: str, version: int, *, after: int) -> Transition:
    """Return an intended transition to Production with `after` as the expected incumbent."""
    return Transition(
        id=f"move:{model}:{version}",
        kind=TransitionKind.PROMOTION,
        model=model,
        version=version,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        expected_incumbent=after,
        actor=LEAD.person,
        intended_at=datetime.now(UTC) - timedelta(seconds=1),
    )


def transition_state(ledger: Ledger, model: str) -> TransitionState:
    """Return the state of the model's only transition."""
    with ledger.read() as reading:
        [move] = reading.transitions(model)
    return move.state
