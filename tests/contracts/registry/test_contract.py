"""Every registry passes the same contract: in memory, MLflow over its database, and MLflow over HTTP.

Each also runs without stages, which are then tags.
"""

from __future__ import annotations

import pytest

from bot.domain.core.errors import BadInput, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.registry.model import Stage
from bot.ports import ModelRegistry
from bot.registry.contract import RegistryContents, RegistryContract, TrackerContract, TransitionContract


class TestRegistry(RegistryContract):
    """The contract for models and versions."""


class TestTransitions(TransitionContract):
    """The contract for stages and aliases."""


class TestTracker(TrackerContract):
    """The contract for runs."""


class TestSentences:
    def test_a_missing_object_is_named(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        with pytest.raises(UnknownModel, match="The registry has no model “churn”"):
            registry.model("churn")
        backend.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.version("churn", 7)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.transition_stage("churn", 7, Stage.PRODUCTION, archive_existing=True)
        with pytest.raises(UnknownRun, match="or it was deleted"):
            registry.register_version("churn", backend.add_run(is_deleted=True), tags={})

    def test_text_that_is_too_long_states_the_limit(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        backend.add_model("churn", versions=1)
        with pytest.raises(BadInput, match="The description is longer than 5000"):
            registry.register_version("churn", backend.add_run(), description="x" * 5001, tags={})
        with pytest.raises(BadInput, match="The description is longer than 5000"):
            registry.set_description("churn", 1, "x" * 5001)
        with pytest.raises(BadInput, match="The value of tag “owner” is longer than 5000"):
            registry.register_version("churn", backend.add_run(), tags={"owner": "x" * 5001})
        for key, value in (("k" * 251, "v"), ("k", "v" * 5001)):
            with pytest.raises(BadInput, match=r"is longer than (250|5000) characters"):
                registry.set_tags("churn", 1, {key: value})

    def test_several_logged_models_are_listed_by_name(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        run_id = backend.add_run(models=["classifier", "embedder"])
        for artifact in ("", "other"):
            with pytest.raises(BadInput, match=r"classifier, embedder.*--artifact NAME"):
                registry.register_version("churn", run_id, artifact=artifact, tags={})
