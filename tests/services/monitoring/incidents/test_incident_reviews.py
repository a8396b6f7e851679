"""The review of an incident, from what the ledger has."""

from __future__ import annotations

import pytest

from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.incident_review import IncidentReview, ReviewEntry, review
from bot.ports import MessageKind, read_incident_facts
from tests.support.monitoring.monitor_commands import MonitorCommands
from tests.support.monitoring.monitoring import add_monitor, check_values, incidents
from tests.support.services.bench import BOB, Bench


def reviewed(bench: Bench) -> IncidentReview:
    bench.incidents.end_and_remind()
    with bench.ledger.read() as reader:
        return review(read_incident_facts(reader, incidents(bench)[0].id))


def sentences(entries: tuple[ReviewEntry, ...]) -> list[str]:
    return [str(entry.sentence) for entry in entries]


def test_the_review_of_an_automatic_rollback_has_every_step(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    found = reviewed(served)
    assert sentences(found.timeline) == [
        "v4 entered Production.",
        "First failing check. 0.5 isn't greater than 0.85.",
        "Alert posted.",
        "Rollback to v2 started by the monitor.",
        "v2 in Production, verified.",
        "Incident closed.",
    ]
    assert "v4 is blocked from rollbacks and requests until unblocked" in str(found.blocked)
    assert found.actions == ()


def test_the_review_has_the_rollback_by_a_person_that_ended_the_incident(served: Bench) -> None:
    add_monitor(served, action="notify")
    check_values(served, 0.5, 0.5)
    served.do('rollback churn 2 --reason "wrong letters"', BOB)
    found = reviewed(served)
    assert "Rollback to v2 started by @UBOB." in sentences(found.timeline)
    [action] = sentences(found.actions)
    assert action.startswith("@UBOB rolled back “churn” v4 → v2 in Production")


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (IncidentKind.FAILED, "review:i4k7q:resolved"),
        (IncidentKind.SOURCE, "review:i4k7q:resolved"),
        (IncidentKind.BLIND, "news:i4k7q:resolved"),
    ],
)
def test_an_incident_without_a_verdict_ends_with_a_sentence_and_others_with_a_review(
    watched: MonitorCommands, kind: IncidentKind, reply: str
) -> None:
    watched.incident(kind=kind)
    watched.types("monitor pause churn accuracy")
    replies = {MessageKind.REVIEW, MessageKind.THREAD_REPLY}
    assert [note.key for note in watched.bench.notes() if note.kind in replies and note.lane == "i4k7q"] == [reply]
