"""Model names, version references, and target stages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.errors import BadInput, UnknownVersion
from bot.domain.registry.model import (
    ModelInfo,
    Stage,
    VersionInfo,
    VersionRef,
    check_model_name,
    parse_target_stage,
    parse_version_ref,
    resolve_version,
)

CHURN = ModelInfo(name="churn", aliases={"champion": 9, "gone": 99})


def versions(*numbers: int, **changes: object) -> list[VersionInfo]:
    return [VersionInfo(model="churn", version=one, stage=Stage.NONE, **changes) for one in numbers]  # type: ignore[arg-type]  # a shortcut for tests


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("7", VersionRef("number", "7")),
        ("v7", VersionRef("number", "7")),
        (" V07 ", VersionRef("number", "7")),
        ("2.1.0", VersionRef("semver", "2.1.0")),
        ("@champion", VersionRef("alias", "champion")),
        ("staging", VersionRef("stage", "Staging")),
        ("PRODUCTION", VersionRef("stage", "Production")),
        ("Latest", VersionRef("latest", "latest")),
    ],
)
def test_a_version_reference_has_several_forms(text: str, ref: VersionRef) -> None:
    assert parse_version_ref(text) == ref


@pytest.mark.parametrize("text", ["", "seven", "v", "7.1", "1.2.3.4", "@", "@a b", "-1", "archived", "1" * 10])
def test_an_invalid_reference_gets_the_accepted_forms(text: str) -> None:
    with pytest.raises(BadInput, match="@champion"):
        parse_version_ref(text)


@pytest.mark.parametrize("text", ["7", "2.1.0", "@champion", "staging", "latest"])
def test_a_reference_is_printed_as_it_is_parsed(text: str) -> None:
    assert parse_version_ref(str(parse_version_ref(text))) == parse_version_ref(text)


def test_version_10_is_newer_than_version_9() -> None:
    assert resolve_version(parse_version_ref("latest"), CHURN, versions(9, 10, 1, 2)).version == 10


def test_an_alias_names_its_version() -> None:
    assert resolve_version(parse_version_ref("@champion"), CHURN, versions(9, 10)).version == 9


def test_a_stage_with_two_versions_means_the_newer_one() -> None:
    two = [VersionInfo(model="churn", version=number, stage=Stage.STAGING) for number in (9, 10)]
    assert resolve_version(parse_version_ref("staging"), CHURN, two).version == 10


def test_a_semver_names_its_version() -> None:
    there = [*versions(10), *versions(3, tags={"semver": "1.2.0"})]
    assert resolve_version(parse_version_ref("1.2.0"), CHURN, there).version == 3


@pytest.mark.parametrize("text", ["7", "9.9.9", "@gone", "@nobody", "production"])
def test_an_unknown_version_gets_the_newest_existing_ones(text: str) -> None:
    with pytest.raises(UnknownVersion, match="v10, v9"):
        resolve_version(parse_version_ref(text), CHURN, versions(9, 10))


def test_a_model_without_versions_says_so() -> None:
    with pytest.raises(UnknownVersion, match="no versions yet"):
        resolve_version(parse_version_ref("latest"), CHURN, [])


@given(st.lists(st.integers(min_value=1, max_value=10**6), min_size=1, unique=True))
def test_every_version_is_found_by_its_number(numbers: list[int]) -> None:
    for number in numbers:
        assert resolve_version(parse_version_ref(f"v{number}"), CHURN, versions(*numbers)).version == number


@pytest.mark.parametrize("name", ["churn", " churn ", "my model", "模型", "it's", 'a "b"', "a" * 250, "<!channel>"])
def test_a_valid_name_is_accepted(name: str) -> None:
    assert check_model_name(name) == name.strip()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "Missing"),
        ("   ", "Missing"),
        ("a" * 251, "250"),
        ('it\'s "b"', "both kinds of quotes"),
        ("a/b", "slashes"),
        ("a:b", "colon"),
        ("a\x07b", "control"),
    ],
)
def test_an_invalid_name_is_refused(name: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        check_model_name(name)


@pytest.mark.parametrize(("text", "stage"), [("staging", Stage.STAGING), (" Production ", Stage.PRODUCTION)])
def test_a_target_stage_ignores_case(text: str, stage: Stage) -> None:
    assert parse_target_stage(text) is stage


@pytest.mark.parametrize("text", ["", "none", "archived", "prod"])
def test_only_staging_and_production_can_be_requested(text: str) -> None:
    with pytest.raises(BadInput, match="staging or production"):
        parse_target_stage(text)
