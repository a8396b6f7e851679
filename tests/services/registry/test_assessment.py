"""The assessment of a registry: how many requests it takes, and what it does when something can't be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.core.errors import FilesUnreachable, RegistryRefused, RegistryUnreachable
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.assessment import ProblemKind, RegistryAssessment
from bot.domain.registry.model import Dataset, ModelPackage, Stage, VersionInfo
from bot.ports import ModelRegistry
from bot.services.registry.assessment import RegistryAssessor
from tests.support.registry.memory import MemoryRegistry
from tests.support.services.gates import SIGNATURE

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def memory() -> MemoryRegistry:
    """Return a registry with `churn`, whose v2 is in Production and complete."""
    registry = MemoryRegistry()
    registry.add_run("r1", metrics={"f1": 0.8}, user="ann", datasets=[Dataset(name="d", digest="1")])
    registry.add_model("churn", versions=1)
    registry.add_version("churn", run_id="r1", stage=Stage.PRODUCTION, source="s3://churn/2")
    registry.add_package("s3://churn/2", ModelPackage(flavors=("sklearn",), signature=SIGNATURE))
    return registry


class RegistryOfRelease02:
    """A registry whose adapter can't list the versions of all models."""

    def __init__(self, memory: MemoryRegistry) -> None:
        self.models, self.versions = memory.models, memory.versions


def assess(memory: MemoryRegistry, registry: Any = None, **more: Any) -> RegistryAssessment:
    chosen: ModelRegistry = registry or memory
    return RegistryAssessor(registry=chosen, tracker=memory, now=NOW, **more).assess()


def kinds(found: RegistryAssessment) -> list[ProblemKind]:
    return [problem.kind for problem in found.problems]


def test_an_empty_registry_has_no_problems() -> None:
    assert assess(MemoryRegistry()) == RegistryAssessment(models=0, versions=0, holders=(), problems=())


def test_a_complete_version_has_no_problems(memory: MemoryRegistry) -> None:
    found = assess(memory)
    assert (found.models, found.versions, found.held_models, found.problems) == (1, 2, 1, ())


def test_requests_do_not_grow_with_the_number_of_models(memory: MemoryRegistry) -> None:
    for number in range(50):
        memory.add_model(f"m{number}", versions=[Stage.PRODUCTION, Stage.NONE])
    assess(memory, reads_files=False)
    assert dict(memory.request_counts) == {"models": 1, "all_versions": 1, "runs": 1}


def test_only_files_of_versions_in_production_are_read(memory: MemoryRegistry) -> None:
    memory.add_model("fraud", versions=5)
    assess(memory)
    assert memory.request_counts["package"] == 1


def test_an_adapter_of_an_earlier_release_takes_a_request_for_each_model(memory: MemoryRegistry) -> None:
    memory.add_model("fraud", versions=3)
    found = assess(memory, RegistryOfRelease02(memory))
    assert (found.versions, memory.request_counts["versions"]) == (5, 2)


def test_a_registry_that_lists_only_one_model_takes_a_request_for_each(
    memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> list[VersionInfo]:
        raise RegistryRefused("Missing filter: name.")

    expected = assess(memory)
    monkeypatch.setattr(memory, "all_versions", refuse)
    assert assess(memory) == expected


def test_a_prompt_never_shows_up(memory: MemoryRegistry) -> None:
    expected = assess(memory)
    memory.add_model("greeting", versions=[Stage.PRODUCTION], is_prompt=True)
    assert assess(memory) == expected


def test_without_files_the_signature_is_unknown(memory: MemoryRegistry) -> None:
    found = assess(memory, reads_files=False)
    assert (found.holders[0].has_signature, kinds(found), len(found.unread)) == (None, [], 1)


def test_files_without_a_signature_are_a_problem(memory: MemoryRegistry) -> None:
    memory.add_package("s3://churn/2", ModelPackage(flavors=("sklearn",)))
    assert kinds(assess(memory)) == [ProblemKind.NO_SIGNATURE]


def test_files_that_cannot_be_read_are_not_a_missing_signature(
    memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(version: VersionInfo) -> ModelPackage | None:
        raise RegistryRefused("Can't read the model's files: no boto3.")

    monkeypatch.setattr(memory, "package", refuse)
    found = assess(memory)
    assert (kinds(found), [str(why) for why in found.unread]) == (
        [],
        ["The files of 1 version weren't read, such as “churn” v2. Can't read the model's files: no boto3."],
    )


def test_a_dead_storage_is_given_up(memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        memory.add_model(f"m{number}", versions=[Stage.PRODUCTION])
    tried: list[VersionInfo] = []

    def time_out(version: VersionInfo) -> ModelPackage | None:
        tried.append(version)
        raise FilesUnreachable("Can't read the model's files: the download timed out.")

    monkeypatch.setattr(memory, "package", time_out)
    found = assess(memory)
    assert len(tried) < 20
    assert sum(holder.has_signature is None for holder in found.holders) == 41


def test_a_registry_that_fails_while_files_are_read_fails_the_assessment(
    memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(version: VersionInfo) -> ModelPackage | None:
        raise RegistryUnreachable("MLflow isn't responding.")

    monkeypatch.setattr(memory, "package", fail)
    with pytest.raises(RegistryUnreachable):
        assess(memory)


def test_a_version_in_production_is_compared_with_the_policy(memory: MemoryRegistry) -> None:
    gates = [{"metric": "f1", "at_least": 0.9}, {"card": ["owner", "dataset_version"]}]
    policy = validate_policy({"models": {"churn": {"production": {"approvers": ["U1AAAAAAA"], "gates": gates}}}})
    assert kinds(assess(memory, policy=policy)) == [ProblemKind.FAILED_GATE]


def test_a_model_that_the_policy_does_not_mention_is_reported(memory: MemoryRegistry) -> None:
    policy = validate_policy({"models": {"fraud": {"production": {"approvers": ["U1AAAAAAA"]}}}})
    found = assess(memory, policy=policy)
    assert (kinds(found), found.has_failed_gates) == ([ProblemKind.NO_RULE], True)


def test_progress_is_shown(memory: MemoryRegistry) -> None:
    shown: list[str] = []
    assess(memory, show_progress=shown.append)
    assert shown[-1] == "Reading files… 1 of 1"
