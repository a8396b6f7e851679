"""Which events Home shows as recent activity."""

from __future__ import annotations

from typing import Any

from bot.domain.audit.events import ChainedEvent, EventTag
from bot.domain.home.home_content import RECENT_EVENT_TAGS, recent_activity
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from tests.support.ledger.records import an_event


def event(tag: EventTag, subject: str = "r1", **more: Any) -> ChainedEvent:
    return ChainedEvent(number=1, event=an_event(tag=tag, subject=subject, **more), previous="", hash="")


def shown(*newest_first: ChainedEvent, limit: int = 10) -> list[EventTag]:
    return [link.event.tag for link in recent_activity(newest_first, limit)]


def test_a_promotion_is_one_line() -> None:
    assert EventTag.SERVING_CONFIRMED not in RECENT_EVENT_TAGS
    assert shown(event(EventTag.TRANSITION_DONE), event(EventTag.GATES_OVERRIDDEN)) == [EventTag.TRANSITION_DONE]


def test_an_endpoint_that_does_not_follow_does_not_hide_the_rollback() -> None:
    tags = [EventTag.SERVING_TIMED_OUT, EventTag.ROLLED_BACK]
    assert shown(*(event(tag, "m1") for tag in tags)) == tags


def test_a_policy_is_shown_only_if_it_changed_something() -> None:
    first = event(EventTag.POLICY_LOADED, "policy:1", evidence={"changes": [{"key": "roles"}]})
    same = event(EventTag.POLICY_LOADED, "policy:2", before="1", evidence={"changes": []})
    changed = event(EventTag.POLICY_LOADED, "policy:3", before="2", evidence={"changes": [{"key": "roles"}]})
    assert recent_activity([changed, same, first], 10) == [changed]


def test_what_was_there_before_registrar_is_not_activity() -> None:
    there = event(EventTag.TRANSITION_OBSERVED, "m1", why=BEFORE_REGISTRAR)
    moved = event(EventTag.TRANSITION_OBSERVED, "m2", why="moved in MLflow")
    assert recent_activity([moved, there], 10) == [moved]


def test_only_the_newest_events_are_shown() -> None:
    links = [event(EventTag.REGISTERED, f"v{number}") for number in range(5)]
    assert recent_activity(links, 3) == links[:3]
