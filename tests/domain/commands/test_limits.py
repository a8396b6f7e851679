"""A command has limits, so that its events fit into one message to a receiver of the audit log."""

from __future__ import annotations

import pytest

from bot.domain.commands.base import MAX_RESULTS, MAX_TAGS
from bot.domain.commands.parser import parse_command
from bot.domain.core.errors import BadInput

RESULT, TAG = " --validation f1=1", " --tag owner=ann"


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ("promote churn 4 production" + RESULT * (MAX_RESULTS + 1), "validation"),
        ("promote churn 4 production --validation " + ",".join(["f1=1"] * (MAX_RESULTS + 1)), "validation"),
        ("tag churn 4" + TAG * (MAX_TAGS + 1), "tags"),
        ("register 0a1b churn" + TAG * (MAX_TAGS + 1), "tags"),
        (f"register 0a1b churn --artifact {'x' * 1001}", "artifact"),
        (f"promote churn @{'x' * 251} production", "version"),
        (f"promote churn {'1' * 250}.0.0 production", "version"),
    ],
)
def test_a_command_over_a_limit_is_refused_with_the_field(typed: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_command(typed)
    assert caught.value.field == field


@pytest.mark.parametrize("typed", ["validate churn 4" + RESULT * MAX_RESULTS, "tag churn 4" + TAG * MAX_TAGS])
def test_a_command_at_a_limit_is_accepted(typed: str) -> None:
    assert parse_command(typed) is not None


def test_the_error_names_the_limit() -> None:
    with pytest.raises(BadInput, match=r"^--validation: can be given at most 100 times\.$"):
        parse_command("validate churn 4" + RESULT * (MAX_RESULTS + 1))
