"""With a real MLflow: with `integrity: required`, only the files that were approved are promoted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.registry.model import VersionInfo
from bot.registry.mlflow.registry import MlflowRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, running_app
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

RULES = {"staging": {"approvers": ["lead"]}, "production": {"approvers": ["lead"], "integrity": "required"}}


@pytest.fixture
def registry(mlflow_server: MlflowServer) -> Iterator[MlflowRegistry]:
    """MLflow, as the bot uses it."""
    registry = MlflowRegistry(mlflow_server.uri, timeout=20)
    yield registry
    registry.close()


@pytest.fixture
def candidate(registry: MlflowRegistry, mlflow_backend: MlflowBackend) -> VersionInfo:
    """A version of churn with two files, in no stage."""
    version = registry.register_version("churn", mlflow_backend.add_run(models=["classifier"]), tags={})
    mlflow_backend.add_file(version, "data/model.pkl", b"good")
    return version


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, registry: MlflowRegistry, candidate: VersionInfo) -> Iterator[RunningApp]:
    """The bot, with a policy that requires the same files."""
    with running_app(slack, tmp_path / "home", registry, policy=make_policy({"models": {"*": RULES}})) as app:
        yield app


def test_the_approved_files_are_promoted(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 1 production")
    assert app.bob.clicks(app.card(holds="Files "), "Approve").acked  # they're recorded
    app.card(holds="is in Production")
    assert app.production() == [1]


def test_an_approver_is_told_what_the_promotion_waits_for(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 1 production")
    assert app.bob.clicks(app.card(holds="Files "), "Approve").acked
    answer = app.answer(app.bob, "Your vote is recorded.")
    assert re.fullmatch(
        r"Your vote is recorded\. Comparing its files.* I'll promote the version when that's done\.", answer
    )


def test_a_byte_that_was_flipped_after_the_files_were_recorded_is_named_and_not_promoted(
    app: RunningApp, candidate: VersionInfo, mlflow_backend: MlflowBackend
) -> None:
    app.alice.types(CHANNEL, "/model promote churn 1 production")
    card = app.card(holds="Files ")  # they're recorded
    mlflow_backend.add_file(candidate, "data/model.pkl", b"gooe")
    assert app.bob.clicks(card, "Approve").acked
    app.card(holds="its files changed: data/model.pkl")
    assert app.production() == []
