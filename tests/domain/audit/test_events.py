"""Audit events: a hashed event can be parsed again, and every change to it changes the hash."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.audit.events import GENESIS_HASH, Event, EventTag, canonical_json, chained_hash, parse_canonical_json
from bot.domain.core.actors import Actor, Automation, Client, Operator, Person, actor_id, parse_actor

IDS = st.from_regex(r"[TUW][A-Z0-9]+", fullmatch=True)
ACTORS = st.one_of(
    st.builds(
        Person, st.from_regex(r"T[A-Z0-9]{0,8}", fullmatch=True), st.from_regex(r"[UW][A-Z0-9]+", fullmatch=True)
    ),
    *(st.builds(kind, st.text()) for kind in (Automation, Client, Operator)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.builds(
    Event,
    at=st.datetimes(timezones=st.just(UTC)),
    actor=ACTORS,
    tag=st.sampled_from(EventTag),
    subject=st.text(),
    model=st.none() | st.text(),
    before=st.none() | st.text(),
    after=st.none() | st.text(),
    why=st.text(),
    origin=st.sampled_from(["slack", "terminal", "api", "job"]),
    evidence=st.dictionaries(st.text(), JSON, max_size=3),
)
AN_EVENT = Event(
    at=datetime(2026, 5, 4, 12, tzinfo=UTC),
    actor=Person("T1", "U1"),
    tag=EventTag.VOTED,
    subject="r4k7q",
    model="churn",
    before="pending",
    after="approved",
    why="looks good",
    origin="slack",
    evidence={"approvals": 1},
)
CHANGES: dict[str, Any] = {
    "at": AN_EVENT.at + timedelta(microseconds=1),
    "actor": Person("T1", "U2"),
    "tag": EventTag.REQUEST_OPENED,
    "subject": "r4k7r",
    "model": None,
    "before": None,
    "after": "rejected",
    "why": "looks bad",
    "origin": "terminal",
    "evidence": {"approvals": 2},
}


@given(EVENTS, st.integers(min_value=1))
def test_a_hashed_event_can_be_parsed_again(event: Event, number: int) -> None:
    assert parse_canonical_json(canonical_json(event, number)) == event


@given(ACTORS)
def test_an_actor_is_one_word_that_can_be_parsed_again(actor: Actor) -> None:
    assert parse_actor(actor_id(actor)) == actor


def test_an_invalid_actor_is_refused() -> None:
    with pytest.raises(ValueError, match="not an actor"):
        parse_actor("martian:zork")


@pytest.mark.parametrize("field", [*AN_EVENT.__dataclass_fields__])
def test_a_changed_field_changes_the_hash(field: str) -> None:
    changed = replace(AN_EVENT, **{field: CHANGES[field]})
    assert chained_hash(GENESIS_HASH, canonical_json(changed, 1)) != chained_hash(
        GENESIS_HASH, canonical_json(AN_EVENT, 1)
    )


def test_another_position_in_the_chain_changes_the_hash() -> None:
    body = canonical_json(AN_EVENT, 1)
    assert (
        len(
            {
                chained_hash(GENESIS_HASH, body),
                chained_hash("1" * 64, body),
                chained_hash(GENESIS_HASH, canonical_json(AN_EVENT, 2)),
            }
        )
        == 3
    )


def test_the_same_time_in_another_zone_has_the_same_text() -> None:
    there = replace(AN_EVENT, at=AN_EVENT.at.astimezone(timezone(timedelta(hours=9))))
    assert canonical_json(there, 1) == canonical_json(AN_EVENT, 1)


def test_the_text_is_canonical() -> None:
    text = canonical_json(replace(AN_EVENT, why="größer"), 1)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_json_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(replace(AN_EVENT, evidence={"f1": value}), 1)


@pytest.mark.parametrize("tag", EventTag)
def test_every_tag_has_a_source_a_subject_and_an_action(tag: EventTag) -> None:
    assert [part.isidentifier() for part in tag.value.split(":")] == [True, True, True]
