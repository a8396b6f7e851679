"""The CI run that a request comes from: its known fields, and links that aren't valid."""

from __future__ import annotations

import pytest

from bot.domain.core.ci_run import CiRun, detect_ci_run, pack_ci_run, parse_ci_run
from bot.domain.core.errors import BadInput

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/churn",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": "9fceb02",
    "GITHUB_SERVER_URL": "https://git.acme.example",
    "GITHUB_ACTOR": "octocat",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/churn",
    "CI_PIPELINE_ID": "4711",
    "GITLAB_USER_LOGIN": "tanuki",
    "CI_JOB_ID": "9",
    "CI_COMMIT_SHA": "9fceb02",
    "CI_JOB_URL": "https://git.acme.example/acme/churn/-/jobs/4711",
}


def test_a_github_actions_run_is_detected() -> None:
    url = "https://git.acme.example/acme/churn/actions/runs/4711/attempts/2"
    assert detect_ci_run(GITHUB) == CiRun(
        repository="acme/churn", run="4711", commit="9fceb02", url=url, actor="octocat", service="github"
    )


def test_someone_who_restarts_a_github_actions_run_is_its_starter() -> None:
    assert detect_ci_run(GITHUB | {"GITHUB_TRIGGERING_ACTOR": "hubot"}).actor == "hubot"


def test_a_gitlab_pipeline_is_detected() -> None:
    assert detect_ci_run(GITLAB) == CiRun(
        repository="acme/churn",
        run="4711",
        commit="9fceb02",
        url="https://git.acme.example/acme/churn/-/jobs/4711",
        actor="tanuki",
        service="gitlab",
    )


def test_an_odd_environment_does_not_prevent_a_request() -> None:
    run = detect_ci_run(GITHUB | {"GITHUB_SERVER_URL": "javascript:alert(1)//", "GITHUB_SHA": "f" * 500})
    assert (run.repository, run.url, len(run.commit)) == ("acme/churn", "", 200)
    assert parse_ci_run(pack_ci_run(run)) == run


def test_no_run_is_detected_outside_ci() -> None:
    assert not detect_ci_run({"GITHUB_REPOSITORY": "acme/churn", "HOME": "/home/ann"})


def test_a_program_cannot_report_that_its_run_is_verified() -> None:
    with pytest.raises(BadInput, match="is_verified"):
        parse_ci_run({"actor": "octocat", "is_verified": True})


def test_known_fields_survive_pack_and_parse() -> None:
    run = detect_ci_run(GITHUB)
    assert parse_ci_run(pack_ci_run(run)) == run
    assert pack_ci_run(CiRun(run="7")) == {"run": "7"}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://ci.example/7",
        "//ci.example/7",
        "https://",
        "https://ann:secret@ci.example/7",
        "https://ci.example/7|Approve",
        "https://ci.example/<!channel>",
        "https://ci.example/a b",
        "https://[broken",
    ],
)
def test_an_invalid_url_does_not_become_a_link(url: str) -> None:
    with pytest.raises(BadInput, match="url"):
        parse_ci_run({"url": url})


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(BadInput, match="repo"):
        parse_ci_run({"repo": "acme/churn"})


def test_an_overlong_value_is_refused() -> None:
    with pytest.raises(BadInput, match="too long"):
        parse_ci_run({"commit": "f" * 201})
