"""The review of an incident: its times, its timeline, and what to follow up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, Person
from bot.domain.core.sentence import say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.incident_review import IncidentFacts, review
from bot.domain.monitoring.incident_review_markdown import to_markdown
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.model import Stage
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

GOLDEN = Path(__file__).with_name("incident_review.md")
ALERT = datetime(2026, 12, 1, 3, 10, tzinfo=UTC)
DANA = Person("T1", "U0DANA")
AUTO = MonitorConfig(name="accuracy-live", source="live", greater_than=0.85, action="auto")


def after(**span: int) -> datetime:
    return ALERT + timedelta(**span)


def monitor(**changes: Any) -> Monitor:
    fields: dict[str, Any] = {"id": "m1", "model": "churn", "rule": AUTO, "created_at": ALERT, "created_by": DANA}
    return Monitor(**(fields | {"armed_at": ALERT} | changes))


def incident(**changes: Any) -> Incident:
    why = say("{value} isn't greater than {bound}.", value=0.61, bound=0.85)
    fields: dict[str, Any] = {
        "id": "i4k7q",
        "kind": IncidentKind.FAILED,
        "model": "churn",
        "source": "",
        "version": 7,
        "move": "promotion:r1",
        "monitors": ("accuracy-live",),
        "opened_at": ALERT,
        "since": after(minutes=-10),
        "lines": (incident_messages.monitor_line(monitor(), why),),
        "doing": IncidentStatus.ROLLED_BACK,
        "target": 6,
        "rollback": "rb1",
        "acknowledged_by": DANA,
        "acknowledged_at": after(minutes=2),
        "resolved_at": after(seconds=25),
        "resolution": incident_messages.recovered_after_rollback(6, after(seconds=25), after(minutes=30)),
        "ending": IncidentEnding.RECOVERED,
    }
    return Incident(**(fields | changes))


def event(tag: EventTag, at: datetime, **changes: Any) -> Event:
    fields: dict[str, Any] = {"actor": DANA, "subject": "i4k7q", "evidence": {"by": {"name": "Dana *Ops*"}}}
    return Event(at=at, tag=tag, model="churn", **(fields | changes))


ENTERED = Transition(
    id="promotion:r1",
    kind=TransitionKind.PROMOTION,
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    expected_incumbent=6,
    actor=DANA,
    intended_at=after(hours=-5),
    finished_at=after(hours=-5),
    state=TransitionState.DONE,
)
ROLLBACK = replace(
    ENTERED,
    id="rb1",
    kind=TransitionKind.ROLLBACK,
    version=6,
    expected_incumbent=7,
    actor=MONITOR_AUTOMATION,
    intended_at=ALERT,
    finished_at=after(seconds=3),
)
FACTS = IncidentFacts(
    incident=incident(),
    monitors=[monitor()],
    first_failure=Measurement(
        monitor="m1",
        slot=1,
        at=after(minutes=-10),
        revision=1,
        version=7,
        move="promotion:r1",
        outcome=CheckOutcome.FAILED,
        value=0.7,
        why=say("0.7 isn't greater than 0.85."),
    ),
    entered=ENTERED,
    replaced=ROLLBACK,
    serving=ServingCheck(
        move="rb1",
        model="churn",
        version=6,
        lane="i4k7q",
        asked_at=after(seconds=3),
        state=ServingCheckState.CONFIRMED,
        confirmed_at=after(seconds=18),
    ),
    restored_first_at=after(days=-61),
    is_blocked=True,
    events=[
        event(EventTag.INCIDENT_RESOLVED, after(seconds=25), actor=MONITOR_AUTOMATION, evidence={}),
        event(EventTag.INCIDENT_ACKNOWLEDGED, after(minutes=2)),
        event(EventTag.MONITOR_SILENCED, after(minutes=5), subject="churn accuracy-live", why="fixing <the> source"),
        event(EventTag.INCIDENT_RESOLVED, after(minutes=30), actor=MONITOR_AUTOMATION, evidence={}),
        event(EventTag.UNBLOCKED, after(hours=9), subject="v7"),
    ],
)
BY_HAND: dict[str, Any] = {"replaced": None, "serving": None, "is_blocked": False, "restored_first_at": None}


def follow_ups(facts: IncidentFacts = FACTS, **changes: Any) -> list[str]:
    return [str(sentence) for sentence in review(replace(facts, **changes)).follow_ups]


def test_the_markdown_of_an_automatic_rollback_is_always_the_same() -> None:
    assert to_markdown(review(FACTS)) == GOLDEN.read_text(encoding="utf-8")


def test_detection_counts_from_the_first_failure_and_restoring_from_the_alert() -> None:
    found = review(FACTS)
    assert (found.detected_after, found.acknowledged_after) == (timedelta(minutes=10), timedelta(minutes=2))
    assert found.restored_after == timedelta(seconds=18)  # when the endpoint reported it
    assert review(replace(FACTS, serving=None)).restored_after == timedelta(seconds=3)  # when the registry had it


def test_a_rollback_that_the_endpoint_has_not_confirmed_restored_nothing() -> None:
    facts = replace(FACTS, incident=incident(ending=IncidentEnding.NOT_CONFIRMED), serving=None)
    assert review(facts).restored_after is None
    assert "- **Restored**: not recorded" in to_markdown(review(facts))
    assert "Check the endpoint: it hasn't confirmed v6." in follow_ups(facts)


def test_an_incident_that_recovers_without_a_rollback_was_restored_when_it_ended() -> None:
    ended = incident(doing=IncidentStatus.NOTIFIED, rollback=None, resolved_at=after(minutes=50))
    assert review(replace(FACTS, **BY_HAND, incident=ended)).restored_after == timedelta(minutes=50)


def test_the_review_of_an_open_incident_has_what_is_known_so_far() -> None:
    still_open = incident(doing=IncidentStatus.FROZEN, rollback=None, resolved_at=None, resolution=None, ending=None)
    found = review(replace(FACTS, **BY_HAND, incident=still_open, events=[]))
    assert (found.restored_after, str(found.outcome)) == (None, "Production is unchanged because it's frozen.")
    assert [str(entry.sentence) for entry in found.timeline][-1] == "Acknowledged by @U0DANA."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Find out why v7 failed before anyone requests it again."),
        (
            {"is_blocked": False},
            "Find out why v7 failed. It isn't blocked, so it can still be requested or rolled back to.",
        ),
        (BY_HAND, "Find out why v7 failed."),
        (
            {},
            "v6 first entered Production 61d before this. Check that it still works with today's data and callers.",
        ),
        (
            {"incident": incident(acknowledged_at=after(minutes=48))},
            "Acknowledged after 48m. Check who is on call (on_call in the policy).",
        ),
        (
            {"incident": incident(acknowledged_at=None, acknowledged_by=None, resolved_at=after(minutes=20))},
            "No one acknowledged this in 20m. Check who is on call (on_call in the policy).",
        ),
        (
            {"monitors": [monitor(armed_at=None)]},
            "accuracy-live isn't armed, so it asks before rolling back. To arm it: "
            "/model monitor arm churn accuracy-live",
        ),
        (
            {"monitors": [monitor(rule=AUTO.model_copy(update={"action": "dry_run"}))]},
            "accuracy-live is in a dry run. To get alerts: /model monitor edit churn accuracy-live --action notify",
        ),
        (
            {"breaker": TrippedBreaker(model="churn", at=ALERT, why=say("?"))},
            "Automatic rollbacks have stopped. An admin can resume them with /model monitor reset churn",
        ),
    ],
)
def test_follow_ups_come_from_the_facts(changes: dict[str, Any], said: str) -> None:
    assert said in follow_ups(**changes)


def test_without_problems_there_is_one_follow_up() -> None:
    assert len(follow_ups(restored_first_at=after(days=-3))) == 1


def test_outside_text_is_escaped_in_markdown() -> None:
    text = to_markdown(review(replace(FACTS, incident=incident(resolution=say("{why}", why="<b>[x](y)\n# *z*")))))
    assert r"- **Outcome**: \<b\>\[x\](y) \# \*z\*" in text
