"""The workflows' steps, run in a shell, against a real MLflow server, a running bot and a workspace with people."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from tests.support.app.app_fixture import CHANNEL, MANIFEST, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.workspaces import local_slack
from tests.support.github.fake_github import GitHub
from tests.support.github.workflow_runner import REPOSITORY, SHA, Job, Repository
from tests.support.network.http_receiver import run_receiver
from tests.support.network.oidc_issuer import TOKEN, OidcIssuer
from tests.support.paths import ROOT
from tests.support.registry.mlflow_process import mlflow_subprocess

if TYPE_CHECKING:
    import mlflow  # takes a second, in each process of a test run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # models are trained, over HTTP

BEARER = "eyJ"  # how every ID token begins
NUMBER = 12  # the pull request


@dataclass(frozen=True, kw_only=True)
class Team:
    """A team with everything set up: a registry, a bot, a workspace, and a repository on GitHub."""

    app: RunningApp
    clock: AdjustableClock
    repository: Repository
    github: GitHub
    mlflow: mlflow.MlflowClient
    trained: dict[str, Job]  # by a push to the pull request


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Set everything up, and train a model for a pull request."""
    import mlflow

    from bot.registry.mlflow.registry import MlflowRegistry

    folder = tmp_path_factory.mktemp("team")
    clock, github = AdjustableClock(), GitHub(folder / "github.json")
    issuer = OidcIssuer(clock.now)
    github.says(NUMBER, "Nice!")
    github.says(NUMBER, "<!-- registrar: what came of the training --> quoted by a person")
    with (
        mlflow_subprocess(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", workers=1) as uri,
        local_slack(MANIFEST) as slack,
        run_receiver(issuer),
        closing(MlflowRegistry(uri)) as registry,
        running_app(slack, folder / "bot", registry, policy=policy(issuer), clock=clock) as app,
    ):
        repository = Repository(
            folder=folder / "runner",
            programs=programs(folder / "programs", github),
            variables={"MLFLOW_TRACKING_URI": uri, "REGISTRAR_URL": app.service.address, "TRAINING_ROWS": "400"},
            id_tokens=f"{issuer.url}{TOKEN}",
            environment={"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "true"},
        )
        trained = repository.run("train_and_register.yml", "pull_request", a_push("0" * 40))
        assert trained["train"].result == "success", trained["train"].said
        yield Team(
            app=app,
            clock=clock,
            repository=repository,
            github=github,
            mlflow=mlflow.MlflowClient(uri),
            trained=trained,
        )


def policy(issuer: OidcIssuer) -> Policy:
    """Return the example's policy, with this issuer in place of GitHub's, and its starter."""
    data = yaml.safe_load((ROOT / "examples" / "churn" / "registrar.yml").read_text(encoding="utf-8"))
    data["clients"]["github-churn"]["oidc"]["issuer"] = issuer.url
    data["people"] = {"github": {"alice": "U0ALICE"}}
    return validate_policy(data)


def programs(folder: Path, github: GitHub) -> Path:
    """Return a folder with the programs on a runner's PATH: gh, this Python, and registrar."""
    folder.mkdir()
    github.put_on_path(folder)
    for name, more in {"python": "", "python3": "", "registrar": "-m handlers "}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {more}"$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)  # no links: a Python that is called by one does not know its .venv
    return folder


def a_push(commit: str, repository: str = REPOSITORY) -> dict[str, Any]:
    """Return what GitHub says of a push to the pull request."""
    head = {"ref": "better-trees", "sha": commit, "repo": {"full_name": repository}}
    return {"pull_request": {"number": NUMBER, "head": head}}


def ours(github: GitHub) -> list[str]:
    """Return the comments that workflows wrote."""
    return [one["body"] for one in github.comments if one["user"]["type"] == "Bot"]


# -- train_and_register.yml --------------------------------------------------------------------------------------------


def test_a_pull_request_trains_registers_and_validates(team: Team) -> None:
    job = team.trained["train"]
    version = team.mlflow.get_model_version("churn", "1")
    assert version.tags["semver"] == "1.0.0"
    assert version.tags["trained_for"] == str(NUMBER)
    assert team.mlflow.get_run(str(version.run_id)).data.metrics["latency_ms"] > 0
    assert BEARER not in job.said


def test_the_comment_is_written_once_and_then_kept_up_to_date(team: Team) -> None:
    assert team.trained["comment"].result == "success", team.trained["comment"].said
    [first] = ours(team.github)
    assert "churn v1, 1.0.0" in first
    assert "Production (none)" in first
    assert "/model promote churn 1 production" in first
    put_into_production(team, "churn", 1)
    again = team.repository.run("train_and_register.yml", "pull_request", a_push("f" * 40))
    assert [job.result for job in again.values()] == ["success", "success"], again["train"].said
    [second] = ours(team.github)
    assert "churn v2" in second
    assert "Production (v1)" in second
    assert "f" * 40 in second
    assert "quoted by a person" in team.github.comments[1]["body"]


def test_a_fork_has_no_secrets_and_is_told_so(team: Team) -> None:
    before = len(team.mlflow.search_model_versions("name = 'churn'"))
    fork = replace(team.repository, secrets={}, id_tokens="", folder=team.repository.folder / "fork")
    jobs = fork.run("train_and_register.yml", "pull_request", a_push("a" * 40, "mallory/churn"))
    assert [job.result for job in jobs.values()] == ["success", "skipped"], jobs["train"].said
    assert "::notice title=On this runner only::" in jobs["train"].said
    assert "nothing was registered there" in jobs["train"].summary
    assert "Registered files**: churn v1" in jobs["train"].summary
    assert len(team.mlflow.search_model_versions("name = 'churn'")) == before


def put_into_production(team: Team, model: str, version: int) -> None:
    team.mlflow.transition_model_version_stage(model, str(version), "Production")
    team.mlflow.set_registered_model_alias(model, "champion", str(version))


# -- promote_model.yml -------------------------------------------------------------------------------------------------


@contextmanager
def promoting(team: Team, model: str, version: int = 1, **more: Any) -> Iterator[Future[dict[str, Job]]]:
    """Start the workflow by hand, and give what will come of its jobs."""
    variables = {**team.repository.variables, **more.pop("variables", {})}
    repository = replace(team.repository, variables=variables)
    inputs = {"model_name": model, "version": str(version)} | more.pop("inputs", {})
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(repository.run, "promote_model.yml", "workflow_dispatch", inputs=inputs, **more)


def another_name_for_it(team: Team, model: str) -> None:
    """Register the trained run once more, as version 1 of a model of its own."""
    run_id = str(team.mlflow.get_model_version("churn", "1").run_id)
    outputs = team.mlflow.get_run(run_id).outputs
    assert outputs
    [logged] = outputs.model_outputs
    team.mlflow.create_registered_model(model)
    team.mlflow.create_model_version(
        model, f"models:/{logged.model_id}", run_id, {"semver": "1.0.0"}, model_id=logged.model_id, await_creation_for=0
    )


def the_card(team: Team, model: str) -> dict[str, Any]:
    """Wait for the card, longer than a person's patience: the workflow validates first."""
    return team.app.bob.waits_for(CHANNEL, lambda message: f"Promote {model}" in message_text(message), 100)


SKIP = {"skip_validation": True}


def test_after_approve_it_is_deployed_validated_and_released(team: Team) -> None:
    another_name_for_it(team, "churn-approved")
    with promoting(team, "churn-approved", inputs={"reason": "better f1"}) as running_jobs:
        card = the_card(team, "churn-approved")
        assert "better f1" in message_text(card)
        assert f"{REPOSITORY}/actions/runs/" in str(card["blocks"])
        team.app.bob.clicks(card, "Approve")
        jobs = running_jobs.result()
    assert [job.result for job in jobs.values()] == ["success"] * 3, "".join(job.said for job in jobs.values())
    assert jobs["promote"].code == 0
    assert team.app.production("churn-approved") == [1]
    assert "loaded as models:/churn-approved/Production" in jobs["promote"].said
    release = team.github.releases["churn-approved-v1"]
    assert release["target"] == SHA
    assert "accuracy = 0.9" in release["body"]
    assert re.search(r"\| approver \| .*U0BOB", release["body"])
    assert BEARER not in "".join(job.said for job in jobs.values())


def test_after_reject_the_job_ends_with_1_and_there_is_no_release(team: Team) -> None:
    another_name_for_it(team, "churn-rejected")
    with promoting(team, "churn-rejected", inputs=SKIP) as running_jobs:
        team.app.bob.clicks(the_card(team, "churn-rejected"), "Reject")
        team.app.bob.waits_for_modal()
        team.app.bob.submits({"reason": "latency doubled"})
        jobs = running_jobs.result()
    assert [job.result for job in jobs.values()] == ["skipped", "failure", "skipped"]
    assert jobs["promote"].code == 1
    assert "latency doubled" in jobs["promote"].said
    assert "churn-rejected-v1" not in team.github.releases


def test_after_expiry_the_job_ends_with_4(team: Team) -> None:
    another_name_for_it(team, "churn-expired")
    with promoting(team, "churn-expired", inputs=SKIP) as running_jobs:
        the_card(team, "churn-expired")
        team.clock.advance(timedelta(hours=25))
        team.app.registrar.expire_requests()
        jobs = running_jobs.result()
    assert (jobs["promote"].result, jobs["promote"].code) == ("failure", 4), jobs["promote"].said


def test_a_job_whose_own_wait_ends_first_ends_with_5_and_run_again_goes_on_waiting(team: Team) -> None:
    another_name_for_it(team, "churn-waited")
    with promoting(team, "churn-waited", inputs=SKIP, run_id=4711, variables={"PROMOTION_WAIT": "1s"}) as running_jobs:
        jobs = running_jobs.result()
    assert (jobs["promote"].result, jobs["promote"].code) == ("failure", 5), jobs["promote"].said
    with promoting(team, "churn-waited", inputs=SKIP, run_id=4711, attempt=2) as running_jobs:
        team.app.bob.clicks(the_card(team, "churn-waited"), "Approve")
        jobs = running_jobs.result()
    assert (jobs["promote"].result, jobs["promote"].code) == ("success", 0), jobs["promote"].said
    with team.app.ledger.read() as reading:
        assert len(reading.requests(model="churn-waited")) == 1
    assert "churn-waited-v1" in team.github.releases


def test_skipping_the_validation_skips_no_gate(team: Team) -> None:
    another_name_for_it(team, "churn-without-semver")
    team.mlflow.delete_model_version_tag("churn-without-semver", "1", "semver")
    with promoting(team, "churn-without-semver", inputs=SKIP) as running_jobs:
        jobs = running_jobs.result()
    assert jobs["validate"].result == "skipped"
    assert (jobs["promote"].result, jobs["promote"].code) == ("failure", 1), jobs["promote"].said
    assert "semver" in jobs["promote"].said
    assert team.app.production("churn-without-semver") == []


def test_another_repository_needs_five_lines(team: Team, tmp_path: Path) -> None:
    another_name_for_it(team, "churn-elsewhere")
    lines = five_lines()
    assert len(lines) == 5
    step = "\n".join(lines).replace("OWNER/registrar/.github/actions/registrar@COMMIT", "./.github/actions/registrar")
    workflow = {"name": "Elsewhere", "on": {"push": None}, "defaults": {"run": {"shell": "bash"}}}
    job = yaml.safe_load(step.replace("promote churn 7", "promote churn-elsewhere 1"))
    workflow["jobs"] = {"ask": {"runs-on": "ubuntu-24.04", **job}}
    (tmp_path / "elsewhere.yml").write_text(yaml.safe_dump(workflow))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(team.repository.run, str(tmp_path / "elsewhere.yml"), "push")
        team.app.bob.clicks(the_card(team, "churn-elsewhere"), "Approve")
        assert asked.result()["ask"].result == "success", asked.result()["ask"].said
    assert team.app.production("churn-elsewhere") == [1]


def five_lines() -> list[str]:
    page = (ROOT / ".github" / "actions" / "registrar" / "README.md").read_text(encoding="utf-8")
    return page.partition("```yaml\n")[2].partition("```")[0].rstrip().splitlines()


def test_what_is_not_set_up_is_named_before_anybody_is_asked(team: Team) -> None:
    bare = replace(team.repository, variables={}, secrets={}, folder=team.repository.folder / "bare")
    jobs = bare.run("promote_model.yml", "workflow_dispatch", inputs={"model_name": "churn", "version": "1", **SKIP})
    assert jobs["promote"].code == 2
    assert "Set MLFLOW_TRACKING_URI REGISTRAR_URL under Settings" in jobs["promote"].said
