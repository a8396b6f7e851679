"""What an edit of the policy file changes, and whether it loosens a rule."""

from __future__ import annotations

import itertools
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bot.domain.core.actors import Person, Profile
from bot.domain.policy.authorization import AccessTarget, Permission, authorize
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.callers.people import People
from bot.domain.policy.callers.quotas import Quotas
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.model_patterns import can_overlap, covers
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.pending_edit import MAX_CHANGES, describe_policy_changes, loosens_any_rule
from bot.domain.policy.policy import EditRule, FreezeWindow, ModelRules, Policy, RollbackRule, TargetRule
from bot.domain.policy.rule_changes import ChangeKind
from bot.domain.registry.model import Stage
from tests.support.services.fakes import ManualClock

PRODUCTION: dict[str, Any] = {
    "approvers": ["lead"],
    "required": 2,
    "expires_after": "24h",
    "override": ["admin"],
    "gates": [
        {"metric": "f1", "at_least": 0.8},
        {"metric": "loss", "not_worse_than_incumbent_by": 0.1},
        {"card": ["owner"]},
        {"signature": "compatible"},
        {"in_staging_for": "24h"},
    ],
}
WHOLE: dict[str, Any] = {
    "roles": {"lead": ["UBOB", "UCAROL"], "admin": ["UDAVE"]},
    "operators": {"ann": "UANN"},
    "clients": {
        "ci": {"token_env": "CI", "may": ["request"], "models": ["churn*"]},
        "agent": {"token_env": "AGENT", "may": ["request"], "acts_for": "U1"},
    },
    "sources": {"live": {"type": "prometheus", "url": "http://one"}},
    "freeze": [{"cron": "0 18 * * fri", "for": "62h"}],
    "models": {
        "*": {"staging": {"approvers": ["lead"], "requester_may_approve": True}, "production": PRODUCTION},
        "churn*": {
            "production": PRODUCTION,
            "rollback": {"by": ["lead"]},
            "monitors": [{"name": "drift", "source": "live", "greater_than": 0.5, "action": "ask"}],
        },
    },
}


def with_(path: str, value: object, base: dict[str, Any] = WHOLE) -> dict[str, Any]:
    """Return the file's data with another value at a path; None removes it."""
    key, _, rest = path.partition("/")
    inner = with_(rest, value, base.get(key, {})) if rest else value
    return {name: one for name, one in (base | {key: inner}).items() if one is not None}


LOOSER: dict[str, dict[str, Any]] = {
    "fewer approvals": with_("models/*/production/required", 1),
    "a new approver": with_("models/*/production/approvers", ["lead", "UEVE"]),
    "a new user group": with_("models/*/production/approvers", ["lead", "S0ALL"]),
    "a new approver by way of a role": with_("roles/lead", ["UBOB", "UCAROL", "UEVE"]),
    "a person behind a login": with_("people", {"github": {"octocat": "U1"}}),
    "self-approval": with_("models/churn*/production/requester_may_approve", True),
    "a longer time to review": with_("models/*/production/review_within", "4d"),
    "files that aren't hashed": with_("models/*/production/integrity", "off"),
    "a longer expiry": with_("models/*/production/expires_after", "25h"),
    "no gates": with_("models/*/production/gates", []),
    "one gate less": with_("models/*/production/gates", PRODUCTION["gates"][1:]),
    "a lower bound": with_("models/*/production/gates", [{"metric": "f1", "at_least": 0.7}, *PRODUCTION["gates"][1:]]),
    "less time in Staging": with_("models/*/production/gates", [*PRODUCTION["gates"][:4], {"in_staging_for": "23h"}]),
    "blocked versions let pass": with_("models/*/production/gates", [*PRODUCTION["gates"], {"not_blocked": False}]),
    "a metric turned around": with_("directions", {"Loss": "higher"}),
    "a metric turned around in its settings": with_("metrics", {"loss": {"direction": "higher"}}),
    "more people who override": with_("models/*/production/override", ["admin", "lead"]),
    "a new admin": with_("roles/admin", ["UDAVE", "UEVE"]),
    "more people who roll back": with_("models/churn*/rollback/by", ["lead", "admin"]),
    "approvers who roll back, for want of a rule": with_(
        "models/churn*", {"rollback": None, "production": PRODUCTION | {"approvers": ["lead", "admin"]}}
    ),
    "a rule for a stage that had none": with_("models/churn*/staging", {"approvers": ["lead"]}),
    "a pattern with a looser rule": with_("models/churn-eu*", {"production": PRODUCTION | {"required": 1}}),
    "a model's own looser rule": with_("models/churn", {"production": PRODUCTION | {"gates": []}}),
    "a pattern that crosses another": with_("models/*-europe", {"production": PRODUCTION | {"required": 1}}),
    "a pattern taken away, so that a looser one holds": with_(
        "models/churn*", None, WHOLE | {"models": {"*": {"production": PRODUCTION | {"required": 1}}}}
    ),
    "a monitor that rolls back automatically": with_(
        "models/churn*/monitors", [{"name": "drift", "source": "live", "greater_than": 0.5, "action": "auto"}]
    ),
    "no freeze": with_("freeze", None),
    "a shorter freeze": with_("freeze", [{"cron": "0 18 * * fri", "for": "61h"}]),
    "an operator": with_("operators/bob", "UBOB"),
    "another person behind an operator": with_("operators/ann", "UBOB"),
    "nobody behind an operator, whose requests are nobody's then": with_("operators/ann", None),
    "a client": with_("clients/other", {"token_env": "OTHER", "may": ["push"]}),
    "a client's further right": with_("clients/ci/may", ["request", "push"]),
    "a client's further models": with_("clients/ci/models", ["*"]),
    "a client's other token": with_("clients/ci/token_env", "OTHER"),
    "a person that a client acts for": with_("clients/ci/acts_for", "U1"),
    "another person that a client acts for": with_("clients/agent/acts_for", "U2"),
    "no person that a client acts for": with_("clients/agent/acts_for", None),
    "no client that acts for a person": with_("clients/agent", None),
    "another address of a source": with_("sources/live/url", "http://two"),
    "a shorter settle time": with_("policy", {"settle": "29s"}),
    "more automatic rollbacks": with_("max_auto", 4),
    "a higher quota": with_("quotas", {"comparisons": 59, "backtests": 21}),
}

TIGHTER: dict[str, dict[str, Any]] = {
    "more approvals": with_("models/*/production/required", 3),
    "an approver less": with_("roles/lead", ["UBOB"]),
    "an admin less": with_("roles/admin", []),
    "no self-approval": with_("models/*/staging/requester_may_approve", False),
    "a shorter time to review": with_("models/*/production/review_within", "1h"),
    "files that must be unchanged": with_("models/*/production/integrity", "required"),
    "a shorter expiry": with_("models/*/production/expires_after", "1h"),
    "the gate that holds anyway": with_("models/*/production/gates", [*PRODUCTION["gates"], {"not_blocked": True}]),
    "a further gate": with_("models/*/production/gates", [*PRODUCTION["gates"], {"semver": "set"}]),
    "a higher bound": with_("models/*/production/gates", [{"metric": "f1", "at_least": 0.9}, *PRODUCTION["gates"][1:]]),
    "nobody overrides": with_("models/*/production/override", []),
    "no rule at all": with_("models/*/production", None),
    "a pattern with a stricter rule": with_(
        "models/churn-eu*", {"production": PRODUCTION | {"required": 3}, "rollback": {"by": ["UBOB"]}}
    ),
    "a pattern that nobody can use": with_("models/churn-old*", {}),
    "a monitor that asks": with_(
        "models/churn*/monitors", [{"name": "drift", "source": "live", "greater_than": 0.6, "action": "ask"}]
    ),
    "another freeze": with_("models/churn*/freeze", [{"cron": "0 0 24 12 *", "for": "72h"}]),
    "a client less": with_("clients/ci", None),
    "fewer models of a client": with_("clients/ci/models", ["churn-eu*"]),
    "another channel": with_("channel", "#elsewhere"),
    "someone on call": with_("on_call", ["S0ONCALL"]),
    "someone on call for some models": with_("models/churn*/on_call", ["S0ONCALL"]),
    "another way to show a metric": with_("metrics", {"loss": {"decimals": 2, "noise": 0.01}}),
    "a longer settle time": with_("policy", {"settle": "31s"}),
    "a lower quota": with_("quotas", {"comparisons": 59}),
    "a role by another name": with_("roles", {"chief": ["UBOB"], **WHOLE["roles"]}),
}


@pytest.mark.parametrize("edit", LOOSER)
def test_an_edit_loosens_with(edit: str) -> None:
    assert loosens_any_rule(policy_changes(validate_policy(WHOLE), validate_policy(LOOSER[edit])))


@pytest.mark.parametrize("edit", TIGHTER)
def test_an_edit_loosens_nothing_with(edit: str) -> None:
    assert [one for one in policy_changes(validate_policy(WHOLE), validate_policy(TIGHTER[edit])) if one.loosens] == []


def test_the_same_policy_has_no_changes() -> None:
    assert policy_changes(validate_policy(WHOLE), validate_policy(WHOLE)) == []


def test_a_change_has_its_path_and_the_previous_value() -> None:
    [change] = policy_changes(validate_policy(WHOLE), validate_policy(LOOSER["fewer approvals"]))
    assert (change.path, change.kind, str(change.sentence)) == (
        "models.*.production.required",
        ChangeKind.REQUIRED,
        "approvals 2 → 1",
    )


def test_the_same_change_to_several_rules_is_one_line() -> None:
    lines = str(describe_policy_changes(policy_changes(validate_policy(WHOLE), validate_policy(LOOSER["a new admin"]))))
    assert lines.splitlines() == [
        "• admins: added @UEVE",
        "• Production of *, Production of churn*: people who can override gates: added @UEVE",
    ]


def with_all(**rule: Any) -> dict[str, Any]:
    """Return a policy in which Production of every model has these settings."""
    return {"models": {"churn*": {"production": {"approvers": ["UBOB", "UCAROL"]} | rule}}}


def in_words(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the lines that describe an edit."""
    changes = policy_changes(validate_policy(before), validate_policy(after))
    return str(describe_policy_changes(changes)).removeprefix("• ").split("\n• ")


PUSH = {"name": "accuracy", "source": "push", "greater_than": 0.85}
METRICS = {"latency_ms": {"unit": "ms", "decimals": 0}}
PLAIN: dict[str, Any] = {"models": {}}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            with_all(required=2, gates=[{"metric": "accuracy", "at_least": 0.85}]),
            with_all(approvers=["UBOB", "UDAVE"]),
            [
                "Production of churn*: approvals 2 → 1; gate accuracy ≥ 0.85 removed; approvers: added @UDAVE; "
                "approvers: removed @UCAROL",
                "churn*: people who can roll back: added @UDAVE; people who can roll back: removed @UCAROL",
            ],
        ),
        (
            with_all(gates=[{"metric": "f1", "at_most": 9, "not_worse_than_incumbent_by": 0.01}, {"card": ["owner"]}]),
            with_all(gates=[{"metric": "f1", "at_most": 8}, {"semver": "set"}, {"in_staging_for": "24h"}]),
            [
                "Production of churn*: gate f1 (higher is better) worse than Production by at most 0.01 removed; "
                "gate card field owner removed; gate f1 ≤ 9 → 8; gate semver set added; gate time in Staging 1d added"
            ],
        ),
        (
            with_all(),
            with_all(requester_may_approve=True, expires_after="14d", remind_after="4h", tell_approvers="direct"),
            [
                "Production of churn*: approving your own request off → on; requests expire after 7d → 14d; "
                "approvers are reminded after none → 4h; how approvers are notified: mention → direct"
            ],
        ),
        (
            with_all(),
            with_all(approvers=[]),
            [
                "Production of churn*: approvers: @UBOB, @UCAROL → no one",
                "churn*: people who can roll back: removed @UBOB, @UCAROL",
            ],
        ),
        (
            with_all(),
            PLAIN | {"models": {"churn*": {"channel": "#churn"}}},
            [
                "Production of churn*: approvers: @UBOB, @UCAROL → no one",
                "churn*: people who can roll back: removed @UBOB, @UCAROL; channel none → #churn",
            ],
        ),
        (PLAIN, {"models": {"a": {}}}, ["a: rule added"]),
        (
            {"models": {"a": {"monitors": [PUSH]}}},
            {"models": {"a": {"monitors": [PUSH | {"greater_than": 0.8, "action": "auto"}]}}},
            ["a: monitor accuracy greater_than 0.85 → 0.8, action dry_run → auto (rolls back automatically)"],
        ),
        (
            {"models": {"a": {}}},
            {
                "models": {
                    "a": {
                        "metrics": METRICS,
                        "directions": {"loss": "higher"},
                        "freeze": [{"cron": "0 18 * * 5", "for": "62h"}],
                    }
                }
            },
            [
                "a: freeze 0 18 * * 5 (UTC) none → 2d 14h; better direction of loss: inferred from its name → higher; "
                "metric latency_ms added: unit ms, decimals 0"
            ],
        ),
        (
            PLAIN | {"metrics": METRICS, "max_auto": 3, "channel": "#a"},
            PLAIN | {"metrics": {"latency_ms": {"unit": "s"}}, "max_auto": 5, "channel": "#b"},
            [
                "maximum automatic rollbacks in 24 hours 3 → 5",
                "metric latency_ms unit ms → s, decimals 0 → none",
                "default channel #a → #b",
            ],
        ),
        (
            PLAIN | {"anchor": {"channel": "#audit"}, "operators": {"ann": "UANN"}},
            PLAIN | {"anchor": {"channel": "#audit", "every": "2h"}, "policy": {"settle": "5s"}},
            ["operator ann @UANN → no one", "settle time 30s → 5s", "anchor every 1h → 2h"],
        ),
        (
            PLAIN | {"clients": {"ci": {"token_env": "A", "may": ["push"]}}},
            PLAIN | {"clients": {"ci": {"token_env": "B", "may": ["push", "request"]}}},
            ["client ci token_env A → B, may push → push, request"],
        ),
        (
            PLAIN | {"sources": {"prom": {"type": "prometheus", "url": "https://u:secret@a.example/x"}}},
            PLAIN | {"sources": {"prom": {"type": "prometheus", "url": "https://u:secret@b.example/y"}}},
            ["source prom url a.example → b.example"],
        ),
        (
            PLAIN | {"notify": [{"url": "https://hooks.example/secret"}], "serving": {"a": {"url": "http://a/v"}}},
            PLAIN | {"serving": {"a": {"url": "http://a/w", "timeout": "5m"}}},
            ["endpoint hooks.example removed", "serving check of a url changed, timeout 10m → 5m"],
        ),
    ],
)
def test_an_edit_is_described_in_words(before: dict[str, Any], after: dict[str, Any], words: list[str]) -> None:
    assert in_words(before, after) == words


def test_no_secret_of_an_address_is_described() -> None:
    secret = PLAIN | {
        "notify": [{"url": "https://hooks.example/T0/secret"}],
        "sources": {"p": {"type": "prometheus", "url": "https://me:secret@a"}},
    }
    assert "secret" not in str(in_words(PLAIN, secret) + in_words(secret, PLAIN))


def test_many_changes_are_counted() -> None:
    many = with_("operators", {f"name{at}": f"U{at}" for at in range(30)})
    lines = str(describe_policy_changes(policy_changes(validate_policy(WHOLE), validate_policy(many)))).splitlines()
    assert (len(lines), lines[-1]) == (MAX_CHANGES + 1, "• and 19 more changes")


# A new key needs somebody to decide whether changing it can loosen a rule: in bot/domain/policy/changes.py, then here.
COMPARED: dict[type[BaseModel], set[str]] = {
    Policy: {"channel", "roles", "models", "directions", "metrics", "sources", "clients", "operators", "people"}
    | {"notify", "serving", "anchor", "audit", "freeze", "quotas", "max_auto", "on_call", "edits"},
    Quotas: {"comparisons", "backtests", "api_calls", "agent_requests", "evidence_reports"},
    ModelRules: {
        "channel",
        "staging",
        "production",
        "rollback",
        "on_call",
        "monitors",
        "freeze",
        "directions",
        "metrics",
    },
    TargetRule: {
        "approvers",
        "required",
        "requester_may_approve",
        "expires_after",
        "remind_after",
        "tell_approvers",
        "gates",
        "override",
        "integrity",
        "review_within",
    },
    RollbackRule: {"by", "fast"},  # nothing uses `fast` yet
    FreezeWindow: {"cron", "lasts", "zone", "reason"},
    People: {"github", "gitlab"},
    ApiClient: {"token_env", "token_file", "oidc", "acts_for", "models", "may"},
    EditRule: {"settle"},
}


@pytest.mark.parametrize("part", COMPARED)
def test_every_key_of_the_file_is_compared(part: type[BaseModel]) -> None:
    assert set(part.model_fields) == COMPARED[part]


# -- patterns that compete ---------------------------------------------------------------------------------------------

PATTERNS = st.text("ab*?", min_size=1, max_size=4)
NAMES = ["".join(name) for size in range(1, 5) for name in itertools.product("ab", repeat=size)]
PEOPLE, NOW = ["U1", "U2"], ManualClock().now()
RULES = st.fixed_dictionaries(
    {"approvers": st.lists(st.sampled_from(PEOPLE), unique=True), "required": st.integers(1, 2)},
    optional={"requester_may_approve": st.booleans()},
)
POLICIES = st.dictionaries(PATTERNS, st.fixed_dictionaries({}, optional={"production": RULES}), max_size=4).map(
    lambda models: validate_policy({"models": models})
)


def rights(policy: Policy, name: str) -> set[tuple[str, str]]:
    """Return who can approve whose request for Production."""
    return {
        (who, of)
        for who, of in itertools.product(PEOPLE, repeat=2)
        if authorize(
            Profile(person=Person("T1", who)),
            Permission.APPROVE,
            AccessTarget(model=name, target=Stage.PRODUCTION, requester=Person("T1", of)),
            policy,
            NOW,
        )
    }


@given(before=POLICIES, after=POLICIES)
def test_every_edit_that_grants_a_permission_loosens(before: Policy, after: Policy) -> None:
    if loosens_any_rule(policy_changes(before, after)):
        return
    for name in NAMES:
        assert rights(after, name) <= rights(before, name)
        rule, was = (one.rules_for(name).production for one in (after, before))
        assert not (rule and rule.approvers) or (was and was.required <= rule.required)


@given(one=PATTERNS, other=PATTERNS)
def test_patterns_overlap_if_a_name_matches_both(one: str, other: str) -> None:
    assert can_overlap(one, other) or not any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in NAMES)
    assert not covers(one, other) or all(fnmatchcase(name, one) for name in NAMES if fnmatchcase(name, other))
