"""The key `integrity`, which says whether files are hashed and compared."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.errors import WrongPolicy
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage

FINGERPRINT = "aa4642746cba1b09"  # of this rule, by version 0.2.0


def policy(**production: Any) -> Policy:
    return validate_policy({"models": {"*": {"production": {"approvers": ["UBOB"]} | production}}})


def test_files_are_recorded_by_default() -> None:
    assert policy().rules_for("churn").integrity(Stage.PRODUCTION) == "recorded"


def test_files_of_a_stage_without_a_rule_are_recorded() -> None:
    assert policy().rules_for("churn").integrity(Stage.STAGING) == "recorded"


def test_an_unquoted_off_which_yaml_reads_as_false_is_off() -> None:
    assert policy(integrity=False).rules_for("churn").integrity(Stage.PRODUCTION) == "off"


@pytest.mark.parametrize("value", [True, "on", "must", None, 1])
def test_another_value_is_refused(value: object) -> None:
    with pytest.raises(WrongPolicy, match="integrity"):
        policy(integrity=value)


def test_a_rule_has_the_fingerprint_that_version_0_2_gave_it() -> None:
    assert policy().fingerprint("churn", Stage.PRODUCTION) == FINGERPRINT


def test_turning_recording_off_outdates_no_pending_request() -> None:
    off, recorded = (policy(integrity=level).fingerprint("churn", Stage.PRODUCTION) for level in ("off", "recorded"))
    assert off == recorded


def test_requiring_files_is_part_of_what_a_decision_depends_on() -> None:
    assert policy(integrity="required").fingerprint("churn", Stage.PRODUCTION) != FINGERPRINT


@pytest.mark.parametrize(
    ("before", "after", "loosens"),
    [
        ("required", "recorded", True),
        ("recorded", "off", True),
        ("required", "off", True),
        ("off", "recorded", False),
        ("recorded", "required", False),
    ],
)
def test_checking_files_less_loosens_a_rule(before: str, after: str, loosens: bool) -> None:
    [change] = policy_changes(policy(integrity=before), policy(integrity=after))
    assert (change.path, change.loosens) == ("models.*.production.integrity", loosens)
    assert str(change.sentence) == f"integrity of files {before} → {after}"
