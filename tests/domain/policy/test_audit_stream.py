"""The audit stream in the policy file."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.errors import Misconfigured
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy, unsigned_endpoints


def policy(stream: Any) -> Policy:
    """Return a policy with this stream; None for none."""
    return validate_policy({"models": {}, "audit": {} if stream is None else {"stream": stream}})


@pytest.mark.parametrize(
    ("written", "url_env", "url"), [("SIEM_URL", "SIEM_URL", None), ("https://siem/x", None, "https://siem/x")]
)
def test_a_stream_can_be_only_its_variable_or_url(written: str, url_env: str | None, url: str | None) -> None:
    stream = policy(written).audit.stream
    assert stream is not None
    assert (stream.url_env, stream.url) == (url_env, url)


@pytest.mark.parametrize("key", ["models", "token"])
def test_a_key_that_a_stream_does_not_have_is_an_error(key: str) -> None:
    with pytest.raises(Misconfigured, match=f"audit.stream.{key}: unknown key"):
        policy({"url_env": "SIEM_URL", key: ["churn*"]})


def test_an_unsigned_stream_is_listed() -> None:
    assert unsigned_endpoints(policy("SIEM_URL")) == ["audit.stream (SIEM_URL)"]
    assert unsigned_endpoints(policy({"url_env": "SIEM_URL", "secret_env": "SIEM_SECRET"})) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (None, "SIEM_URL", ["audit stream SIEM_URL added: url_env set"]),
        ("SIEM_URL", None, ["audit stream SIEM_URL removed"]),
        (
            "SIEM_URL",
            {"url_env": "SIEM_URL", "secret_env": "SIEM_SECRET"},
            ["audit stream SIEM_URL secret_env none → SIEM_SECRET"],
        ),
        (
            "SIEM_URL",
            "https://siem.example/secret",
            ["audit stream SIEM_URL removed", "audit stream siem.example added: url siem.example"],
        ),
    ],
)
def test_every_edit_of_the_stream_loosens_a_rule(before: Any, after: Any, words: list[str]) -> None:
    """An added stream sends every event elsewhere, and a removed one no longer shows what happens."""
    changes = policy_changes(policy(before), policy(after))
    assert [str(change.sentence) for change in changes] == words
    assert all(change.loosens for change in changes)
