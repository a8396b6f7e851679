"""Who can approve a request, who it's waiting for, and whether there are enough approvers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.core.actors import Client, Person, Profile
from bot.domain.core.errors import TooFewApprovers
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.promotions.approvers import (
    MAX_NOTIFIED,
    EligibleApprovers,
    PendingApprovers,
    check_enough_approvers,
    pending_approvers,
    rules_unmeetable_for_approvers,
    unmeetable_rules,
    waiting_for_approvers,
)
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
FAILED = RequestSnapshot(gates=(GateResult(name="f1", bound="≥ 0.9", value="0.8", passed=False),))


def a_policy(**rule: Any) -> Policy:
    """Return a policy with this rule for Production."""
    return validate_policy({"models": {"*": {"production": {"approvers": ["UBOB", "UCAROL"], **rule}}}})


def a_request(**changes: Any) -> Request:
    """Return Alice's request."""
    request = Request(
        id="r4k7q",
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=5,
        requester=Person("T1", "UALICE"),
        reason="",
        required=1,
        opened_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    return replace(request, **changes)


def yes(user: str, lapsed: str = "") -> Vote:
    """Return someone's approval."""
    return Vote(request="r4k7q", voter=Person("T1", user), choice=VoteChoice.APPROVE, reason="", at=NOW, lapsed=lapsed)


# -- who a request is waiting for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "missing", "said"),
    [
        (["UBOB"], 1, "Waiting for @UBOB."),
        (["UBOB", "UCAROL"], 1, "Waiting for @UBOB or @UCAROL."),
        (["UBOB", "UCAROL", "UDAVE"], 1, "Waiting for @UBOB, @UCAROL, or @UDAVE."),
        (["UBOB", "UCAROL"], 2, "Waiting for @UBOB and @UCAROL."),
        (["UBOB", "UCAROL", "UDAVE"], 2, "Waiting for 2 approvals from @UBOB, @UCAROL, or @UDAVE."),
        (["SLEADS"], 1, "Waiting for @SLEADS."),
        (["SLEADS", "UDAVE"], 2, "Waiting for 2 approvals from @SLEADS or @UDAVE."),
        (["UCAROL"], 2, "Waiting for 2 approvals, but only @UCAROL can still approve."),
        ([], 1, "Waiting for 1 approval, but no one can approve."),
        (["UDAVE"], 0, "Waiting for @UDAVE to override the failed gates."),
    ],
)
def test_a_card_says_who_it_is_waiting_for(ids: list[str], missing: int, said: str) -> None:
    assert str(waiting_for_approvers(PendingApprovers(ids, missing), None)) == said


def test_at_most_twenty_people_are_named_and_the_others_counted() -> None:
    said = str(waiting_for_approvers(PendingApprovers([f"U{number:02}" for number in range(23)], 1), None))
    assert said.count("@U") == MAX_NOTIFIED
    assert said.endswith(", or 3 more.")


def test_people_are_named_instead_of_mentioned_if_they_must_not_be_notified() -> None:
    said = waiting_for_approvers(PendingApprovers(["UBOB", "UCAROL"], 1), {"UBOB": "Bob Tanaka"})
    assert str(said) == "Waiting for Bob Tanaka or UCAROL."


@pytest.mark.parametrize(
    ("votes", "ids"),
    [([], ["UBOB", "UCAROL"]), ([yes("UBOB")], ["UCAROL"]), ([yes("UBOB", "deactivated")], ["UCAROL"])],
    ids=["no votes", "one approved", "one vote lapsed"],
)
def test_people_who_voted_are_not_pending_approvers(votes: list[Vote], ids: list[str]) -> None:
    assert pending_approvers(a_request(required=2), votes, a_policy(required=2)).ids == ids


@pytest.mark.parametrize(("may", "ids"), [(False, ["UCAROL"]), (True, ["UBOB", "UCAROL"])])
def test_the_requester_is_a_pending_approver_if_they_can_approve(may: bool, ids: list[str]) -> None:
    own = a_request(requester=Person("T1", "UBOB"))
    assert pending_approvers(own, [], a_policy(requester_may_approve=may)).ids == ids


def test_a_blocked_request_with_enough_approvals_waits_for_an_override() -> None:
    blocked = a_request(seen=FAILED)
    assert pending_approvers(blocked, [yes("UBOB")], a_policy(override=["UDAVE"])) == PendingApprovers(["UDAVE"], 0)
    assert pending_approvers(blocked, [], a_policy(override=["UDAVE"])) == PendingApprovers(["UBOB", "UCAROL"], 1)


# -- whether there are enough approvers --------------------------------------------------------------------------------


def people(users: Iterable[str], *, is_whole: bool = True, **changes: Any) -> EligibleApprovers:
    """Return active members; `changes` apply to Bob's account."""
    found = {user: Profile(person=Person("T1", user)) for user in users}
    found["UBOB"] = replace(found.get("UBOB") or Profile(person=Person("T1", "UBOB")), **changes)
    return EligibleApprovers(found, is_whole)


def refusal(rule: dict[str, Any], electorate: EligibleApprovers, requester: str | None = "UALICE") -> str:
    """Return why a person's request, or a program's, is refused under this rule; empty if it isn't."""
    target = a_request(requester=Person("T1", requester) if requester else Client("ci")).access_target
    try:
        check_enough_approvers(target, TargetRule.model_validate(rule), a_policy(**rule), electorate)
    except TooFewApprovers as error:
        return str(error.sentence)
    return ""


TWO = {"approvers": ["UBOB", "UCAROL"], "required": 2}


def test_an_approver_s_request_is_refused_if_the_rule_needs_all_approvers() -> None:
    assert refusal(TWO, people(["UBOB", "UCAROL"]), "UBOB") == (
        "No request was opened: it needs 2 approvals, but besides you, only @UCAROL can approve. "
        "Someone who isn't an approver can request it."
    )


def test_a_request_that_no_one_can_make_is_refused_with_the_fix() -> None:
    assert refusal(TWO, people(["UBOB"]), "UBOB") == (
        "No request was opened: it needs 2 approvals, but besides you, no one can approve. "
        "Add approvers for “churn” to registrar.yml."
    )


@pytest.mark.parametrize(
    "changes", [{"is_deleted": True}, {"is_guest": True}, {"is_bot": True}, {"is_home": False}], ids=str
)
def test_an_account_that_cannot_decide_does_not_count(changes: dict[str, bool]) -> None:
    assert "only @UCAROL can approve" in refusal(TWO, people(["UBOB", "UCAROL"], **changes))


@pytest.mark.parametrize(
    ("rule", "electorate", "requester"),
    [
        (TWO, people(["UBOB", "UCAROL"]), "UALICE"),
        (TWO | {"requester_may_approve": True}, people(["UBOB", "UCAROL"]), "UBOB"),
        (TWO, people(["UBOB", "UCAROL"]), None),
        (TWO, people(["UBOB"], is_whole=False), "UBOB"),
    ],
    ids=["by someone else", "own requests count", "by a program", "unknown group members"],
)
def test_a_request_with_enough_approvers_is_not_refused(
    rule: dict[str, Any], electorate: EligibleApprovers, requester: str | None
) -> None:
    assert refusal(rule, electorate, requester) == ""


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"approvers": []}, ["models.*.production (needs 1 approval, has 0)"]),
        ({"approvers": ["U02BOB"], "required": 2}, ["models.*.production (needs 2 approvals, has 1)"]),
        ({"approvers": ["U02BOB", "S01LEADS"], "required": 2}, []),
        ({"approvers": ["U02BOB", "U03EVE"], "required": 2}, []),
    ],
    ids=["no one", "too few", "a group might be enough", "enough"],
)
def test_an_unmeetable_rule_is_reported(rule: dict[str, object], told: list[str]) -> None:
    assert unmeetable_rules(validate_policy({"models": {"*": {"production": rule}}})) == told


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, []),
        ({"required": 2}, ["models.*.production (needs 2 approvals, has 2)"]),
        ({"required": 2, "requester_may_approve": True}, []),
        ({"required": 3}, []),
        ({"required": 2, "approvers": ["UBOB", "SLEADS"]}, []),
    ],
    ids=str,
)
def test_a_rule_that_needs_every_listed_approver_is_reported(rule: dict[str, object], told: list[str]) -> None:
    assert rules_unmeetable_for_approvers(a_policy(**rule)) == told


# -- settings that don't affect a pending request ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mention", "direct", "none"])
def test_the_tell_approvers_setting_does_not_change_the_rule_s_fingerprint(how: str) -> None:
    assert a_policy(tell_approvers=how).fingerprint("churn", Stage.PRODUCTION) == a_policy().fingerprint(
        "churn", Stage.PRODUCTION
    )


def test_an_older_policy_file_keeps_the_fingerprints_of_pending_requests() -> None:
    production = {
        "approvers": ["lead"],
        "required": 2,
        "expires_after": "24h",
        "override": ["U0DAVE"],
        "gates": [{"metric": "accuracy", "at_least": 0.85}, {"semver": "set"}],
    }
    rules = {"staging": {"approvers": ["lead"]}, "production": production}
    policy = validate_policy({"roles": {"lead": ["U0BOB", "U0CAROL"]}, "models": {"*": rules}})
    found = [policy.fingerprint("churn", stage) for stage in (Stage.PRODUCTION, Stage.STAGING)]
    assert found == ["6c4c90025ee8ff8b", "d9df1aa35461f77c"]  # as version 0.2.0 computed them
