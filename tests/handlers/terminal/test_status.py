"""The output of `registrar status`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

from bot.domain.commands.registry import ShowStatus
from bot.domain.monitoring.model_status import ModelStatus, StageHolder
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.transitions.transition import StageEntry
from handlers.terminal import monitors
from handlers.terminal.output.command_output import OutputFormat
from handlers.terminal.session import TerminalSession
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import a_transition

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CHURN = ModelStatus(
    model="churn",
    production=(StageHolder(version=7, entry=StageEntry(transition=a_transition(intended_at=NOW), semver="2.1.0")),),
    monitors=(MonitorRow(a_monitor(), MonitorState(monitor="m1", state=MonitorStatus.OK, at=NOW, value=0.9)),),
)


def shown(statuses: list[ModelStatus], output_format: OutputFormat = OutputFormat.TEXT, **given: Any) -> str:
    """Return the output; the session isn't needed for a view that has been read."""
    command = ShowStatus(**given)
    return monitors.RENDERERS[ShowStatus](cast(TerminalSession, None), command, statuses, output_format).text


def test_one_model_is_shown_in_lines() -> None:
    lines = shown([CHURN], model="churn").splitlines()
    assert lines == [
        "churn",
        "Production: v7 · 2.1.0 · since 2026-05-04 12:00 UTC, promoted by @U1ALICE",
        "accuracy: healthy",
    ]


def test_several_models_are_a_table() -> None:
    text = shown([CHURN, ModelStatus(model="fraud")])
    assert "v7 · 2.1.0" in text
    assert "1 monitor healthy" in " ".join(text.split())
    assert "No version is in Production or Staging yet" in shown([])


def test_the_document_has_the_documented_keys() -> None:
    [churn] = json.loads(shown([CHURN], OutputFormat.JSON, model="churn"))["models"]
    assert churn["production"] == [
        {"version": 7, "semver": "2.1.0", "since": "2026-05-04T12:00:00Z", "by": "slack:T1/U1ALICE"}
    ]
    documented = monitors.KEYS[ShowStatus]["models"]
    assert [key for key in churn if key not in documented] == []
