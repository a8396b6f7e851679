"""Permission checks: who is allowed, and what the audit log records about refusals."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.core.errors import Refused, UnknownModel
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import Stage
from tests.support.services.bench import ALICE, BOB, GUEST, Bench


def test_a_permitted_caller_passes_without_an_audit_event(bench: Bench) -> None:
    bench.gatekeeper.require_permission(BOB, Permission.REPAIR, model="churn", target=Stage.PRODUCTION, origin="slack")
    bench.gatekeeper.require_permission(GUEST, Permission.READ, origin="slack")
    assert bench.events() == []


def test_a_refusal_is_audited_with_permission_reason_and_origin(bench: Bench) -> None:
    with pytest.raises(Refused, match="Only people who can roll back"):
        bench.gatekeeper.require_permission(ALICE, Permission.ARCHIVE, model="churn", origin="terminal")
    [event] = bench.events()
    assert (event.tag, event.subject, event.model, event.origin) == (
        EventTag.PERMISSION_REFUSED,
        "churn",
        "churn",
        "terminal",
    )
    assert (event.actor, event.evidence["act"]) == (ALICE.person, "archive")
    assert event.evidence["by"] == {"name": "", "roles": [], "groups": []}
    assert "Only people who can roll back" in event.why


def test_a_refusal_without_a_model_is_about_the_registry(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.gatekeeper.require_permission(GUEST, Permission.REGISTER, origin="slack")
    [event] = bench.events()
    assert (event.subject, event.model) == ("registry", None)


def test_a_known_model_in_a_different_letter_case_is_unknown(bench: Bench) -> None:
    bench.watch.poll()
    with pytest.raises(UnknownModel, match="churn"):
        bench.gatekeeper.require_permission(BOB, Permission.ROLL_BACK, model="Churn", origin="slack")


@pytest.mark.parametrize(
    ("act", "model", "target", "stopped"),
    [
        (Permission.REPAIR, "churn", Stage.PRODUCTION, True),
        (Permission.REPAIR, "churn", Stage.STAGING, False),
        (Permission.REPAIR, "fraud", Stage.PRODUCTION, False),
        (Permission.ARCHIVE, "churn", Stage.PRODUCTION, False),
    ],
    ids=str,
)
def test_a_freeze_stops_changes_to_its_model_s_production(
    bench: Bench, act: Permission, model: str, target: Stage, stopped: bool
) -> None:
    bench.execute(BOB, build_command(FreezeModel, {"model": "churn", "reason": "audit"}))
    before = len(bench.events())
    if stopped:
        with pytest.raises(Refused, match="@UBOB froze Production"):
            bench.gatekeeper.require_permission(BOB, act, model=model, target=target, origin="slack")
    else:
        bench.gatekeeper.require_permission(BOB, act, model=model, target=target, origin="slack")
    assert len(bench.events()) == before + stopped
