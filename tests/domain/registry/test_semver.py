"""Which number a new version gets, and the sentences that say why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from semver import Version

from bot.domain.registry import Column, Signature, Stage
from bot.domain.semver import REASONS, Base, Build, Bump, Proposal, changes, highest, parse_semver, propose
from bot.domain.text import pack, unpack


def is_better(metric: str, new: float, old: float) -> bool:
    return new < old if "loss" in metric else new > old


def column(text: str) -> Column:
    """Read `name:type`, optional where a `?` follows."""
    name, kind = text.removesuffix("?").split(":", 1)
    return Column(name=name, type=kind, required=not text.endswith("?"))


def takes(*inputs: str, gives: tuple[str, ...] = (":double",), params: tuple[str, ...] = ()) -> Build:
    """Return the build of a model with this signature; the rest is as ever."""
    signature = Signature(
        inputs=tuple(column(one) for one in inputs),
        outputs=tuple(column(one) for one in gives),
        params=tuple(column(one) for one in params),
    )
    return replace(OLD, signature=signature)


OLD = Build(
    signature=Signature(
        inputs=(column("tenure:integer"), column("age:long?"), column("region:string")), outputs=(column(":double"),)
    ),
    flavors=("sklearn",),
    algorithm="LogisticRegression",
    params={"C": "1.0", "max_iter": "100"},
    metrics={"f1": 0.81, "loss": 0.4},
)
SAME = ("tenure:integer", "age:long?", "region:string")
TUNED = replace(OLD, params={"C": "0.5", "max_iter": "200"})


def production(build: Build = OLD, semver: str | None = "1.4.2") -> Base:
    return Base(version=5, stage=Stage.PRODUCTION, semver=semver, build=build)


def proposed(
    new: Build, base: Base | None = None, taken: tuple[str, ...] = ("1.4.2",), override: Bump | None = None
) -> Proposal:
    return propose(new, base, taken, override=override, is_better=is_better)


def told(new: Build, old: Build = OLD) -> list[tuple[str, str]]:
    return [(bump.value, str(sentence)) for bump, sentence in changes(new, old, is_better)]


def why(proposal: Proposal) -> list[str]:
    return [str(sentence) for sentence in proposal.reasons]


CASES: dict[str, tuple[Build, str, str]] = {
    "an input is gone": (takes("tenure:integer", "age:long?"), "major", "input region was removed"),
    "an input has another type": (
        takes("tenure:string", "age:long?", "region:string"),
        "major",
        "input tenure changed from integer to string",
    ),
    "an input is required": (
        takes("tenure:integer", "age:long", "region:string"),
        "major",
        "input age is required now",
    ),
    "an input is optional": (
        takes("tenure:integer?", "age:long?", "region:string"),
        "patch",
        "input tenure is optional now",
    ),
    "an optional input is new": (takes(*SAME, "city:string?"), "minor", "input city was added"),
    "a required input is new": (takes(*SAME, "city:string"), "major", "input city was added and is required"),
    "two required inputs are new": (
        takes(*SAME, "city:string", "zip:string"),
        "major",
        "inputs city, zip were added and are required",
    ),
    "two inputs are gone": (takes("tenure:integer"), "major", "inputs age, region were removed"),
    "the output has another type": (takes(*SAME, gives=(":long",)), "major", "output changed from double to long"),
    "one more output": (takes(*SAME, gives=(":double", ":long")), "major", "output 2 was added"),
    "the output has got a name": (takes(*SAME, gives=("score:double",)), "major", "output was removed"),
    "a prediction parameter is new": (
        takes(*SAME, params=("top_k:long?",)),
        "minor",
        "prediction parameter top_k was added",
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
        "parameters C, max_iter changed and f1 rose from 0.81 to 0.84",
    ),
    "tuned, and the loss is lower": (
        replace(TUNED, metrics={"f1": 0.7, "loss": 0.3}),
        "minor",
        "parameters C, max_iter changed and loss fell from 0.4 to 0.3",
    ),
    "one parameter more, and two metrics better": (
        replace(OLD, params={**OLD.params, "tol": "0.1"}, metrics={"f1": 0.9, "loss": 0.3}),
        "minor",
        "parameter tol changed and f1 rose from 0.81 to 0.9, loss fell from 0.4 to 0.3",
    ),
    "one parameter less, and no better": (
        replace(OLD, params={"C": "1.0"}),
        "patch",
        "parameter max_iter changed and no metric improved",
    ),
    "tuned, and worse": (
        replace(TUNED, metrics={"f1": 0.7}),
        "patch",
        "parameters C, max_iter changed and no metric improved",
    ),
    "tuned, and the metric is NaN": (
        replace(TUNED, metrics={"f1": float("nan")}),
        "patch",
        "parameters C, max_iter changed and no metric improved",
    ),
    "tuned, and measured by something else": (
        replace(TUNED, metrics={"auc": 0.9}),
        "patch",
        "parameters C, max_iter changed, and no metric could be compared",
    ),
}


@pytest.mark.parametrize(("new", "bump", "sentence"), CASES.values(), ids=CASES.keys())
def test_a_change_has_its_weight_and_its_sentence(new: Build, bump: str, sentence: str) -> None:
    assert told(new)[0] == (bump, sentence)
    proposal = proposed(new, production())
    assert (proposal.bump, why(proposal)[0]) == (Bump(bump), sentence)


@pytest.mark.parametrize(("bump", "number"), [(Bump.MAJOR, "2.0.0"), (Bump.MINOR, "1.5.0"), (Bump.PATCH, "1.4.3")])
def test_the_bump_raises_the_highest_number(bump: Bump, number: str) -> None:
    new = {"major": takes("tenure:integer"), "minor": takes(*SAME, "city:string?"), "patch": OLD}[bump.value]
    proposal = proposed(new, production())
    assert (proposal.semver, proposal.bump, proposal.against, proposal.overridden) == (number, bump, 5, False)


def test_what_weighs_most_is_told_first() -> None:
    new = replace(takes("age:long", "city:string?", "tenure:string"), params={}, metrics={"f1": 0.9}, algorithm="Tree")
    assert told(new) == [
        ("major", "input region was removed"),
        ("major", "input tenure changed from integer to string"),
        ("major", "input age is required now"),
        ("major", "algorithm changed from LogisticRegression to Tree"),
        ("minor", "input city was added"),
        ("minor", "parameters C, max_iter changed and f1 rose from 0.81 to 0.9"),
    ]


def test_better_without_another_parameter_is_a_patch() -> None:
    proposal = proposed(replace(OLD, metrics={"f1": 0.99}), production())
    assert proposal.bump is Bump.PATCH
    assert why(proposal) == ["inputs, outputs, algorithm, flavors and parameters are the same as in Production v5"]


def test_named_inputs_may_change_places() -> None:
    assert told(takes(*reversed(SAME))) == []


def test_unnamed_inputs_are_compared_by_position() -> None:
    pixels, words = ":tensor(float32,[-1, 28])", ":tensor(int64,[-1, 4])"
    assert told(takes(words, pixels), takes(pixels, words)) == [
        ("major", "input 1 changed from tensor(float32,[-1, 28]) to tensor(int64,[-1, 4])"),
        ("major", "input 2 changed from tensor(int64,[-1, 4]) to tensor(float32,[-1, 28])"),
    ]


def test_an_output_that_may_be_missing_breaks_and_one_that_is_promised_does_not() -> None:
    sure, unsure = takes(*SAME, gives=("score:double",)), takes(*SAME, gives=("score:double?",))
    assert told(unsure, sure) == [("major", "output score may be missing now")]
    assert told(sure, unsure) == [("patch", "output score is always there now")]


def test_a_column_twice_is_two_columns() -> None:
    assert told(takes(*SAME, "age:long?")) == [("minor", "input age was added")]


def test_long_lists_are_counted() -> None:
    many = takes(*SAME, *(f"x{n}:double?" for n in range(17)))
    assert told(many) == [("minor", "inputs x0, x1, x2, x3, x4 and 12 more were added")]


def test_long_names_are_cut_and_foreign_ones_stay_values() -> None:
    name = "{x}%s`" + "y" * 300
    [(_, sentence)] = changes(takes(*SAME, f"{name}:double?"), OLD, is_better)
    assert str(sentence) == f"input {name[:79]}… was added"
    assert "%s" not in sentence.template


def test_many_reasons_are_counted() -> None:
    old = takes(*(f"x{n}:kind{n}" for n in range(30)))
    new = takes(*(f"x{n}:sort{n}" for n in range(30)))
    reasons = why(proposed(new, production(old)))
    assert len(reasons) == REASONS + 1
    assert reasons[-1] == f"and {30 - REASONS} more"


def test_metrics_that_differ_a_little_are_told_exactly() -> None:
    new, old = (replace(OLD, params={"C": c}, metrics={"f1": f1}) for c, f1 in (("1", 0.81234567), ("2", 0.81234561)))
    assert told(new, old)[0][1] == "parameter C changed and f1 rose from 0.81234561 to 0.81234567"


@pytest.mark.parametrize(
    ("new", "old", "sentence"),
    [
        (replace(OLD, signature=None), OLD, "the new version logged no signature, so inputs and outputs"),
        (OLD, replace(OLD, signature=None), "Production v5 logged no signature, so inputs and outputs"),
        (replace(OLD, algorithm=None), OLD, "the new version logged no algorithm, so algorithms"),
        (OLD, replace(OLD, algorithm=""), "Production v5 logged no algorithm, so algorithms"),
        (OLD, replace(OLD, flavors=()), "Production v5 logged no flavors, so flavors"),
        (takes(*SAME, gives=()), OLD, "the new version logged no outputs, so outputs"),
        (OLD, takes(), "Production v5 logged no inputs, so inputs"),
    ],
)
def test_what_is_not_known_is_said_and_raises_nothing(new: Build, old: Build, sentence: str) -> None:
    proposal = proposed(new, production(old))
    assert proposal.bump is Bump.PATCH
    assert why(proposal)[0].endswith("and parameters are the same as in Production v5")
    assert why(proposal)[1] == f"{sentence} could not be compared"


def test_two_builds_without_facts_are_a_patch_and_say_so() -> None:
    assert why(proposed(Build(), production(Build()))) == [
        "parameters are the same as in Production v5",
        "neither version logged any signature, so inputs and outputs could not be compared",
        "neither version logged any algorithm, so algorithms could not be compared",
        "neither version logged any flavors, so flavors could not be compared",
    ]


def test_what_is_known_still_counts_where_the_signature_is_missing() -> None:
    proposal = proposed(replace(OLD, signature=None, flavors=("xgboost",)), production())
    assert proposal.bump is Bump.MAJOR
    assert len(proposal.reasons) == 2


@pytest.mark.parametrize("base", [None, production(semver=None)])
@pytest.mark.parametrize("taken", [(), ("", "final", "1.2")])
def test_the_first_number_is_1_0_0(base: Base | None, taken: tuple[str, ...]) -> None:
    assert proposed(OLD, base, taken) == Proposal(
        semver="1.0.0", bump=None, reasons=proposed(OLD, None, ()).reasons, against=None, overridden=False
    )


def test_an_override_cannot_raise_a_number_that_is_not_there() -> None:
    proposal = proposed(OLD, None, (), override=Bump.MINOR)
    assert (proposal.semver, proposal.overridden) == ("1.0.0", False)
    assert why(proposal) == [
        "no version of this model has a semver yet, and the first one is 1.0.0",
        "minor was asked for, but there is no number before this one to raise",
    ]


def test_an_override_decides_and_the_rules_are_still_told() -> None:
    proposal = proposed(takes(*SAME, "city:string?"), production(), override=Bump.MAJOR)
    assert (proposal.semver, proposal.bump, proposal.overridden) == ("2.0.0", Bump.MAJOR, True)
    assert why(proposal) == ["major was asked for; the rules say minor", "input city was added"]


def test_an_override_may_agree_with_the_rules() -> None:
    proposal = proposed(takes(*SAME, "city:string?"), production(), override=Bump.MINOR)
    assert (proposal.semver, proposal.overridden) == ("1.5.0", True)
    assert why(proposal)[0] == "minor was asked for, as the rules say"


def test_the_number_goes_on_from_the_highest_and_not_from_production() -> None:
    proposal = proposed(takes(*SAME, "city:string?"), production(), taken=("1.4.2", "2.1.0", "10.0.0", "9.9.9"))
    assert proposal.semver == "10.1.0"
    assert why(proposal)[-1] == "10.0.0 is taken already, so the number goes on from there"


def test_the_number_of_the_base_counts_as_taken() -> None:
    assert proposed(OLD, production(semver="3.0.0"), taken=("1.0.0",)).semver == "3.0.1"


def test_a_base_in_no_stage_is_called_by_its_version() -> None:
    base = replace(production(), stage=Stage.NONE)
    assert why(proposed(OLD, base))[0].endswith("are the same as in v5")


def test_without_a_base_the_smallest_part_is_raised() -> None:
    proposal = proposed(OLD, None)
    assert (proposal.semver, proposal.against) == ("1.4.3", None)
    assert why(proposal) == ["there is no version to compare it with"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.2.0", "1.2.0"), ("v1.2.0", "1.2.0"), (" V1.2.0\n", "1.2.0"), ("1.2.0-rc.1+b5", "1.2.0-rc.1+b5")],
)
def test_a_semver_is_read_as_people_write_it(text: str, number: str) -> None:
    assert str(parse_semver(text)) == number


@pytest.mark.parametrize(
    "text", ["", "v", "1", "1.2", "1.2.3.4", "01.2.3", "vv1.2.3", "v 1.2.3", "-1.2.3", "１.2.3", "9" * 300 + ".0.0"]
)
def test_anything_else_is_no_semver(text: str) -> None:
    assert parse_semver(text) is None


@pytest.mark.parametrize(
    ("taken", "top"),
    [
        ([], None),
        (["latest", ""], None),
        (["1.9.0", "1.10.0"], "1.10.0"),
        (["1.2.0", "v1.3.0", "nonsense"], "v1.3.0"),
        (["1.2.0-rc.1", "1.2.0", "1.1.9"], "1.2.0"),
        (["1.2.0-rc.1", "1.1.9"], "1.2.0-rc.1"),
        (["1.2.0+a", "1.2.0+b"], "1.2.0+b"),
    ],
)
def test_the_highest_is_found_and_kept_as_it_is_written(taken: list[str], top: str | None) -> None:
    assert highest(taken) == top
    assert highest(reversed(taken)) == top


def test_a_prerelease_has_used_up_its_number() -> None:
    assert proposed(OLD, None, ("1.2.0-rc.1+b5",)).semver == "1.2.1"


ODD = st.one_of(
    st.sampled_from(
        ["'", '"', "`", "%s", "%(x)s", "{it}", "{", "}", "{0}", "", " ", "возраст", "年齢", "\u202e", "*a*"]
    ),
    st.text(max_size=4),
)
FLOATS = st.floats() | st.sampled_from([0.81, 0.84])
COLUMNS = st.lists(st.builds(Column, name=ODD, type=ODD, required=st.booleans()), max_size=3).map(tuple)
BUILDS = st.builds(
    Build,
    signature=st.none() | st.builds(Signature, inputs=COLUMNS, outputs=COLUMNS, params=COLUMNS),
    flavors=st.frozensets(ODD, max_size=2),
    algorithm=st.none() | ODD,
    params=st.dictionaries(ODD, ODD, max_size=2),
    metrics=st.dictionaries(ODD, FLOATS, max_size=2),
)
PARTS = st.integers(min_value=0, max_value=30)
NUMBERS = st.builds(
    "{}{}.{}.{}{}".format,
    st.sampled_from(["", "v"]),
    PARTS,
    PARTS,
    PARTS,
    st.sampled_from(["", "-rc.1", "+b5", "-0.a+b"]),
)
TAKEN = st.lists(NUMBERS | ODD, max_size=4)
BASES = st.builds(
    Base,
    version=st.integers(min_value=1, max_value=99),
    stage=st.sampled_from(Stage),
    semver=st.none() | NUMBERS | ODD,
    build=BUILDS,
)
OVERRIDES = st.none() | st.sampled_from(Bump)
# A build has many parts; making one up takes longer than judging it, the more so on a busy machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(BUILDS, st.none() | BASES, TAKEN, OVERRIDES)
@example(Build(), None, ["1.0.0-rc.1", "1.0.0"], Bump.PATCH)
def test_a_proposal_exceeds_everything_taken(
    new: Build, base: Base | None, taken: list[str], override: Bump | None
) -> None:
    number = Version.parse(proposed(new, base, tuple(taken), override).semver)
    used = [*taken, *([base.semver] if base and base.semver else [])]
    for other in map(parse_semver, used):
        assert other is None or (number > other and (number.major, number.minor, number.patch) != other.to_tuple()[:3])


@patient
@given(BUILDS, st.none() | BASES, TAKEN, OVERRIDES)
def test_a_proposal_says_why_in_few_sentences_that_can_be_kept(
    new: Build, base: Base | None, taken: list[str], override: Bump | None
) -> None:
    proposal = proposed(new, base, tuple(taken), override)
    assert 1 <= len(proposal.reasons) <= REASONS + 1
    assert [str(unpack(pack(sentence))) for sentence in proposal.reasons] == why(proposal)


@patient
@given(BUILDS, BASES, TAKEN)
def test_the_order_in_which_things_are_told_changes_nothing(new: Build, base: Base, taken: list[str]) -> None:
    turned = replace(
        new,
        flavors=tuple(sorted(new.flavors, reverse=True)),
        params=dict(reversed(list(new.params.items()))),
        metrics=dict(reversed(list(new.metrics.items()))),
    )
    assert why(proposed(turned, base, tuple(reversed(taken)))) == why(proposed(new, base, tuple(taken)))


@patient
@given(BUILDS, BUILDS)
def test_the_weightiest_change_comes_first_and_makes_the_bump(new: Build, old: Build) -> None:
    weights = [list(Bump).index(bump) for bump, _ in changes(new, old, is_better)]
    assert weights == sorted(weights)
    assert proposed(new, production(old)).bump is list(Bump)[min(weights, default=2)]


@patient
@given(BUILDS)
def test_a_build_changes_nothing_over_itself(build: Build) -> None:
    assert all("could not be compared" in sentence for _, sentence in told(build, build))
