"""What menus offer for the text typed so far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.domain.core.actors import Person
from bot.domain.registry.menu_options import (
    MAX_CHOICES,
    MAX_VALUE_LENGTH,
    Choice,
    best_by_metric,
    matching_choices,
    version_choices,
)
from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
MODELS = [Choice(name, name) for name in ("churn", "fraud", "my-churn", "pricing")]


def found(typed: str, *, valid: bool = True) -> list[str]:
    return [choice.label for choice in matching_choices(MODELS, typed, lambda text: valid)]


def test_everything_is_offered_before_anything_is_typed() -> None:
    assert found("") == ["churn", "fraud", "my-churn", "pricing"]


def test_names_that_start_with_the_text_come_before_those_that_contain_it() -> None:
    assert found("CHU", valid=False) == ["churn", "my-churn"]


def test_an_exact_match_comes_first_and_isn_t_repeated_as_typed() -> None:
    assert found("churn") == ["churn", "my-churn"]


def test_an_unknown_text_can_be_chosen_as_typed_if_it_s_valid() -> None:
    assert found("brand-new") == ["brand-new (as typed)"]
    assert found("brand new", valid=False) == []


def test_a_value_that_slack_does_not_accept_is_not_offered() -> None:
    names = ["", "x" * MAX_VALUE_LENGTH, "y" * (MAX_VALUE_LENGTH + 1)]
    choices = matching_choices([Choice(name, name) for name in names], "", lambda text: True)
    assert [choice.value for choice in choices] == ["x" * MAX_VALUE_LENGTH]


def test_slack_gets_no_more_options_than_it_shows() -> None:
    many = [Choice(str(number), f"v{number}") for number in range(1, 301)]
    offered = matching_choices(many, "v", lambda text: True)
    assert (len(offered), offered[-1].label) == (MAX_CHOICES, "v (as typed)")


def test_a_version_is_found_by_its_number_before_longer_numbers() -> None:
    versions = [Choice(str(number), f"v{number}") for number in (17, 7, 1)]
    assert [choice.value for choice in matching_choices(versions, "v7", lambda text: True)] == ["7"]
    assert [choice.value for choice in matching_choices(versions, "7", lambda text: True)] == ["7", "17"]


def test_a_version_s_label_says_what_matters_for_choosing_it() -> None:
    versions = [
        VersionInfo(model="churn", version=7, stage=Stage.STAGING, tags={"semver": "2.1.0"}),
        VersionInfo(model="churn", version=6, stage=Stage.NONE),
        VersionInfo(model="churn", version=5, stage=Stage.ARCHIVED),
    ]
    at = NOW - timedelta(minutes=25)
    block = RollbackBlock(id="b", model="churn", version=5, move="m", at=at, by=Person("T1", "U1"), reason="bad")
    labels = [choice.label for choice in version_choices(versions, {5: block}, {7: "★ best f1"}, NOW)]
    assert labels == ["v7 · Staging · 2.1.0 · ★ best f1", "v6", "v5 · Archived · ⛔ rolled back 25 min ago"]


def test_the_best_version_is_the_newest_with_the_best_value() -> None:
    metrics = {1: {"loss": 0.2}, 2: {"Loss": 0.1}, 3: {"loss": 0.1}, 4: {"loss": float("nan")}, 5: {}}
    assert best_by_metric("loss", Direction.LOWER, metrics) == 3
    assert best_by_metric("loss", Direction.HIGHER, metrics) == 1
    assert best_by_metric("f1", Direction.HIGHER, metrics) is None
