"""Acknowledging and silencing incidents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import AlreadyDecided
from bot.domain.monitoring.incident import IncidentEnding, IncidentStatus
from bot.ports import MessageKind
from bot.slack.monitoring import incident_card
from tests.support.monitoring.monitor_commands import ADD, MonitorCommands
from tests.support.services.bench import ALICE, BOB


def notes(commands: MonitorCommands, kind: MessageKind) -> list[str]:
    return [note.key for note in commands.bench.notes() if note.kind is kind and note.lane == "i4k7q"]


def test_an_acknowledgment_is_shown_and_posted(watched: MonitorCommands) -> None:
    watched.incident()
    watched.service.acknowledge(ALICE, "i4k7q", origin="slack")
    incident = watched.incident_now()
    assert (incident.acknowledged_by, incident.acknowledged_at) == (ALICE.person, watched.bench.clock.now())
    assert notes(watched, MessageKind.INCIDENT) == ["incident:i4k7q:acknowledged"]
    assert watched.bench.told("news:i4k7q:acknowledged") == "@UALICE acknowledged this. No more reminders."
    assert watched.event(EventTag.INCIDENT_ACKNOWLEDGED).actor == ALICE.person


def test_the_second_person_learns_who_acknowledged_first(watched: MonitorCommands) -> None:
    watched.incident()
    watched.service.acknowledge(ALICE, "i4k7q", origin="slack")
    watched.bench.clock.advance(minutes=4)
    with pytest.raises(AlreadyDecided, match="@UALICE acknowledged this 4m ago"):
        watched.service.acknowledge(BOB, "i4k7q", origin="slack")


def test_a_resolved_incident_cannot_be_acknowledged(watched: MonitorCommands) -> None:
    watched.incident(resolved_at=watched.bench.clock.now())
    with pytest.raises(AlreadyDecided, match="already resolved"):
        watched.service.acknowledge(BOB, "i4k7q", origin="slack")


def test_an_incident_s_monitors_are_silenced_together(watched: MonitorCommands) -> None:
    watched.types(ADD.replace("accuracy", "f1"))
    watched.incident()
    watched.service.silence_incident(BOB, "i4k7q", timedelta(hours=2), origin="slack")
    assert [bool(watched.find(name).silenced_until) for name in ("accuracy", "f1")] == [True, False]
    assert "silenced this until" in watched.bench.told("news:i4k7q")


@pytest.mark.parametrize(
    ("text", "ending", "title"),
    [
        ("monitor remove churn accuracy", IncidentEnding.REMOVED, "⏹️ churn v7: accuracy removed"),
        ("monitor pause churn accuracy", IncidentEnding.PAUSED, "⏹️ churn v7: accuracy paused"),
        ("monitor edit churn accuracy --every 10m", IncidentEnding.EDITED, "⏹️ churn v7: accuracy changed"),
    ],
)
def test_an_incident_without_monitors_ends_and_says_who_changed_them(
    watched: MonitorCommands, text: str, ending: IncidentEnding, title: str
) -> None:
    watched.incident()
    watched.types(text)
    incident = watched.incident_now()
    assert not incident.is_open
    assert (incident.ending, incident.ended_by) == (ending, BOB.person)
    assert incident_card.title(incident) == title.replace("v7", f"v{incident.version}")
    assert str(incident.resolution).startswith(f"@{BOB.person.user} {title.rpartition(' ')[2]} accuracy, so")
    assert incident.ended_in in {note.key for note in watched.bench.notes() if note.kind is MessageKind.CHANNEL_MESSAGE}
    assert notes(watched, MessageKind.INCIDENT) == ["incident:i4k7q:resolved"]
    assert watched.event(EventTag.INCIDENT_RESOLVED).subject == "i4k7q"


@pytest.mark.parametrize("changes", [{"monitors": ("accuracy", "f1")}, {"doing": IncidentStatus.INTENT}], ids=str)
def test_an_incident_with_another_monitor_or_a_running_rollback_continues(
    watched: MonitorCommands, changes: dict[str, Any]
) -> None:
    watched.incident(**changes)
    watched.types("monitor pause churn accuracy")
    assert watched.incident_now().is_open
