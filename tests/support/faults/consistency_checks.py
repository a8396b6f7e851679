"""What people, ledger, registry, and workspace must agree on once all work has stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from bot.domain.audit.events import Event, EventTag
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.ledger.engines import parse_url
from bot.ledger.tables import message_refs
from bot.ports import Ledger
from bot.registry.mlflow.registry import MlflowRegistry
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL
from tests.support.app.harness import audit_links, is_chain_intact
from tests.support.app.load_generator import MODELS, LoadGenerator
from tests.support.faults.end_state import key_of

END_EVENTS = {
    RequestState.DONE,
    RequestState.REJECTED,
    RequestState.CANCELLED,
    RequestState.EXPIRED,
    RequestState.STALE,
    RequestState.FAILED,
}
ENDS = {
    EventTag.REJECTED,
    EventTag.CANCELLED,
    EventTag.EXPIRED,
    EventTag.STALE,
    EventTag.FAILED,
    EventTag.TRANSITION_DONE,
    EventTag.ROLLED_BACK,
}


def disagreements(ledger: SqlLedger, slack: Remote, load: LoadGenerator, environment: dict[str, str]) -> list[str]:
    """Return all problems. The caller must have stopped every process, or a monitor would keep posting."""
    events = [link.event for link in audit_links(ledger)]
    return [
        *lost_requests(ledger, load),
        *lost_commands(events, load),
        *requests_without_one_end(ledger, events),
        *duplicate_messages(slack, environment["REGISTRAR_DATABASE_URL"]),
        *registry_differences(ledger, environment),
    ]


def is_quiet(ledger: Ledger) -> bool:
    """Return whether no work is left, except undecided requests."""
    later = datetime.now(UTC) + timedelta(days=1)
    with ledger.read() as reading:
        moves = reading.models_with_transitions([TransitionState.INTENDED, TransitionState.EXECUTING])
        return not (reading.due_command_ids(later) or reading.due_messages(later) or moves)


def lost_requests(ledger: SqlLedger, load: LoadGenerator) -> Iterator[str]:
    """Yield acknowledged requests that are missing or have no end."""
    with ledger.read() as reading:
        events = [link.event for link in audit_links(ledger)]
        asked = {event.evidence.get("reason") for event in events if event.tag is EventTag.PROMOTION_REQUESTED}
        yield from (f"the command {reason} is lost" for reason in load.asked - asked)
        for number in load.clicked:
            request = reading.request(number)
            if not any(vote.voter.user == "U0BOB" for vote in reading.votes(number)) and _was_open(request):
                yield f"the click on {number} is lost: {request.state}"
            if request.state in {RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING}:
                yield f"{number} was approved and is {request.state}"
    if not is_chain_intact(ledger):
        yield "the audit chain is broken"


def _was_open(request: Request) -> bool:
    return request.state in {RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING, RequestState.DONE}


def lost_commands(events: list[Event], load: LoadGenerator) -> Iterator[str]:
    """Yield acknowledged rollbacks that aren't in the audit log."""
    kept = {event.evidence.get("reason") for event in events if event.tag is EventTag.REGISTRY_CHANGE_REQUESTED}
    yield from (f"the command {reason} is lost" for reason in load.rolled_back - kept)


def requests_without_one_end(ledger: SqlLedger, events: list[Event]) -> Iterator[str]:
    """Yield requests and transitions that ended twice, or were decided but didn't end."""
    with ledger.read() as reading:
        states = {request.id: request.state for request in reading.requests(limit=100_000)}
    ends = Counter(event.subject for event in events if event.tag in ENDS)
    decided = Counter(event.subject for event in events if event.tag is EventTag.APPROVED)
    yield from (f"{subject} ended {times} times" for subject, times in ends.items() if times > 1)
    yield from (f"{subject} was approved {times} times" for subject, times in decided.items() if times > 1)
    for number, state in states.items():
        if state in END_EVENTS and ends[number] != 1:
            yield f"{number} is {state} and ended {ends[number]} times in the audit log"
        if state in {RequestState.APPROVED, RequestState.EXECUTING}:
            yield f"{number} is stuck in {state}"


def duplicate_messages(slack: Remote, url: str) -> Iterator[str]:
    """Yield messages that are in Slack more than once, or not where the ledger has them."""
    there = message_keys(slack)
    yield from (f"{key} was posted {len(times)} times" for key, times in there.items() if len(times) > 1)
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        kept = {str(ts) for ts in connection.execute(sa.select(message_refs.c.ts)).scalars()}
    engine.dispose()
    in_slack = {ts for times in there.values() for ts in times}
    yield from (f"the message {ts} isn't in the ledger" for ts in in_slack - kept)
    yield from (f"the message {ts} is missing" for ts in kept - in_slack)


def message_keys(slack: Remote) -> dict[str, list[str]]:
    """Return where our messages are, by key: in the channel, in threads, and in direct messages."""
    bob, found = slack.person("bob"), dict[str, list[str]]()
    messages = [message for name in ("alice", "bob", "carol") for message in slack.person(name).direct_messages()]
    for message in bob.sees(CHANNEL):
        messages += [message, *(bob.thread(message)[1:] if message.get("reply_count") else ())]
    for message in messages:
        if key := key_of(message):
            found.setdefault(key, []).append(message["ts"])
    return found


def registry_differences(ledger: SqlLedger, environment: dict[str, str]) -> Iterator[str]:
    """Yield differences between the registry and the ledger."""
    with closing(MlflowRegistry(environment["MLFLOW_TRACKING_URI"])) as registry, ledger.read() as reading:
        for model in MODELS:
            done = [
                one for one in reading.transitions(model, stage=Stage.PRODUCTION) if one.state is TransitionState.DONE
            ]
            holders = [one.version for one in registry.versions(model) if one.stage is Stage.PRODUCTION]
            if holders != [done[0].version]:
                yield f"{model} has {holders} in Production, but the ledger has {done[0].version}"
            if (
                done[0].kind is not TransitionKind.OBSERVED
                and registry.model(model).aliases.get("champion") not in holders
            ):
                yield f"{model}'s alias is on another version"
