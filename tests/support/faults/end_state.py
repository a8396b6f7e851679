"""What must be true after an operation, whatever failed; problems are described as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.domain.core.signing import EVENT_ID_HEADER
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL, message_text
from tests.support.faults.crash_harness import CrashHarness
from tests.support.faults.crashing_bot import ObservedState

MOVED = "registrar:version:moved"
ROLLED_BACK = "registrar:version:rolled_back"


@dataclass(frozen=True)
class ExpectedEnd:
    """The expected end of an operation."""

    state: str  # of the request
    production: int
    card: str  # text on its only message
    events: tuple[str, ...]  # in the audit log, each exactly once
    direct: bool = False  # the requester gets a direct message
    before: tuple[str, ...] = ("pending",)  # states of the request if it was not done
    served: int = 3  # the version in Production before
    buttons: tuple[str, ...] = ()  # on the message
    bars: tuple[int, ...] = ()
    incident: str = ""  # how the only incident ended


ENDS = {
    "ask": ExpectedEnd(
        "pending",
        3,
        "Promote churn v4 to Production?",
        ("registrar:request:opened",),
        before=(),
        buttons=("Approve", "Reject…", "Details"),
    ),
    "approve": ExpectedEnd(
        "done",
        4,
        "is in Production",
        ("person:request:voted", "registrar:request:approved", MOVED),
        direct=True,
    ),
    "reject": ExpectedEnd(
        "rejected", 3, "rejected", ("person:request:voted", "registrar:request:rejected"), direct=True
    ),
    "cancel": ExpectedEnd("cancelled", 3, "canceled", ("person:request:cancelled",)),
    "expire": ExpectedEnd("expired", 3, "expired", ("registrar:request:expired",), direct=True),
    "rollback": ExpectedEnd(
        "done",
        3,
        "rolled back from v4 to v3",
        (MOVED, ROLLED_BACK),
        before=("done",),
        served=4,
        bars=(4,),
    ),
    "monitor": ExpectedEnd(
        "done",
        3,
        "v4",
        (MOVED, ROLLED_BACK),
        before=("done",),
        served=4,
        bars=(4,),
        incident="Restored: v3",
    ),
}


def violations(
    crash_harness: CrashHarness, end: ExpectedEnd, then: ObservedState, last: ObservedState, *, is_seen: bool
) -> Iterator[str]:
    """Yield the problems. `then` is the state after the restart; `is_seen`: it had been acknowledged before."""
    states = [list(end.before), [end.state]]
    if then.states not in states:
        yield f"it's stuck in {then.states}"
    if is_seen:
        yield from (f"acknowledged, and after the restart {what}" for what in missing_end(then, end))
    yield from disagreement(then, end)
    yield from disagreement(last, end)
    yield from missing_end(last, end)
    yield from wrong_messages(crash_harness.slack, end)
    yield from missing_events(crash_harness, end)


def disagreement(truth: ObservedState, end: ExpectedEnd) -> Iterator[str]:
    """Yield differences between the ledger and registry, and unfinished work."""
    if truth.production not in ([end.served], [end.production]) or truth.champion != truth.production[0]:
        yield f"Production holds {truth.production}, the alias {truth.champion}"
    moves = [tag for tag in truth.tags if tag in {MOVED, ROLLED_BACK}]
    told = {0: 3, 1: 4, 2: 3}.get(len(moves))
    if truth.production != [told] or moves != [MOVED, ROLLED_BACK][: len(moves)]:
        yield f"Production holds {truth.production}, and the audit log has {moves}"
    if truth.unfinished or truth.undelivered:
        yield f"{truth.unfinished} transitions and {truth.undelivered} messages are unfinished"
    if not truth.is_chain_intact:
        yield "the audit chain is broken"


def missing_end(truth: ObservedState, end: ExpectedEnd) -> Iterator[str]:
    """Yield differences from the expected end."""
    if truth.states != [end.state] or truth.production != [end.production]:
        yield f"the request is {truth.states} and Production holds {truth.production}"
    for tag in end.events:
        if truth.tags.count(tag) != 1:
            yield f"{tag} is {truth.tags.count(tag)} times in the audit log"
    if truth.bars != list(end.bars):
        yield f"blocked versions are {truth.bars}"
    if len(truth.incidents) != bool(end.incident) or not all(one.startswith(end.incident) for one in truth.incidents):
        yield f"the incidents are {truth.incidents}"


def wrong_messages(slack: Remote, end: ExpectedEnd) -> Iterator[str]:
    """Yield the problems in Slack: the message, its thread, duplicate keys, and the requester's messages."""
    bob = slack.person("bob")
    there = [message for message in bob.sees(CHANNEL) if not message["is_ephemeral"]]
    mine = [
        message
        for message in there
        if end.card in message_text(message) and (not end.incident or "incident_undo" in str(message))
    ]
    if len(there) != (2 if end.served == 4 else 1) or len(mine) != 1:
        yield f"{len(mine)} of {len(there)} messages say {end.card!r}: {[message_text(one)[:60] for one in there]}"
    for message in mine:
        can_decide = "Approve" in buttons(message)
        if can_decide != ("Approve" in end.buttons):
            yield f"the message has the buttons {buttons(message)}"
    threads = [answer for message in there for answer in bob.thread(message)[1:]]
    direct = slack.person("alice").direct_messages()
    if end.direct and not direct:
        yield "the requester wasn't notified"
    keys = Counter(key for message in [*there, *threads, *direct] if (key := key_of(message)))
    yield from (f"{key} was posted {times} times" for key, times in keys.items() if times > 1)
    yield from duplicates(threads)
    yield from duplicates(direct)


def missing_events(crash_harness: CrashHarness, end: ExpectedEnd) -> Iterator[str]:
    """Yield missing and wrong events to the endpoint; a repeated event has the same ID."""
    ids = {got.headers[EVENT_ID_HEADER.lower()] for got in crash_harness.there.got}
    if len(ids) != (1 if end.production != end.served else 0):
        yield f"the endpoint got {sorted(ids)}"


def key_of(message: dict[str, Any]) -> str | None:
    """Return the outbox key under which we posted a message."""
    key: str | None = message.get("metadata", {}).get("event_payload", {}).get("key")
    return key


def duplicates(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield messages that were posted more than once."""
    for text, times in Counter(message_text(message) for message in messages).items():
        if times > 1:
            yield f"{times} times: {text[:60]!r}"


def buttons(card: dict[str, Any]) -> list[str]:
    """Return the texts of a card's buttons."""
    rows = [block["elements"] for block in card["blocks"] if block["type"] == "actions"]
    return [button["text"]["text"] for row in rows for button in row]
