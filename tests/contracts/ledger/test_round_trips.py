"""A ledger returns values as they were stored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Actor, Automation, Client, Operator, Person
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.ports import MessageKind, OutboxMessage, QueuedCommand, QueuedCommandState
from tests.support.ledger.records import NOW, PlannedError, a_command, a_request, an_event, fault, save

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Round trips


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


NUMBERS = st.integers(1, 2**31 - 1)


TIMES = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis wants its limits without a zone
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=8))]),
)


IDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=9)


PEOPLE = st.builds(Person, IDS, IDS)


ACTORS: st.SearchStrategy[Actor] = st.one_of(
    PEOPLE, *(st.builds(kind, WORDS) for kind in (Automation, Client, Operator))
)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


DATA = st.dictionaries(WORDS, JSON, max_size=3)


STAGES = st.sampled_from(Stage)


REQUESTS = st.builds(
    Request,
    id=WORDS,
    model=WORDS,
    version=NUMBERS,
    from_stage=STAGES,
    target=STAGES,
    incumbent=st.none() | NUMBERS,
    requester=ACTORS,
    reason=WORDS,
    required=NUMBERS,
    opened_at=TIMES,
    expires_at=TIMES,
    keep_existing=st.booleans(),
    semver=st.none() | WORDS,
    state=st.sampled_from(RequestState),
    decided_at=st.none() | TIMES,
    decided_by=st.none() | ACTORS,
    outcome=WORDS,
)


MOVES = st.builds(
    Transition,
    id=WORDS,
    kind=st.sampled_from(TransitionKind),
    model=WORDS,
    version=NUMBERS,
    from_stage=STAGES,
    target=STAGES,
    expected_incumbent=st.none() | NUMBERS,
    actor=ACTORS,
    intended_at=TIMES,
    request=st.none(),
    keep_existing=st.booleans(),
    state=st.sampled_from(TransitionState),
    attempts=NUMBERS,
    finished_at=st.none() | TIMES,
    why=WORDS,
)


ASKS = st.builds(
    QueuedCommand,
    id=WORDS,
    caller=ACTORS,
    command=DATA,
    where=WORDS,
    at=TIMES,
    state=st.sampled_from(QueuedCommandState),
    request=st.none(),
    attempts=NUMBERS,
    not_before=st.none() | TIMES,
)


EVENTS = st.builds(
    Event,
    at=TIMES,
    actor=ACTORS,
    tag=st.sampled_from(EventTag),
    subject=WORDS,
    model=st.none() | WORDS,
    before=st.none() | WORDS,
    after=st.none() | WORDS,
    why=WORDS,
    origin=WORDS,
    evidence=DATA,
)


many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(request=REQUESTS, move=MOVES, ask=ASKS, voter=PEOPLE, words=WORDS, data=DATA, at=TIMES)
def test_every_field_is_read_as_it_was_written(
    ledger: SqlLedger,
    request: Request,
    move: Transition,
    ask: QueuedCommand,
    voter: Person,
    words: str,
    data: Any,
    at: datetime,
) -> None:
    vote = Vote(request=request.id, voter=voter, choice=VoteChoice.REJECT, reason=words, at=at)
    note = OutboxMessage(key=words, lane=words, kind=MessageKind.DIRECT, to=words, data=data, attempts=3, created_at=at)
    with suppress(PlannedError), ledger.write() as w:
        w.add_request(request)
        w.add_transition(replace(move, request=request.id))
        w.add_queued_command(replace(ask, request=request.id))
        w.add_vote(vote)
        w.add_message(note)
        assert w.request(request.id) == request
        assert w.transition(move.id) == replace(move, request=request.id)
        assert w.queued_command(ask.id) == replace(ask, request=request.id)
        assert w.votes(request.id) == [vote]
        assert [replace(each, number=0) for each in w.due_messages(NOW)] == [note]
        raise PlannedError  # so that the next example starts with an empty ledger


@many
@given(events=st.lists(EVENTS, min_size=1, max_size=3))
def test_events_are_read_as_they_were_written_and_the_chain_is_intact(ledger: SqlLedger, events: list[Event]) -> None:
    with ledger.read() as r:
        before = r.audit_head().number
    save(ledger, *events)
    with ledger.read() as r:
        assert [link.event for link in r.audit_events(after_number=before)] == events
    assert fault(ledger) is None


def test_both_databases_replace_characters_that_they_cannot_store(ledger: SqlLedger) -> None:
    bad, good = "a\0b\ud800c", "a\ufffdb\ufffdc"
    save(ledger, a_request(id="r", reason=bad), a_command(id="a", command={bad: "x\0\ud800"}))
    save(ledger, an_event(why=bad, model=bad, actor=Operator(bad), evidence={"typed": "x\0\ud800"}))
    with ledger.read() as r:
        assert r.request("r").reason == good
        assert r.queued_command("a").command == {good: "x\ufffd\ufffd"}
        (link,) = r.audit_events(model=bad)
        assert (link.event.actor, link.event.evidence["typed"]) == (Operator(good), "x\ufffd\ufffd")
    assert fault(ledger) is None


def test_a_time_without_a_zone_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(Exception, match="without a time zone"):
        save(ledger, a_request(opened_at=NOW.replace(tzinfo=None)))


def test_an_event_with_nan_is_refused_when_it_is_added(ledger: SqlLedger) -> None:
    with ledger.write() as w, pytest.raises(ValueError, match="JSON"):
        w.add_audit_event(an_event(evidence={"f1": float("nan")}))


# What a hold covers


def test_an_operator_is_read_with_their_slack_id(ledger: SqlLedger) -> None:
    request = a_request(requester=Operator("ann"))
    with ledger.write() as w:
        w.add_request(request)
        w.add_audit_event(an_event(actor=Operator("ann")))

    def users() -> list[str]:
        with ledger.read() as r:
            actors = [r.request(request.id).requester, *(link.event.actor for link in r.audit_events())]
        return [actor.user for actor in actors if isinstance(actor, Operator)]

    assert users() == ["", ""]
    ledger.set_operator_ids(lambda: {"ann": "UANN"})
    assert users() == ["UANN", "UANN"]
    ledger.set_operator_ids(lambda: {"bob": "UBOB"})
    assert users() == ["", ""]
