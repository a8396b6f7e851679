"""A model's status: what's in its stages, what needs attention, and how that's said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.core.actors import MONITOR_AUTOMATION
from bot.domain.core.sentence import say
from bot.domain.monitoring.model_status import (
    ModelStatus,
    StageHolder,
    describe_freeze,
    describe_monitors,
    problems_first,
    shared_freeze,
    stage_holders,
    status_lines,
)
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import StageEntry, TransitionKind, TransitionState
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import a_transition

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def row(state: MonitorStatus, name: str = "accuracy", **more: Any) -> MonitorRow:
    """Return a monitor that was checked a minute ago."""
    checked = MonitorState(monitor="m1", state=state, at=NOW, since=NOW, version=7, value=0.9, **more)
    return MonitorRow(a_monitor(name=name), checked)


def entry(**changes: Any) -> StageEntry:
    done = {"state": TransitionState.DONE, "finished_at": NOW, "intended_at": NOW}
    return StageEntry(transition=a_transition(**done | changes), semver="2.1.0")


def holders(found: tuple[StageHolder, ...]) -> list[tuple[int, bool]]:
    """Return each version, and whether it's known how it got there."""
    return [(holder.version, holder.entry is not None) for holder in found]


def test_a_transition_that_finished_after_the_snapshot_decides_what_is_in_the_stage() -> None:
    before = RegistrySnapshot(model="churn", at=NOW - timedelta(minutes=1), stages={5: Stage.PRODUCTION})
    assert holders(stage_holders([5], before, entry())) == [(7, True)]
    assert holders(stage_holders([5], before, entry(keep_existing=True))) == [(7, True), (5, False)]


def test_a_newer_snapshot_decides_what_is_in_the_stage() -> None:
    after = RegistrySnapshot(model="churn", at=NOW + timedelta(minutes=1), stages={8: Stage.PRODUCTION})
    assert holders(stage_holders([8], after, entry())) == [(8, False)]
    assert holders(stage_holders([], after, entry())) == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], ""),
        ([row(MonitorStatus.OK)], "1 monitor healthy"),
        ([row(MonitorStatus.OK)] * 2, "2 monitors healthy"),
        ([row(MonitorStatus.FAILED), row(MonitorStatus.OK)], "accuracy failing since 2026-05-04 12:00 UTC, 1 healthy"),
        ([MonitorRow(a_monitor(), MonitorState(monitor="m1"))], "1 monitor waiting"),
        ([row(MonitorStatus.NO_DATA, empty=3)], "accuracy no data"),
    ],
)
def test_monitors_are_described_with_the_worst_by_name(rows: list[MonitorRow], said: str) -> None:
    assert str(describe_monitors(rows)) == said


def test_models_with_problems_come_first() -> None:
    timed_out = ServingCheck(
        move="m1", model="late", version=7, lane="r1", asked_at=NOW, state=ServingCheckState.TIMED_OUT, seen="6"
    )
    models = [
        ModelStatus(model="calm", production=(StageHolder(version=1),), monitors=(row(MonitorStatus.OK),)),
        ModelStatus(model="late", serving=timed_out),
        ModelStatus(model="bad", monitors=(row(MonitorStatus.FAILED),)),
        ModelStatus(model="both", production=(StageHolder(version=1), StageHolder(version=2))),
    ]
    assert [status.model for status in problems_first(models)] == ["bad", "both", "late", "calm"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Production: v7 · 2.1.0 · since 2026-05-04 12:00 UTC, promoted by @U1ALICE"),
        (
            {"kind": TransitionKind.ROLLBACK, "actor": MONITOR_AUTOMATION},
            "Production: v7 · 2.1.0 · since 2026-05-04 12:00 UTC, restored by a monitor",
        ),
        (
            {"kind": TransitionKind.OBSERVED, "why": BEFORE_REGISTRAR},
            "Production: v7 · 2.1.0 · first seen 2026-05-04 12:00 UTC",
        ),
    ],
)
def test_the_status_says_how_the_version_got_into_production(changes: dict[str, Any], said: str) -> None:
    status = ModelStatus(model="churn", production=(StageHolder(version=7, entry=entry(**changes)),))
    assert [str(line) for line in status_lines(status)] == [said]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("6", "Serving: not confirmed; the endpoint last reported 6, not v7"),
        ("", "Serving: the endpoint hasn't confirmed v7"),
    ],
)
def test_the_status_says_what_the_endpoint_reported_instead(seen: str, said: str) -> None:
    check = ServingCheck(
        move="m1", model="late", version=7, lane="r1", asked_at=NOW, state=ServingCheckState.TIMED_OUT, seen=seen
    )
    assert str(status_lines(ModelStatus(model="late", serving=check))[-1]) == said


def test_a_freeze_of_every_model_is_said_once() -> None:
    freeze = ActiveFreeze(say("Frozen."), NOW, "end of the quarter.")
    frozen = [ModelStatus(model=name, freeze=freeze) for name in ("a", "b")]
    assert shared_freeze(frozen) == freeze
    assert shared_freeze([*frozen, ModelStatus(model="c")]) is None
    assert shared_freeze(frozen[:1]) is None
    said = "Production of all models is frozen until 2026-05-04 12:00 UTC: end of the quarter"
    assert str(describe_freeze(freeze, of_all=True)) == said
