"""Names, ids, tags, and files that MLflow and the in-memory registry accept."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bot.domain.core.errors import BadInput, RegistryRefused, UnknownModel, UnknownRun
from bot.ports import ExperimentTracker, ModelRegistry
from tests.support.registry.contract_fixtures import NONE, ODD_NAMES, PRODUCTION, STAGING, stages
from tests.support.registry.registries import KINDS, RegistryContents

NO_IDS = ["x' OR attributes.run_id LIKE '%", "a','b", "'", '"', "", "a b", "модель", "a\n", "-", "../x", "x" * 999]


class TestRuns:
    def test_an_id_cannot_widen_the_search(self, tracker: ExperimentTracker, backend: RegistryContents) -> None:
        there = backend.add_run()
        for run_id in NO_IDS:
            assert tracker.runs([run_id]) == {}
        assert tracker.runs([*NO_IDS, there]).keys() == {there}


class TestRegistering:
    def test_a_model_with_any_name_can_get_a_version(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        run_id = backend.add_run()
        for name in ODD_NAMES:
            registry.register_version(name, run_id, tags={})
        assert all(stages(registry, name) == {1: NONE} for name in ODD_NAMES)

    def test_a_name_with_both_quotes_cannot_be_registered(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.register_version("""x' OR "x" """, backend.add_run(), tags={})
        assert registry.models() == []

    def test_a_name_that_mlflow_does_not_accept_is_refused(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        run_id = backend.add_run()
        for name in ("a/b", "a:b", " "):
            with pytest.raises(RegistryRefused):
                registry.register_version(name, run_id, tags={})

    def test_an_unknown_run_creates_nothing(self, registry: ModelRegistry) -> None:
        for run_id in ["f" * 32, *NO_IDS]:
            with pytest.raises(UnknownRun, match="MLflow has no run"):
                registry.register_version("churn", run_id, tags={})
        assert registry.models() == []

    def test_a_run_s_only_logged_model_is_the_default(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        run_id = backend.add_run(models=["classifier"])
        unsaid = registry.register_version("churn", run_id, tags={})
        assert registry.register_version("churn", run_id, artifact="classifier", tags={}).source == unsaid.source
        assert "m-" in unsaid.source

    def test_a_wrong_model_name_is_refused_even_with_one_logged_model(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        run_id = backend.add_run(models=["classifier"])
        with pytest.raises(BadInput, match="no model “other”, only classifier"):
            registry.register_version("churn", run_id, artifact="other", tags={})

    def test_a_run_of_another_tool_can_have_plain_files(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        run_id = backend.add_run()
        made = [
            registry.register_version("churn", run_id, artifact=artifact, tags={}) for artifact in ("", "nets/best 1")
        ]
        ends = [version.source.rpartition(run_id)[2] for version in made]
        assert ends == ["/artifacts/model", "/artifacts/nets/best 1"]

    def test_files_outside_the_run_cannot_be_registered(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        run_id = backend.add_run()
        for artifact in ("../other", "/etc", "a//b", "a/..", "%2e%2e/x", "a?b", "a#b", "s3://x"):
            with pytest.raises(BadInput):
                registry.register_version("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []


class TestTags:
    def test_a_tag_key_that_mlflow_does_not_accept_is_refused(
        self, registry: ModelRegistry, backend: RegistryContents
    ) -> None:
        backend.add_model("churn", versions=1)
        for key in ("a*b", "'; DROP TABLE", ""):
            with pytest.raises(RegistryRefused) as refused:
                registry.set_tags("churn", 1, {key: "v"})
            assert "SQL" not in str(refused.value)


CHANGES: dict[str, tuple[Callable[[ModelRegistry, RegistryContents], object], bool]] = {
    "a move": (lambda registry, _: registry.transition_stage("churn", 1, STAGING, archive_existing=True), True),
    "the same move": (
        lambda registry, _: registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True),
        True,
    ),
    "a new version": (lambda registry, backend: registry.register_version("churn", backend.add_run(), tags={}), True),
    "a deleted version": (lambda _, backend: backend.delete_version("churn", 1), True),
    "a described model": (lambda registry, _: registry.set_description("churn", None, "new"), True),
    "a described version": (lambda registry, _: registry.set_description("churn", 1, "new"), False),
    "a tag": (lambda registry, _: registry.set_tags("churn", 1, {"owner": "ann", "old": None}), False),
    "an alias": (lambda registry, _: registry.set_alias("churn", "champion", 1), False),
    "a dropped alias": (lambda registry, _: registry.delete_alias("churn", "champion"), False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_model_s_updated_time_reflects_some_changes(
    registries: Callable[[str], tuple[ModelRegistry, RegistryContents]], kind: str, change: str
) -> None:
    registry, backend = registries(kind)
    backend.add_model("churn", versions=[PRODUCTION])
    act, is_told = CHANGES[change]
    before = registry.models()[0].updated_at
    assert before
    while int(time.time() * 1000) <= before.timestamp() * 1000:  # MLflow counts milliseconds
        pass
    act(registry, backend)
    assert (registry.models()[0].updated_at != before) is is_told
