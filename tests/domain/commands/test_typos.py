"""Typed commands, corrected by the suggestion that an error carries."""

from __future__ import annotations

import pytest

from bot.domain.commands.parser import correct_typo, parse_command
from bot.domain.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("prmote churn 7 production", "promote churn 7 production"),
        ("/prmote churn", "promote churn"),
        ("prmote churn 7 prod --raeson 'it is  better'", "promote churn 7 production --reason 'it is  better'"),
        ("show churn --verson=7", "show churn --version=7"),
        ("monitor lst churn", "monitor list churn"),
        ("promote churn 7 live", None),
        ("blorp churn", None),
        ("promote churn 7 production extra", None),
    ],
)
def test_only_the_typo_is_corrected_in_what_was_typed(text: str, corrected: str | None) -> None:
    with pytest.raises(BadInput) as caught:
        parse_command(text)
    assert correct_typo(text, caught.value) == corrected


@pytest.mark.parametrize(
    "text", ["compare churn" + " --metrcs a" * 5, "prmote churn 7 production " + "x" * 500], ids=["many typos", "long"]
)
def test_a_text_with_many_typos_or_a_long_one_is_not_corrected(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_command(text)
    assert caught.value.suggestion
    assert correct_typo(text, caught.value) is None


@pytest.mark.parametrize(
    ("error", "corrected"),
    [
        (BadInput("no", typo="chrun", suggestion="my churn"), 'promote "my churn" v9 production'),
        (BadInput("no", typo="9", suggestion="v4"), "promote chrun v4 production"),
        (BadInput("no", typo="elsewhere", suggestion="here"), None),
    ],
)
def test_a_suggestion_that_follows_later_is_put_into_what_was_typed(error: BadInput, corrected: str | None) -> None:
    assert correct_typo("promote chrun v9 production", error) == corrected
