"""Which versions are in Production, and what's wrong with a model and with each of them."""

from __future__ import annotations

import pytest

from bot.domain.core.sentence import say
from bot.domain.registry.assessment import (
    HolderGates,
    ProblemKind,
    ProductionHolder,
    find_holder_problems,
    find_model_problems,
    sort_problems,
    versions_in_production,
)
from bot.domain.registry.model import ModelInfo, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import ModelCard

STAGE_BY_ALIAS = {"champion": Stage.PRODUCTION, "challenger": Stage.STAGING}
NONE, STAGING, PRODUCTION, ARCHIVED = Stage


def versions(*stages: Stage) -> list[VersionInfo]:
    return [VersionInfo(model="churn", version=at, stage=stage) for at, stage in enumerate(stages, 1)]


def model_problems(*stages: Stage, **aliases: int) -> list[str]:
    model = ModelInfo(name="churn", aliases=aliases)
    return [str(problem.sentence) for problem in find_model_problems(model, versions(*stages), STAGE_BY_ALIAS)]


def held(*stages: Stage, **aliases: int) -> tuple[list[int], bool]:
    found, by_alias = versions_in_production(ModelInfo(name="churn", aliases=aliases), versions(*stages), "champion")
    return [version.version for version in found], by_alias


def holder(run_id: str | None = "r1", **facts: object) -> ProductionHolder:
    version = VersionInfo(model="churn", version=3, stage=PRODUCTION, run_id=run_id)
    card = ModelCard(model_name="churn", version=3, stage="Production", owner="ann", dataset_version="d@1")
    usual = {"card": card, "run": RunInfo(id="r1"), "has_signature": True}
    return ProductionHolder(version=version, **(usual | facts))  # type: ignore[arg-type]


def kinds(one: ProductionHolder) -> list[ProblemKind]:
    return [problem.kind for problem in find_holder_problems(one)]


def test_stages_decide_which_versions_are_in_production() -> None:
    assert held(PRODUCTION, PRODUCTION, NONE, champion=3) == ([2, 1], False)


def test_an_alias_decides_for_a_model_without_stages() -> None:
    assert held(NONE, NONE, champion=1) == ([1], True)


def test_an_alias_does_not_decide_for_a_model_with_stages() -> None:
    assert held(ARCHIVED, NONE, champion=2) == ([], False)


def test_a_version_in_production_has_its_aliases() -> None:
    model = ModelInfo(name="churn", aliases={"champion": 1, "best": 1, "other": 2})
    [version], _ = versions_in_production(model, versions(PRODUCTION, NONE), "champion")
    assert version.aliases == ("best", "champion")


def test_two_versions_in_production_are_a_problem() -> None:
    assert model_problems(PRODUCTION, PRODUCTION) == ["“churn”: v2, v1 are in Production."]


@pytest.mark.parametrize(
    ("stages", "aliases", "sentence"),
    [
        ([ARCHIVED, PRODUCTION], {"champion": 1}, "@champion is v1 (Archived), but Production is v2."),
        ([ARCHIVED, NONE], {"champion": 2}, "@champion is v2 (no stage), but Production is empty."),
        ([PRODUCTION, STAGING, NONE], {"challenger": 3}, "@challenger is v3 (no stage), but Staging is v2."),
        ([PRODUCTION], {"challenger": 1}, "@challenger is v1 (Production), but Staging is empty."),
        ([PRODUCTION], {"champion": 9}, "@champion is v9, which doesn't exist."),
    ],
)
def test_an_alias_that_disagrees_with_the_stage_is_a_problem(
    stages: list[Stage], aliases: dict[str, int], sentence: str
) -> None:
    assert model_problems(*stages, **aliases) == [f"“churn”: {sentence}"]


@pytest.mark.parametrize(
    ("stages", "aliases"),
    [
        ([PRODUCTION, STAGING], {"champion": 1, "challenger": 2}),
        ([PRODUCTION, PRODUCTION], {"champion": 1}),  # both are in Production, so the alias is right
        ([PRODUCTION, NONE], {"challenger": 2}),  # the team uses the alias instead of Staging
        ([NONE, NONE], {"champion": 1, "challenger": 2}),  # the team uses no stages
        ([PRODUCTION, NONE], {"best": 2}),
        ([PRODUCTION, NONE], {}),
    ],
)
def test_an_alias_that_agrees_is_no_problem(stages: list[Stage], aliases: dict[str, int]) -> None:
    assert not [one for one in model_problems(*stages, **aliases) if "@" in one]


def test_a_complete_version_has_no_problems() -> None:
    assert kinds(holder()) == []


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (holder(run_id=None, run=None), ProblemKind.NO_RUN),
        (holder(run=None), ProblemKind.RUN_GONE),
        (holder(run=RunInfo(id="r1", is_deleted=True)), ProblemKind.RUN_GONE),
        (holder(has_signature=False), ProblemKind.NO_SIGNATURE),
        (holder(card=holder().card.model_copy(update={"owner": ""})), ProblemKind.NO_OWNER),
        (holder(card=holder().card.model_copy(update={"dataset_version": None})), ProblemKind.NO_DATASET),
        (holder(gates=HolderGates(has_rule=False)), ProblemKind.NO_RULE),
        (holder(gates=HolderGates(has_rule=True, failed=(say("f1 is 1"),))), ProblemKind.FAILED_GATE),
    ],
)
def test_what_a_version_lacks_is_a_problem(one: ProductionHolder, kind: ProblemKind) -> None:
    assert kinds(one) == [kind]


def test_a_signature_that_was_not_read_is_no_problem() -> None:
    assert kinds(holder(has_signature=None)) == []


def test_a_gate_that_was_not_checked_is_no_problem() -> None:
    assert kinds(holder(gates=HolderGates(has_rule=True, unchecked=(say("in_staging_for"),)))) == []


def test_the_worst_problems_come_first() -> None:
    found = [
        *find_holder_problems(holder(run_id=None, run=None, has_signature=False)),
        *find_model_problems(ModelInfo(name="churn"), versions(PRODUCTION, PRODUCTION), STAGE_BY_ALIAS),
    ]
    order = [ProblemKind.SEVERAL_HOLDERS, ProblemKind.NO_RUN, ProblemKind.NO_SIGNATURE]
    assert [problem.kind for problem in sort_problems(reversed(found))] == order
