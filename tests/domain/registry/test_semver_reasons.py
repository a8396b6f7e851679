"""The reasons for a semver: each change with its bump and its sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.registry.semver import MAX_REASONS, BuildFacts, Bump
from tests.support.domain.signatures import (
    OLD,
    SAME,
    build_with_inputs,
    bump_reasons,
    is_better,
    production,
    proposed,
    told,
    why,
)

TUNED = replace(OLD, params={"C": "0.5", "max_iter": "200"})


CASES: dict[str, tuple[BuildFacts, str, str]] = {
    "an input is gone": (build_with_inputs("tenure:integer", "age:long?"), "major", "input region was removed"),
    "an input has another type": (
        build_with_inputs("tenure:string", "age:long?", "region:string"),
        "major",
        "input tenure changed from integer to string",
    ),
    "an input is required": (
        build_with_inputs("tenure:integer", "age:long", "region:string"),
        "major",
        "input age is now required",
    ),
    "an input is optional": (
        build_with_inputs("tenure:integer?", "age:long?", "region:string"),
        "patch",
        "input tenure is now optional",
    ),
    "an optional input is new": (
        build_with_inputs(*SAME, "city:string?"),
        "minor",
        "input city was added and is optional",
    ),
    "a required input is new": (
        build_with_inputs(*SAME, "city:string"),
        "major",
        "input city was added and is required",
    ),
    "two required inputs are new": (
        build_with_inputs(*SAME, "city:string", "zip:string"),
        "major",
        "inputs city, zip were added and are required",
    ),
    "two inputs are gone": (build_with_inputs("tenure:integer"), "major", "inputs age, region were removed"),
    "the output has another type": (
        build_with_inputs(*SAME, gives=(":long",)),
        "major",
        "output changed from double to long",
    ),
    "one more output": (build_with_inputs(*SAME, gives=(":double", ":long")), "major", "output 2 was added"),
    "the output has got a name": (build_with_inputs(*SAME, gives=("score:double",)), "major", "output was removed"),
    "a prediction parameter is new": (
        build_with_inputs(*SAME, params=("top_k:long?",)),
        "minor",
        "prediction parameter top_k was added and is optional",
    ),
    "another algorithm": (
        replace(OLD, algorithm="RandomForest"),
        "major",
        "algorithm changed from LogisticRegression to RandomForest",
    ),
    "another flavor": (replace(OLD, flavors=("xgboost",)), "major", "flavor changed from sklearn to xgboost"),
    "one more flavor": (
        replace(OLD, flavors=frozenset({"sklearn", "onnx"})),
        "major",
        "flavors changed from sklearn to onnx, sklearn",
    ),
    "tuned, and better": (
        replace(TUNED, metrics={"f1": 0.84, "loss": 0.4}),
        "minor",
        "parameters C, max_iter changed, and f1 rose from 0.81 to 0.84",
    ),
    "tuned, and the loss is lower": (
        replace(TUNED, metrics={"f1": 0.7, "loss": 0.3}),
        "minor",
        "parameters C, max_iter changed, and loss fell from 0.4 to 0.3",
    ),
    "one parameter more, and two metrics better": (
        replace(OLD, params={**OLD.params, "tol": "0.1"}, metrics={"f1": 0.9, "loss": 0.3}),
        "minor",
        "parameter tol changed, and f1 rose from 0.81 to 0.9, loss fell from 0.4 to 0.3",
    ),
    "one parameter less, and no better": (
        replace(OLD, params={"C": "1.0"}),
        "patch",
        "parameter max_iter changed, and no metric improved",
    ),
    "tuned, and worse": (
        replace(TUNED, metrics={"f1": 0.7}),
        "patch",
        "parameters C, max_iter changed, and no metric improved",
    ),
    "tuned, and the metric is NaN": (
        replace(TUNED, metrics={"f1": float("nan")}),
        "patch",
        "parameters C, max_iter changed, and no metric improved",
    ),
    "tuned, and measured by something else": (
        replace(TUNED, metrics={"auc": 0.9}),
        "patch",
        "parameters C, max_iter changed, and no metric could be compared",
    ),
}


@pytest.mark.parametrize(("new", "bump", "sentence"), CASES.values(), ids=CASES.keys())
def test_each_change_has_its_bump_and_its_sentence(new: BuildFacts, bump: str, sentence: str) -> None:
    assert told(new)[0] == (bump, sentence)
    proposal = proposed(new, production())
    assert (proposal.bump, why(proposal)[0]) == (Bump(bump), sentence)


@pytest.mark.parametrize(("bump", "number"), [(Bump.MAJOR, "2.0.0"), (Bump.MINOR, "1.5.0"), (Bump.PATCH, "1.4.3")])
def test_the_bump_raises_the_highest_number(bump: Bump, number: str) -> None:
    new = {
        "major": build_with_inputs("tenure:integer"),
        "minor": build_with_inputs(*SAME, "city:string?"),
        "patch": OLD,
    }[bump.value]
    proposal = proposed(new, production())
    assert (proposal.semver, proposal.bump, proposal.base_version, proposal.overridden) == (number, bump, 5, False)


def test_the_most_significant_reason_comes_first() -> None:
    new = replace(
        build_with_inputs("age:long", "city:string?", "tenure:string"), params={}, metrics={"f1": 0.9}, algorithm="Tree"
    )
    assert told(new) == [
        ("major", "input region was removed"),
        ("major", "input tenure changed from integer to string"),
        ("major", "input age is now required"),
        ("major", "algorithm changed from LogisticRegression to Tree"),
        ("minor", "input city was added and is optional"),
        ("minor", "parameters C, max_iter changed, and f1 rose from 0.81 to 0.9"),
    ]


def test_better_metrics_with_the_same_parameters_are_a_patch() -> None:
    proposal = proposed(replace(OLD, metrics={"f1": 0.99}), production())
    assert proposal.bump is Bump.PATCH
    assert why(proposal) == ["inputs, outputs, algorithm, flavors, and parameters are the same as in Production v5"]


def test_named_inputs_can_be_reordered() -> None:
    assert told(build_with_inputs(*reversed(SAME))) == []


def test_unnamed_inputs_are_compared_by_position() -> None:
    pixels, words = ":tensor(float32,[-1, 28])", ":tensor(int64,[-1, 4])"
    assert told(build_with_inputs(words, pixels), build_with_inputs(pixels, words)) == [
        ("major", "input 1 changed from tensor(float32,[-1, 28]) to tensor(int64,[-1, 4])"),
        ("major", "input 2 changed from tensor(int64,[-1, 4]) to tensor(float32,[-1, 28])"),
    ]


def test_an_optional_output_breaks_callers_and_a_required_one_does_not() -> None:
    sure, unsure = build_with_inputs(*SAME, gives=("score:double",)), build_with_inputs(*SAME, gives=("score:double?",))
    assert told(unsure, sure) == [("major", "output score can now be missing")]
    assert told(sure, unsure) == [("patch", "output score is now always present")]


def test_a_repeated_column_is_two_columns() -> None:
    assert told(build_with_inputs(*SAME, "age:long?")) == [("minor", "input age was added and is optional")]


def test_long_lists_are_counted() -> None:
    many = build_with_inputs(*SAME, *(f"x{n}:double?" for n in range(17)))
    assert told(many) == [("minor", "inputs x0, x1, x2, x3, x4, and 12 more were added and are optional")]


def test_long_names_are_truncated_and_outside_names_stay_values() -> None:
    name = "{x}%s`" + "y" * 300
    [(_, sentence)] = bump_reasons(build_with_inputs(*SAME, f"{name}:double?"), OLD, is_better)
    assert str(sentence) == f"input {name[:79]}… was added and is optional"
    assert "%s" not in sentence.template


def test_many_reasons_are_counted() -> None:
    old = build_with_inputs(*(f"x{n}:kind{n}" for n in range(30)))
    new = build_with_inputs(*(f"x{n}:sort{n}" for n in range(30)))
    reasons = why(proposed(new, production(old)))
    assert len(reasons) == MAX_REASONS + 1
    assert reasons[-1] == f"and {30 - MAX_REASONS} more"


def test_metrics_that_differ_slightly_are_shown_exactly() -> None:
    new, old = (replace(OLD, params={"C": c}, metrics={"f1": f1}) for c, f1 in (("1", 0.81234567), ("2", 0.81234561)))
    assert told(new, old)[0][1] == "parameter C changed, and f1 rose from 0.81234561 to 0.81234567"


@pytest.mark.parametrize(
    ("new", "old", "sentence"),
    [
        (replace(OLD, signature=None), OLD, "no signature logged for the new version, so inputs and outputs"),
        (OLD, replace(OLD, signature=None), "no signature logged for Production v5, so inputs and outputs"),
        (replace(OLD, algorithm=None), OLD, "no algorithm logged for the new version, so algorithms"),
        (OLD, replace(OLD, algorithm=""), "no algorithm logged for Production v5, so algorithms"),
        (OLD, replace(OLD, flavors=()), "no flavors logged for Production v5, so flavors"),
        (build_with_inputs(*SAME, gives=()), OLD, "no outputs logged for the new version, so outputs"),
        (OLD, build_with_inputs(), "no inputs logged for Production v5, so inputs"),
    ],
)
def test_unknown_facts_are_reported_and_do_not_raise_the_semver(
    new: BuildFacts, old: BuildFacts, sentence: str
) -> None:
    proposal = proposed(new, production(old))
    assert proposal.bump is Bump.PATCH
    assert why(proposal)[0].endswith("and parameters are the same as in Production v5")
    assert why(proposal)[1] == f"{sentence} couldn't be compared"


def test_two_builds_without_facts_are_a_patch_and_say_so() -> None:
    assert why(proposed(BuildFacts(), production(BuildFacts()))) == [
        "parameters are the same as in Production v5",
        "no signature logged for either version, so inputs and outputs couldn't be compared",
        "no algorithm logged for either version, so algorithms couldn't be compared",
        "no flavors logged for either version, so flavors couldn't be compared",
    ]


def test_known_facts_still_count_without_a_signature() -> None:
    proposal = proposed(replace(OLD, signature=None, flavors=("xgboost",)), production())
    assert proposal.bump is Bump.MAJOR
    assert len(proposal.reasons) == 2
