"""The semver of a new version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from semver import Version

from bot.domain.core.sentence import pack_sentence, unpack_sentence
from bot.domain.registry.model import Signature, SignatureColumn, Stage
from bot.domain.registry.semver import (
    MAX_REASONS,
    BaseVersion,
    BuildFacts,
    Bump,
    SemverProposal,
    highest_semver,
    parse_semver,
)
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


@pytest.mark.parametrize("base", [None, production(semver=None)])
@pytest.mark.parametrize("taken", [(), ("", "final", "1.2")])
def test_the_first_semver_is_1_0_0(base: BaseVersion | None, taken: tuple[str, ...]) -> None:
    assert proposed(OLD, base, taken) == SemverProposal(
        semver="1.0.0", bump=None, reasons=proposed(OLD, None, ()).reasons, base_version=None, overridden=False
    )


def test_an_override_does_not_change_the_first_semver() -> None:
    proposal = proposed(OLD, None, (), override=Bump.MINOR)
    assert (proposal.semver, proposal.overridden) == ("1.0.0", False)
    assert why(proposal) == [
        "no version of this model has a semver yet, so this one gets 1.0.0",
        "minor bump requested, but there's no earlier semver to raise",
    ]


def test_an_override_decides_and_the_rules_are_still_reported() -> None:
    proposal = proposed(build_with_inputs(*SAME, "city:string?"), production(), override=Bump.MAJOR)
    assert (proposal.semver, proposal.bump, proposal.overridden) == ("2.0.0", Bump.MAJOR, True)
    assert why(proposal) == ["major bump requested; the rules propose minor", "input city was added and is optional"]


def test_an_override_can_match_the_rules() -> None:
    proposal = proposed(build_with_inputs(*SAME, "city:string?"), production(), override=Bump.MINOR)
    assert (proposal.semver, proposal.overridden) == ("1.5.0", True)
    assert why(proposal)[0] == "minor bump requested, which matches the rules"


def test_numbering_continues_from_the_highest_semver_not_from_production() -> None:
    proposal = proposed(
        build_with_inputs(*SAME, "city:string?"), production(), taken=("1.4.2", "2.1.0", "10.0.0", "9.9.9")
    )
    assert proposal.semver == "10.1.0"
    assert why(proposal)[-1] == "10.0.0 is already taken, so numbering continues from there"


def test_the_semver_of_the_base_counts_as_taken() -> None:
    assert proposed(OLD, production(semver="3.0.0"), taken=("1.0.0",)).semver == "3.0.1"


def test_a_base_without_a_stage_is_named_by_its_version() -> None:
    base = replace(production(), stage=Stage.NONE)
    assert why(proposed(OLD, base))[0].endswith("are the same as in v5")


def test_without_a_base_the_patch_number_is_raised() -> None:
    proposal = proposed(OLD, None)
    assert (proposal.semver, proposal.base_version) == ("1.4.3", None)
    assert why(proposal) == ["there's no version to compare it with"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.2.0", "1.2.0"), ("v1.2.0", "1.2.0"), (" V1.2.0\n", "1.2.0"), ("1.2.0-rc.1+b5", "1.2.0-rc.1+b5")],
)
def test_a_semver_is_parsed_in_common_spellings(text: str, number: str) -> None:
    assert str(parse_semver(text)) == number


@pytest.mark.parametrize(
    "text", ["", "v", "1", "1.2", "1.2.3.4", "01.2.3", "vv1.2.3", "v 1.2.3", "-1.2.3", "１.2.3", "9" * 300 + ".0.0"]
)
def test_an_invalid_semver_is_rejected(text: str) -> None:
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
def test_the_highest_semver_keeps_its_spelling(taken: list[str], top: str | None) -> None:
    assert highest_semver(taken) == top
    assert highest_semver(reversed(taken)) == top


def test_a_prerelease_counts_as_its_release_number() -> None:
    assert proposed(OLD, None, ("1.2.0-rc.1+b5",)).semver == "1.2.1"


ODD = st.one_of(
    st.sampled_from(
        ["'", '"', "`", "%s", "%(x)s", "{it}", "{", "}", "{0}", "", " ", "возраст", "年齢", "\u202e", "*a*"]
    ),
    st.text(max_size=4),
)


FLOATS = st.floats() | st.sampled_from([0.81, 0.84])


COLUMNS = st.lists(st.builds(SignatureColumn, name=ODD, type=ODD, required=st.booleans()), max_size=3).map(tuple)


BUILDS = st.builds(
    BuildFacts,
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
    BaseVersion,
    version=st.integers(min_value=1, max_value=99),
    stage=st.sampled_from(Stage),
    semver=st.none() | NUMBERS | ODD,
    build=BUILDS,
)


OVERRIDES = st.none() | st.sampled_from(Bump)


# A build has many parts, so generating one takes longer than checking it, especially on a busy machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(BUILDS, st.none() | BASES, TAKEN, OVERRIDES)
@example(BuildFacts(), None, ["1.0.0-rc.1", "1.0.0"], Bump.PATCH)
def test_a_proposal_is_higher_than_every_taken_semver(
    new: BuildFacts, base: BaseVersion | None, taken: list[str], override: Bump | None
) -> None:
    number = Version.parse(proposed(new, base, tuple(taken), override).semver)
    used = [*taken, *([base.semver] if base and base.semver else [])]
    for other in map(parse_semver, used):
        assert other is None or (number > other and (number.major, number.minor, number.patch) != other.to_tuple()[:3])


@patient
@given(BUILDS, st.none() | BASES, TAKEN, OVERRIDES)
def test_a_proposal_has_a_few_reasons_that_can_be_stored(
    new: BuildFacts, base: BaseVersion | None, taken: list[str], override: Bump | None
) -> None:
    proposal = proposed(new, base, tuple(taken), override)
    assert 1 <= len(proposal.reasons) <= MAX_REASONS + 1
    assert [str(unpack_sentence(pack_sentence(sentence))) for sentence in proposal.reasons] == why(proposal)


@patient
@given(BUILDS, BASES, TAKEN)
def test_the_order_of_facts_does_not_matter(new: BuildFacts, base: BaseVersion, taken: list[str]) -> None:
    turned = replace(
        new,
        flavors=tuple(sorted(new.flavors, reverse=True)),
        params=dict(reversed(list(new.params.items()))),
        metrics=dict(reversed(list(new.metrics.items()))),
    )
    assert why(proposed(turned, base, tuple(reversed(taken)))) == why(proposed(new, base, tuple(taken)))


@patient
@given(BUILDS, BUILDS)
def test_the_most_significant_change_comes_first_and_decides_the_bump(new: BuildFacts, old: BuildFacts) -> None:
    weights = [list(Bump).index(bump) for bump, _ in bump_reasons(new, old, is_better)]
    assert weights == sorted(weights)
    assert proposed(new, production(old)).bump is list(Bump)[min(weights, default=2)]


@patient
@given(BUILDS)
def test_a_build_has_no_changes_compared_to_itself(build: BuildFacts) -> None:
    assert all("couldn't be compared" in sentence for _, sentence in told(build, build))
