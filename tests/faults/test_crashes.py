"""The bot is killed before and after every write: after the restart nothing is lost, doubled or told wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from localslack import Remote
from tests.faults.conftest import Mortals
from tests.faults.dying import READS, Case, Truth
from tests.world import CHANNEL, said


@dataclass(frozen=True)
class End:
    """What must be true at the end of an act, whatever happened on the way."""

    state: str
    production: int
    card: str  # words on the card
    events: tuple[str, ...]  # each of them exactly once
    direct: bool = False  # the requester is told directly


ENDS = {
    "approve": End(
        "done", 4, "is in Production",
        ("person:request:voted", "registrar:request:approved", "registrar:version:moved"), direct=True,
    ),
    "ask": End("pending", 3, "Promote churn v4 to Production?", ("registrar:request:opened",)),
    "reject": End("rejected", 3, "rejected", ("person:request:voted", "registrar:request:rejected"), direct=True),
    "cancel": End("cancelled", 3, "cancelled", ("person:request:cancelled",)),
    "expire": End("expired", 3, "expired", ("registrar:request:expired",), direct=True),
}  # fmt: skip
COMPLETE = {"approve", "ask"}  # for the others, before a write is the same as after the one before it
MOVED = "registrar:version:moved"


# An approval has the most writes, and each of them costs a death: a minute in all.
ACTS = [pytest.param(act, marks=pytest.mark.slow) if act == "approve" else act for act in ENDS]


@pytest.mark.parametrize("act", ACTS)
def test_whoever_dies_at_any_write_leaves_nothing_lost_doubled_or_told_wrongly(mortals: Mortals, act: str) -> None:
    points = mortals.act(mortals.case(act)).points
    deaths = list(deaths_at(points, is_complete=act in COMPLETE))
    print(f"{act}: {len(points)} writes, {len(deaths)} deaths")
    wrong = [
        f"killed {when} {points[number]} ({number}): {what}"
        for number, when in deaths
        for what in broken(mortals, mortals.case(act, number, when))
    ]
    assert wrong == []


def test_every_call_of_slack_that_changes_something_is_a_point(mortals: Mortals) -> None:
    asked = mortals.act(mortals.case("ask")).points
    approved = mortals.act(mortals.case("approve")).points
    called = Counter(call["method"] for call in mortals.slack.calls() if call["method"] not in READS)
    assert called == Counter(name for name in asked + approved if name.startswith(("chat.", "response_url")))


def deaths_at(points: list[str], *, is_complete: bool) -> Iterator[tuple[int, str]]:
    """Yield where and when to die. Between the end of one write and the beginning of the next nothing is changed."""
    for number in range(len(points)):
        if is_complete or number == 0:
            yield number, "before"
        yield number, "after"


def broken(mortals: Mortals, case: Case) -> Iterator[str]:
    """Yield what is wrong after this death."""
    end, death = ENDS[case.act], mortals.act(case)
    if not death.died:
        yield "it did not die"
    is_seen = death.acked or case.act == "expire"
    then, last = mortals.restart(replace(case, again=not is_seen))
    if is_seen and then.states != [end.state]:
        yield f"it was acknowledged and is {then.states}"
    if then.states not in ([], ["pending"], [end.state]):
        yield f"it hangs in {then.states}"
    yield from disagreement(then)
    yield from disagreement(last)
    yield from not_ended(last, end)
    yield from told_wrongly(mortals.slack, end)


def disagreement(truth: Truth) -> Iterator[str]:
    """Yield where the ledger and the registry do not agree, or something is left to do."""
    is_moved = truth.production == [4]
    if truth.production not in ([3], [4]) or truth.champion != truth.production[0]:
        yield f"Production holds {truth.production}, the alias {truth.champion}"
    if is_moved != (truth.states == ["done"]) or is_moved != (truth.tags.count(MOVED) == 1):
        yield f"the request is {truth.states}, Production {truth.production}, moves told {truth.tags.count(MOVED)}"
    if truth.unfinished or truth.undelivered:
        yield f"{truth.unfinished} moves and {truth.undelivered} messages are left"
    if not truth.chain_is_whole:
        yield "the audit chain is broken"


def not_ended(truth: Truth, end: End) -> Iterator[str]:
    """Yield how the end differs from what it must be."""
    if truth.states != [end.state] or truth.production != [end.production]:
        yield f"it ended as {truth.states} with Production {truth.production}"
    for tag in end.events:
        if truth.tags.count(tag) != 1:
            yield f"{tag} is {truth.tags.count(tag)} times in the audit"


def told_wrongly(slack: Remote, end: End) -> Iterator[str]:
    """Yield what is wrong in Slack: the card, its thread, and what the requester is told."""
    cards = [message for message in slack.person("bob").sees(CHANNEL) if not message["is_ephemeral"]]
    if len(cards) != 1:
        yield f"there are {len(cards)} cards"
    for card in cards:
        if end.card not in said(card):
            yield f"the card says {said(card)[:60]!r}"
        if ("Approve" in buttons(card)) != (end.state == "pending"):
            yield f"the card has the buttons {buttons(card)}"
        yield from twice(slack.person("bob").thread(card)[1:])
    direct = slack.person("alice").direct_messages()
    if end.direct and not direct:
        yield "the requester was not told"
    yield from twice(direct)


def twice(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what was said more than once."""
    for text, times in Counter(said(message) for message in messages).items():
        if times > 1:
            yield f"{times} times: {text[:60]!r}"


def buttons(card: dict[str, Any]) -> list[str]:
    """Return the texts of a card's buttons."""
    rows = [block["elements"] for block in card["blocks"] if block["type"] == "actions"]
    return [button["text"]["text"] for row in rows for button in row]
