"""Who may do what: every kind of caller against every act, as the table says, and the rules behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from bot.domain.core.actors import Actor, Automation, Caller, Client, Operator, Person, Profile
from bot.domain.core.sentence import say
from bot.domain.policy.authorization import TABLE, Act, Decision, Subject, Who, authorize, deciders, standing
from bot.domain.policy.freezes import Frozen
from bot.domain.policy.parser import read_policy
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICY = read_policy(
    {
        "roles": {"lead": ["ULEAD", "S1LEADS"], "admin": ["UADMIN"]},
        "models": {
            "*": {
                "staging": {"approvers": ["lead"], "requester_may_approve": True},
                "production": {"approvers": ["lead"], "override": ["UOVER"]},
                "rollback": {"by": ["UONCALL"]},
            },
            "plain": {"production": {"approvers": ["lead"]}},
            "nobody": {"production": {"approvers": []}},
        },
        "clients": {"ci": {"token_env": "X", "may": ["request"]}},
        "operators": {"ann": "UADMIN", "max": "UALICE", "eve": "ULEAD"},
    }
)


def person(user: str, **standing: Any) -> Profile:
    return Profile(person=Person("T1", user), **standing)


REQUESTER = person("UALICE")
CI = Client("ci")
ASKED = Subject(model="churn", target=Stage.PRODUCTION, requester=REQUESTER.person)

CALLERS: dict[str, Caller] = {
    "requester": REQUESTER,
    "member": person("USOMEONE"),
    "lead": person("ULEAD"),
    "one of the group of leads": person("UGROUPED", groups=frozenset({"S1LEADS"})),
    "on call": person("UONCALL"),
    "overrider": person("UOVER"),
    "admin": person("UADMIN"),
    "guest": person("ULEAD", is_guest=True),
    "guest admin": person("UADMIN", is_guest=True),
    "bot": person("ULEAD", is_bot=True),
    "deactivated": person("ULEAD", is_deleted=True),
    "stranger": person("ULEAD", is_home=False),
    "automation": Automation("monitor"),
    "client": CI,
    "unknown client": Client("evil"),
    "operator ann, an admin": Operator("ann"),
    "unknown operator": Operator("root"),
}

# Whom each rule of the table lets through, of the full members above.
MEMBERS = {
    "requester",
    "member",
    "lead",
    "one of the group of leads",
    "on call",
    "overrider",
    "admin",
    "operator ann, an admin",
}
LET_THROUGH = {
    Who.ANYONE: MEMBERS,
    Who.APPROVER: {"lead", "one of the group of leads"},
    Who.REQUESTER_OR_ADMIN: {"requester", "admin", "operator ann, an admin"},
    Who.ROLLBACK_OR_ADMIN: {"on call", "admin", "operator ann, an admin"},
    Who.OVERRIDER: {"overrider"},
    Who.ADMIN: {"admin", "operator ann, an admin"},
    Who.REVIEWER: {"lead", "one of the group of leads", "admin", "operator ann, an admin"},
}


def expected(caller: str, act: Act) -> bool:
    """Return what the table says, read independently of `authorize`."""
    row = TABLE[act]
    match caller:
        case "automation":
            return row.automations
        case "client":
            return row.programs and row.who is not Who.REQUESTER_OR_ADMIN
        case "guest" | "guest admin":
            return row.guests
        case "bot" | "deactivated" | "stranger" | "unknown client":
            return False
        case "unknown operator":
            return row.terminal
    return caller in LET_THROUGH[row.who]


def ask(caller: Caller, act: Act, subject: Subject = ASKED, policy: Policy = POLICY) -> Decision:
    return authorize(caller, act, subject, policy, NOW)


EVERY_TRY = list(product(CALLERS, Act))


def test_everybody_may_do_what_the_table_says_and_nothing_else() -> None:
    allowed = {(caller, act) for caller, act in EVERY_TRY if ask(CALLERS[caller], act).allowed}
    assert allowed == {(caller, act) for caller, act in EVERY_TRY if expected(caller, act)}


FROZEN = Frozen(say("Production is frozen."), None)


@pytest.mark.parametrize("target", [Stage.STAGING, Stage.PRODUCTION], ids=str)
def test_a_freeze_stops_what_the_table_says_in_production_and_nothing_else(target: Stage) -> None:
    free = replace(ASKED, target=target)
    frozen = replace(free, frozen=FROZEN)
    allowed = {(caller, act) for caller, act in EVERY_TRY if ask(CALLERS[caller], act, free).allowed}
    stopped = {(caller, act) for caller, act in allowed if TABLE[act].freezes and target is Stage.PRODUCTION}
    still = {(caller, act) for caller, act in EVERY_TRY if ask(CALLERS[caller], act, frozen).allowed}
    assert still == allowed - stopped


def test_who_may_not_do_it_anyway_does_not_hear_of_the_freeze() -> None:
    assert ask(CALLERS["member"], Act.APPROVE, replace(ASKED, frozen=FROZEN)).rule == "not an approver"


def test_every_refusal_has_a_sentence() -> None:
    said = {(caller, act): str(ask(CALLERS[caller], act).why) for caller, act in EVERY_TRY}
    assert {one: why for one, why in said.items() if not why.endswith(".")} == {}


def test_every_act_has_a_row() -> None:
    assert set(TABLE) == set(Act)


# The table once more, written down by hand: a slip in it shows here, whatever the code makes of it.
WHO = {
    Act.READ: Who.ANYONE,
    Act.ASK: Who.ANYONE,
    Act.APPROVE: Who.APPROVER,
    Act.REJECT: Who.APPROVER,
    Act.WITHDRAW: Who.ANYONE,
    Act.CANCEL: Who.REQUESTER_OR_ADMIN,
    Act.OVERRIDE: Who.OVERRIDER,
    Act.REGISTER: Who.ANYONE,
    Act.DESCRIBE: Who.ANYONE,
    Act.TAG: Who.ANYONE,
    Act.ARCHIVE: Who.ROLLBACK_OR_ADMIN,
    Act.MEND: Who.ROLLBACK_OR_ADMIN,
    Act.ROLL_BACK: Who.ROLLBACK_OR_ADMIN,
    Act.CLEAR: Who.ROLLBACK_OR_ADMIN,
    Act.FREEZE: Who.ROLLBACK_OR_ADMIN,
    Act.UNFREEZE: Who.ROLLBACK_OR_ADMIN,
    Act.EDIT_MONITOR: Who.ROLLBACK_OR_ADMIN,
    Act.PAUSE: Who.ROLLBACK_OR_ADMIN,
    Act.SILENCE: Who.ROLLBACK_OR_ADMIN,
    Act.ACKNOWLEDGE: Who.ANYONE,
    Act.ARM: Who.ROLLBACK_OR_ADMIN,
    Act.CHECK: Who.ROLLBACK_OR_ADMIN,
    Act.ARM_UNTRIED: Who.ADMIN,
    Act.RESET_BREAKER: Who.ADMIN,
    Act.IMPORT_HISTORY: Who.ADMIN,
    Act.BREAK_GLASS: Who.ADMIN,
    Act.LIFT_HOLD: Who.ADMIN,
    Act.REVIEW: Who.REVIEWER,
}
BESIDE: dict[str, set[Act]] = {
    "guests": {Act.READ},
    "programs": {Act.READ, Act.ASK, Act.CANCEL, Act.REGISTER},
    "automations": {Act.READ, Act.ASK, Act.ROLL_BACK},
    "terminal": {Act.READ, Act.REGISTER, Act.LIFT_HOLD},
    "freezes": {Act.APPROVE, Act.OVERRIDE, Act.MEND},
}


def test_the_table_says_what_is_meant() -> None:
    assert {act: row.who for act, row in TABLE.items()} == WHO
    assert {flag: {act for act, row in TABLE.items() if getattr(row, flag)} for flag in BESIDE} == BESIDE


@pytest.mark.parametrize("act", [Act.APPROVE, Act.REJECT, Act.OVERRIDE])
def test_no_automation_and_no_program_decides(act: Act) -> None:
    assert not TABLE[act].automations
    assert not TABLE[act].programs
    assert not TABLE[act].guests


# -- one's own request -------------------------------------------------------------------------------------------------


def asked_by(requester: Actor, target: Stage = Stage.PRODUCTION) -> Subject:
    return Subject(model="churn", target=target, requester=requester)


def test_who_asked_does_not_approve_and_hears_who_can() -> None:
    decision = ask(CALLERS["lead"], Act.APPROVE, asked_by(Person("T1", "ULEAD")))
    assert not decision
    assert str(decision.why) == "You asked for this, so somebody else has to decide: @S1LEADS."


def test_who_asked_where_nobody_else_is_named_hears_that() -> None:
    policy = read_policy({"models": {"*": {"production": {"approvers": ["ULEAD"]}}}})
    decision = ask(CALLERS["lead"], Act.APPROVE, asked_by(Person("T1", "ULEAD")), policy)
    assert "somebody else has to decide: nobody else is named." in str(decision.why)


@pytest.mark.parametrize(("model", "who"), [("churn", "@UONCALL"), ("unruled", "the policy names nobody")])
def test_who_may_not_roll_back_hears_who_may(model: str, who: str) -> None:
    policy = POLICY if model == "churn" else read_policy({"models": {}})
    decision = ask(CALLERS["member"], Act.ROLL_BACK, Subject(model=model), policy)
    assert str(decision.why) == f"Only those who may roll back can do this: {who}."


def test_who_asked_may_approve_where_the_policy_says_so() -> None:
    assert ask(CALLERS["lead"], Act.APPROVE, asked_by(Person("T1", "ULEAD"), Stage.STAGING))


def test_who_may_approve_their_own_has_to_be_an_approver_all_the_same() -> None:
    assert not ask(REQUESTER, Act.APPROVE, asked_by(REQUESTER.person, Stage.STAGING))


def test_a_request_is_the_requesters_own_whichever_workspace_they_made_it_from() -> None:
    assert not ask(CALLERS["lead"], Act.APPROVE, asked_by(Person("T2", "ULEAD")))


def test_who_asked_in_slack_does_not_approve_at_the_terminal() -> None:
    assert not ask(Operator("eve"), Act.APPROVE, asked_by(Person("T1", "ULEAD")))


def test_who_asked_at_the_terminal_does_not_approve_in_slack() -> None:
    assert not ask(CALLERS["lead"], Act.APPROVE, asked_by(Operator("eve")))


def test_who_asked_at_the_terminal_can_cancel_in_slack() -> None:
    assert ask(REQUESTER, Act.CANCEL, asked_by(Operator("max")))


# -- who is not named --------------------------------------------------------------------------------------------------


def test_who_is_no_approver_hears_who_is() -> None:
    assert "@S1LEADS, @ULEAD" in str(ask(CALLERS["member"], Act.APPROVE).why)


@pytest.mark.parametrize("model", ["nobody", "unruled"])
def test_where_nobody_may_decide_the_way_out_is_told(model: str) -> None:
    policy = POLICY if model == "nobody" else read_policy({"models": {}})
    decision = ask(CALLERS["lead"], Act.APPROVE, Subject(model=model, target=Stage.PRODUCTION), policy)
    assert not decision
    assert str(decision.why) == (
        f"The policy names nobody who may decide “{model}” → Production. Add approvers to registrar.yml."
    )


@pytest.mark.parametrize("subject", [Subject(target=Stage.PRODUCTION), Subject(model="churn")], ids=str)
@pytest.mark.parametrize("act", [Act.APPROVE, Act.OVERRIDE])
def test_nobody_decides_what_is_not_named(act: Act, subject: Subject) -> None:
    assert not ask(CALLERS["lead"], act, subject)
    assert not ask(CALLERS["overrider"], act, subject)


# -- whom the card names -----------------------------------------------------------------------------------------------


def test_who_can_decide_are_those_named_without_who_asked() -> None:
    named = ["S1LEADS", "ULEAD"]
    assert deciders("churn", Stage.PRODUCTION, REQUESTER.person, POLICY) == named
    assert deciders("churn", Stage.PRODUCTION, Person("T1", "ULEAD"), POLICY) == ["S1LEADS"]
    assert deciders("churn", Stage.STAGING, Person("T1", "ULEAD"), POLICY) == named
    assert deciders("churn", Stage.PRODUCTION, CI, POLICY) == named


def test_where_no_rule_is_nobody_can_decide() -> None:
    assert deciders("churn", Stage.PRODUCTION, CI, read_policy({"models": {}})) == []


# -- what the audit keeps of who acts ----------------------------------------------------------------------------------


def test_the_audit_keeps_name_roles_and_groups_of_that_moment() -> None:
    assert standing(person("ULEAD", name="Lea"), POLICY) == {"name": "Lea", "roles": ["lead"], "groups": []}
    grouped = person("UX", groups=frozenset({"S1LEADS", "S0"}))
    assert standing(grouped, POLICY) == {"name": "", "roles": ["lead"], "groups": ["S0", "S1LEADS"]}
    assert standing(person("UNOBODY"), POLICY)["roles"] == []
    assert standing(person("UADMIN"), POLICY)["roles"] == ["admin"]


def test_of_what_is_no_person_the_audit_keeps_the_actor_alone() -> None:
    assert standing(CI, POLICY) == standing(Automation("x"), POLICY) == {}


def test_without_a_rollback_rule_the_approvers_for_production_roll_back() -> None:
    assert ask(CALLERS["lead"], Act.ROLL_BACK, Subject(model="plain"))
    assert not ask(CALLERS["on call"], Act.ROLL_BACK, Subject(model="plain"))


@pytest.mark.parametrize("act", [Act.APPROVE, Act.REJECT, Act.OVERRIDE])
def test_an_admin_whom_the_policy_does_not_list_has_no_vote(act: Act) -> None:
    assert not ask(CALLERS["admin"], act)


def test_an_admin_rolls_back_whatever_the_rule_says() -> None:
    assert ask(CALLERS["admin"], Act.ROLL_BACK, Subject(model="plain"))
    assert ask(CALLERS["admin"], Act.ROLL_BACK, Subject(model="nobody"))


def test_a_group_that_the_rule_does_not_name_helps_nobody() -> None:
    assert not ask(person("UX", groups=frozenset({"S9OTHERS"})), Act.APPROVE)


# -- not people --------------------------------------------------------------------------------------------------------


def test_a_program_cancels_what_it_asked_for() -> None:
    assert ask(CI, Act.CANCEL, asked_by(CI))


def test_a_program_cancels_nothing_else() -> None:
    assert not ask(CI, Act.CANCEL, asked_by(Client("other")))


def test_an_unknown_operator_hears_where_to_be_named() -> None:
    assert "operators" in str(ask(Operator("root"), Act.CANCEL).why)


def test_an_unknown_operator_may_look() -> None:
    assert ask(Operator("root"), Act.READ)


@pytest.mark.parametrize(
    ("broke", "reviewer", "allowed"),
    [
        (person("UADMIN").person, person("UADMIN"), False),
        (person("UADMIN").person, person("ULEAD"), True),
        (person("UADMIN").person, Operator("ann"), False),  # the same person, at the terminal
        (Operator("ann"), person("UADMIN"), False),
        (Operator("ann"), person("ULEAD"), True),
        (Operator("gone"), person("ULEAD"), False),  # the policy no longer says who that is
    ],
)
def test_nobody_reviews_their_own_broken_glass_under_any_name(broke: Actor, reviewer: Caller, allowed: bool) -> None:
    subject = Subject(model="churn", target=Stage.PRODUCTION, requester=broke)
    assert ask(reviewer, Act.REVIEW, subject).allowed is allowed
