"""Decisions depend on the codes of reasons, not on their words or on how an earlier version stored them."""

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
        (
            say("{v} of {model} may not load: {why}. If you know better: {how}", v=3, model="churn", why="", how=""),
            Reason.MAY_NOT_LOAD,
        ),
        (
            say(
                "Whether {v} of {model} loads cannot be told now. {why} It is looked at again with each check, "
                "and gone back to once it is known to load.",
                v=3,
                model="churn",
                why="",
            ),
            Reason.LOADABILITY_UNKNOWN,
        ),
        (say("A rollback was tried already for v{v}, and came to nothing.", v=4), Reason.ALREADY_TRIED),
        (say("Somebody wrote something else."), ""),
        (None, ""),
    ],
)
def test_the_reason_of_a_row_without_a_code_is_found_by_its_template(why: Sentence | None, reason: str) -> None:
    assert reason_of(why) == reason


def test_a_new_wording_does_not_change_the_next_step() -> None:
    reworded = say("It won't load.").with_code(Reason.MAY_NOT_LOAD)
    assert "--force" in str(next_step(replace(HELD, why=reworded)))
    assert "--force" not in str(next_step(replace(HELD, why=say("It won't load."))))


def test_only_a_new_reason_is_announced() -> None:
    before = replace(HELD, why=say("v3 won't load.").with_code(Reason.MAY_NOT_LOAD))
    same = IncidentDecision(IncidentStatus.HELD, say("v3 can't be loaded.").with_code(Reason.MAY_NOT_LOAD))
    other = IncidentDecision(IncidentStatus.HELD, say("v3 won't load.").with_code(Reason.NO_TARGET))
    assert [is_escalation(decision, before) for decision in (same, other)] == [False, True]


def test_no_other_code_compares_templates() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("bot/domain/monitoring", "bot/services/monitoring", "bot/slack/monitoring", "bot/sources")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "template"
    }
    assert found == {
        "bot/domain/monitoring/messages.py",  # removes a period
        "bot/domain/monitoring/reasons.py",
    }
