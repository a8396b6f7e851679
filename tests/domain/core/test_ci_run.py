"""The run of a CI service in which a program asks: what is known of it, and what becomes no link."""

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
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/churn",
    "CI_PIPELINE_ID": "4711",
    "CI_JOB_ID": "9",
    "CI_COMMIT_SHA": "9fceb02",
    "CI_JOB_URL": "https://git.acme.example/acme/churn/-/jobs/4711",
}


def test_github_says_where_we_are() -> None:
    url = "https://git.acme.example/acme/churn/actions/runs/4711/attempts/2"
    assert detect_ci_run(GITHUB) == CiRun(repository="acme/churn", run="4711", commit="9fceb02", url=url)


def test_gitlab_says_where_we_are() -> None:
    assert detect_ci_run(GITLAB) == CiRun(
        repository="acme/churn", run="4711", commit="9fceb02", url="https://git.acme.example/acme/churn/-/jobs/4711"
    )


def test_a_strange_environment_keeps_nobody_from_asking() -> None:
    run = detect_ci_run(GITHUB | {"GITHUB_SERVER_URL": "javascript:alert(1)//", "GITHUB_SHA": "f" * 500})
    assert (run.repository, run.url, len(run.commit)) == ("acme/churn", "", 200)
    assert parse_ci_run(pack_ci_run(run)) == run


def test_at_a_desk_nothing_is_known() -> None:
    assert not detect_ci_run({"GITHUB_REPOSITORY": "acme/churn", "HOME": "/home/ann"})


def test_what_is_known_is_kept_and_comes_back() -> None:
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
def test_what_is_no_page_becomes_no_link(url: str) -> None:
    with pytest.raises(BadInput, match="url"):
        parse_ci_run({"url": url})


def test_an_unknown_key_is_told() -> None:
    with pytest.raises(BadInput, match="repo"):
        parse_ci_run({"repo": "acme/churn"})


def test_a_word_without_end_is_refused() -> None:
    with pytest.raises(BadInput, match="too long"):
        parse_ci_run({"commit": "f" * 201})
