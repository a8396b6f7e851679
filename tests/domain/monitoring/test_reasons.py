"""Decisions depend on the codes of reasons: not on their words, and not on how an earlier version stored them."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.sentence import Sentence, pack_sentence, say, unpack_sentence
from bot.domain.monitoring.incident import (
    Incident,
    IncidentDecision,
    IncidentKind,
    IncidentStatus,
    is_escalation,
)
from bot.domain.monitoring.incident_messages import next_step
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.rollbacks.messages import loadability_unknown_to_monitor_reason, may_not_load_refusal
from tests.support.paths import ROOT

NOW = datetime(2026, 5, 4, tzinfo=UTC)
HELD = Incident(
    id="i1",
    kind=IncidentKind.FAILED,
    model="churn",
    source="",
    version=4,
    move="t4",
    monitors=("accuracy",),
    opened_at=NOW,
    since=NOW,
    lines=(),
    doing=IncidentStatus.HELD,
    target=3,
)


def test_a_reason_is_stored_with_its_sentence() -> None:
    why = say("Nothing {v}.", v=1).with_code(Reason.NO_TARGET)
    assert reason_of(unpack_sentence(pack_sentence(why))) == Reason.NO_TARGET
    assert "code" not in pack_sentence(say("Nothing."))


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (may_not_load_refusal("churn", 3, [say("its run is gone")]), Reason.MAY_NOT_LOAD),
        (loadability_unknown_to_monitor_reason("churn", 3, say("It is down.")), Reason.LOADABILITY_UNKNOWN),
        (say("A rollback was tried already for v{v}, and came to nothing.", v=4), Reason.ALREADY_TRIED),
        (say("Somebody wrote something else."), ""),
        (None, ""),
    ],
)
def test_a_row_without_a_code_has_the_reason_that_its_words_had(why: Sentence | None, reason: str) -> None:
    assert reason_of(why) == reason


def test_another_wording_leads_to_the_same_next_step() -> None:
    reworded = say("It won't load.").with_code(Reason.MAY_NOT_LOAD)
    assert "--force" in str(next_step(replace(HELD, why=reworded)))
    assert "--force" not in str(next_step(replace(HELD, why=say("It won't load."))))


def test_only_another_reason_is_told_again() -> None:
    before = replace(HELD, why=say("v3 won't load.").with_code(Reason.MAY_NOT_LOAD))
    same = IncidentDecision(IncidentStatus.HELD, say("v3 can't be loaded.").with_code(Reason.MAY_NOT_LOAD))
    other = IncidentDecision(IncidentStatus.HELD, say("v3 won't load.").with_code(Reason.NO_TARGET))
    assert [is_escalation(decision, before) for decision in (same, other)] == [False, True]


def test_nothing_else_compares_templates() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("bot/domain/monitoring", "bot/services/monitoring", "bot/slack/monitoring", "bot/sources")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "template"
    }
    assert found == {
        "bot/domain/monitoring/messages.py",  # cuts a period off
        "bot/domain/monitoring/reasons.py",
    }
