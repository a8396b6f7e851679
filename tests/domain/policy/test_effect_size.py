"""Minimum effects: their notations, how they are stored, and their absolute distance from a value."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.policy.effect_size import EffectKind, MinimumEffect, parse_effect, serialize_effect
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.policy import Policy

RELATIVE, ABSOLUTE, OF_ERROR = EffectKind.RELATIVE, EffectKind.ABSOLUTE, EffectKind.OF_ERROR
AMOUNTS = st.decimals(min_value="1e-9", max_value=10, places=9).map(float)  # as many digits as anyone types
EFFECTS = st.builds(MinimumEffect, AMOUNTS, st.sampled_from(EffectKind))
VALUES = st.floats(min_value=-1e6, max_value=1e6)


# -- notation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "effect", "shown"),
    [
        ("2%", MinimumEffect(0.02), "2%"),
        (" 2 % ", MinimumEffect(0.02), "2%"),
        ("7%", MinimumEffect(0.07), "7%"),
        ("0.02", MinimumEffect(0.02), "2%"),
        (0.02, MinimumEffect(0.02), "2%"),
        (0, MinimumEffect(0.0), "0%"),
        (10, MinimumEffect(10.0), "1000%"),
        (1e-05, MinimumEffect(1e-05), "0.001%"),
        (".5", MinimumEffect(0.5), "50%"),
        ("2.", MinimumEffect(2.0), "200%"),
        ("0.01 abs", MinimumEffect(0.01, ABSOLUTE), "0.01 abs"),
        ("0.01abs", MinimumEffect(0.01, ABSOLUTE), "0.01 abs"),
        ("250 Absolute", MinimumEffect(250.0, ABSOLUTE), "250 abs"),
        ("1e+22 abs", MinimumEffect(1e22, ABSOLUTE), "1e+22 abs"),
        ("10% of error", MinimumEffect(0.1, OF_ERROR), "10% of error"),
        ("10 % OF THE ERROR", MinimumEffect(0.1, OF_ERROR), "10% of error"),
        ("0.1 of error", MinimumEffect(0.1, OF_ERROR), "10% of error"),
        (MinimumEffect(0.1, OF_ERROR), MinimumEffect(0.1, OF_ERROR), "10% of error"),
    ],
)
def test_every_notation_is_parsed(said: object, effect: MinimumEffect, shown: str) -> None:
    assert parse_effect(said) == effect
    assert str(effect) == shown


@pytest.mark.parametrize(
    "said",
    [
        "",
        "%",
        "much",
        "-2%",
        "-0.01 abs",
        "2%%",
        "2 3",
        "nan",
        "inf",
        "2% of errors",
        "2 percent",
        "abs",
        True,
        None,
        [],
        "0.01 abs of error",
        "1,5%",
    ],
)
def test_invalid_text_is_refused_with_examples(said: object) -> None:
    with pytest.raises(ValueError, match=r"isn't an effect size; use a value such as 2%, 0\.01 abs, or 10% of error"):
        parse_effect(said)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("2% abs", r"is both a percentage and an absolute amount; use 2% or 0\.02 abs"),
        ("1001%", "is too large; use at most 1000%"),
        (11, "is too large; use at most 1000%"),
        ("1001% of error", "is too large; use at most 1000%"),
        ("1e999 abs", "is too large; use a finite number"),
    ],
)
def test_a_meaningless_effect_is_refused_with_the_reason(said: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_effect(said)


@given(EFFECTS)
def test_a_displayed_effect_parses_to_the_same_effect(effect: MinimumEffect) -> None:
    assert parse_effect(str(effect)) == effect
    assert parse_effect(json.loads(json.dumps(serialize_effect(effect)))) == effect


@given(st.floats(min_value=0, max_value=10))
def test_a_number_of_any_precision_parses_to_the_same_effect_again(amount: float) -> None:
    once = parse_effect(amount)
    assert parse_effect(serialize_effect(once)) == once == parse_effect(str(once))


@given(st.text(max_size=20))
def test_any_text_parses_or_raises_value_error(text: str) -> None:
    try:
        effect = parse_effect(text)
    except ValueError:
        return
    assert parse_effect(str(effect)) == effect


# -- absolute distance -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "usual", "far"),
    [
        ("2%", 0.9, 0.018),
        ("2%", -50.0, 1.0),
        ("2%", 0.0, 0.0),
        ("0.01 abs", 0.9, 0.01),
        ("0.01 abs", -50.0, 0.01),
        ("0.01 abs", 0.0, 0.01),
        ("10% of error", 0.999, 0.0001),
        ("10% of error", 0.9, 0.01),
        ("10% of error", 1.0, 0.0),
        ("10% of error", 0.0, 0.1),
    ],
)
def test_the_absolute_distance_of_an_effect(said: str, usual: float, far: float) -> None:
    assert parse_effect(said).absolute_distance(usual).item() == pytest.approx(far, abs=1e-12)


@given(EFFECTS, st.lists(VALUES, max_size=5))
def test_each_value_has_its_own_nonnegative_distance(effect: MinimumEffect, values: list[float]) -> None:
    found = effect.absolute_distance(np.array(values).reshape(-1, 1))
    assert found.shape == (len(values), 1)
    assert found.ravel().tolist() == [effect.absolute_distance(value).item() for value in values]
    assert (found >= 0).all()


@given(st.tuples(AMOUNTS, AMOUNTS), st.sampled_from(EffectKind), VALUES)
def test_a_larger_effect_never_has_a_smaller_distance(
    amounts: tuple[float, float], kind: EffectKind, usual: float
) -> None:
    less, more = sorted(amounts)
    assert MinimumEffect(less, kind).absolute_distance(usual) <= MinimumEffect(more, kind).absolute_distance(usual)


@given(AMOUNTS, st.floats(min_value=0, max_value=1))
def test_a_fraction_of_the_error_is_a_fraction_of_one_minus_p(amount: float, p: float) -> None:
    assert (
        MinimumEffect(amount, OF_ERROR).absolute_distance(p).item()
        == MinimumEffect(amount).absolute_distance(1 - p).item()
    )


# -- meaningless effects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "low", "high", "why"),
    [
        ("2%", -1.0, 2.0, "The baseline's readings are on both sides of 0, so a percentage of them is meaningless."),
        ("2%", 0.0, 0.0, "The baseline's readings are all 0, so a percentage of them is meaningless."),
        (
            "10% of error",
            0.9,
            1.2,
            "The baseline contains 1.2, which isn't between 0 and 1, so there's no error rate.",
        ),
        (
            "10% of error",
            -0.1,
            0.9,
            "The baseline contains -0.1, which isn't between 0 and 1, so there's no error rate.",
        ),
        ("10% of error", 1.0, 1.0, "The baseline's readings are all 1, so a percentage of the error is 0."),
    ],
)
def test_for_a_meaningless_effect_an_absolute_amount_is_suggested(said: str, low: float, high: float, why: str) -> None:
    assert (
        str(parse_effect(said).meaningless_reason(low, high))
        == f"{why} Use an absolute amount, such as --min-effect '0.01 abs'."
    )


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        *product(["0.01 abs"], [-1.0, 0.0], [0.0, 5.0]),
        ("2%", 0.1, 5.0),
        ("2%", -5.0, -0.1),
        ("2%", 0.0, 0.1),
        ("10% of error", 0.0, 1.0),
        ("10% of error", 0.999, 0.9999),
    ],
)
def test_other_effects_are_meaningful(said: str, low: float, high: float) -> None:
    assert parse_effect(said).meaningless_reason(low, high) is None


# -- in a monitor ------------------------------------------------------------------------------------------------------


def a_rule(**fields: Any) -> MonitorConfig:
    return MonitorConfig(name="accuracy", source="push", **fields)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("3%", 0.03), (0.03, 0.03), ("0.01 abs", "0.01 abs"), ("10% of error", "10% of error"), (None, 0.02)],
)
def test_a_relative_effect_is_still_stored_as_a_number(said: object, kept: object) -> None:
    rule = a_rule() if said is None else a_rule(min_effect=said)
    assert json.loads(rule.model_dump_json())["min_effect"] == kept
    assert MonitorConfig.model_validate_json(rule.model_dump_json()) == rule


def test_a_rule_stored_by_an_earlier_release_equals_the_unchanged_policy_file() -> None:
    """Otherwise, the upgrade would count as a change to the monitor, and the monitor would start over."""
    kept = (
        '{"action":"auto","aggregate":null,"alpha":0.01,"baseline":"previous","cooldown":"21600s","direction":null,'
        '"error":4,"every":"300s","fail_after":2,"greater_than":null,"hard_limit":null,"history":"604800s",'
        '"hysteresis":0.5,"label_delay":"0s","less_than":null,"max_age":null,"max_auto":1,"min_effect":0.02,'
        '"min_points":null,"min_served":"86400s","name":"accuracy","no_data":3,"query":"accuracy","recover_after":3,'
        '"retries":2,"rule":"blocks","sigma":3.0,"source":"push","timeout":"10s","warmup":null,"window":"3600s"}'
    )
    says = {"action": "auto", "rule": "blocks"}
    assert MonitorConfig.model_validate_json(kept) == a_rule(**says) == a_rule(**says, min_effect=0.02)
    odd = kept.replace("0.02", "0.012345678901234567")
    assert MonitorConfig.model_validate_json(odd) == a_rule(**says, min_effect=0.012345678901234567)
    assert a_rule(**says).model_dump(mode="json") == json.loads(kept) | {"of": None}


def test_the_policy_schema_accepts_numbers_and_strings() -> None:
    schema = Policy.model_json_schema()["$defs"]["MonitorConfig"]["properties"]["min_effect"]
    assert [one["type"] for one in schema["anyOf"]] == ["number", "string"]
    assert schema["default"] == "2%"
