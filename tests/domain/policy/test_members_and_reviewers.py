"""Who counts as a full member, who is an outsider, and who can review a break-glass promotion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.core.actors import Actor, Automation, Operator, Person, Profile
from bot.domain.policy.authorization import (
    AccessTarget,
    Permission,
    authorize,
    is_full_member,
    reviewer_ids,
    unknown_operator_decision,
)
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage

POLICY = validate_policy(
    {
        "roles": {"lead": ["ULEAD", "UALICE"], "admin": ["UADMIN"]},
        "models": {"*": {"production": {"approvers": ["lead"]}}},
    }
)
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALICE = Person("T1", "UALICE")


def person(user: str, **standing: Any) -> Profile:
    return Profile(person=Person("T1", user), **standing)


@pytest.mark.parametrize(
    ("standing", "is_member"),
    [({}, True), ({"is_guest": True}, False), ({"is_bot": True}, False), ({"is_home": False}, False)],
)
def test_guests_bots_and_strangers_are_not_full_members(standing: dict[str, bool], is_member: bool) -> None:
    assert is_full_member(person("ULEAD", **standing)) == is_member


@pytest.mark.parametrize(
    ("caller", "rule", "is_outsider"),
    [
        (person("ULEAD", is_deleted=True), "deactivated", True),
        (person("ULEAD", is_bot=True), "bot", True),
        (person("ULEAD", is_home=False), "stranger", True),
        (person("UANYONE"), "not an approver", False),
        (person("ULEAD"), "approver", False),
    ],
)
def test_only_people_without_any_access_are_outsiders(caller: Profile, rule: str, is_outsider: bool) -> None:
    request = AccessTarget(model="churn", target=Stage.PRODUCTION, requester=ALICE)
    decision = authorize(caller, Permission.APPROVE, request, POLICY, NOW)
    assert (decision.rule, decision.is_outsider) == (rule, is_outsider)


def test_approvers_and_admins_review_a_break_glass_promotion_but_not_whoever_made_it() -> None:
    promotion = AccessTarget(model="churn", target=Stage.PRODUCTION, requester=ALICE)
    assert reviewer_ids(promotion, POLICY) == ["UADMIN", "ULEAD"]


@pytest.mark.parametrize(
    "missing",
    [
        AccessTarget(target=Stage.PRODUCTION, requester=ALICE),
        AccessTarget(model="churn", requester=ALICE),
        AccessTarget(model="churn", target=Stage.PRODUCTION),
    ],
)
def test_without_a_model_a_stage_and_a_requester_nothing_can_be_reviewed(missing: AccessTarget) -> None:
    decision = authorize(person("ULEAD"), Permission.REVIEW, missing, POLICY, NOW)
    assert (decision.allowed, decision.rule) == (False, "not a reviewer")
    assert "othing to review" in str(decision.reason)


@pytest.mark.parametrize(
    ("actor", "name"), [(Operator("root"), "“root”"), (Automation("monitor"), "“monitor”"), (ALICE, "“”")]
)
def test_the_refusal_of_an_unknown_operator_names_the_account(actor: Actor, name: str) -> None:
    assert name in str(unknown_operator_decision(actor).reason)
