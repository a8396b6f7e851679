"""Whoever starts a CI job can't approve its request alone, whatever the job says about itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.app.app_fixture import RunningApp, make_policy, message_text
from tests.support.app.harness import reply_to
from tests.support.terminal.ci_job import BODY, CLIENTS, call, start_job

OCTOCAT = {"repository": "acme/churn", "run": "4711", "actor": "octocat", "service": "github"}


@pytest.fixture
def listed(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> RunningApp:
    """The bot, under a policy that says that octocat is Bob; octocat starts the jobs."""
    policy = make_policy({"clients": CLIENTS, "people": {"github": {"octocat": "U0BOB"}}})
    app.registrar.context.active_policy.replace(policy, "edited")
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    return app


def test_the_person_who_started_a_job_cannot_approve_its_request(listed: RunningApp) -> None:
    job = start_job()
    card = listed.card()
    assert "You started this CI job" in reply_to(listed.bob, lambda: listed.bob.clicks(card, "Approve"))
    listed.slack.person("carol").clicks(card, "Approve")
    assert (job.ends(), listed.production()) == (0, [4])


def test_the_card_names_the_person_who_started_the_job(listed: RunningApp) -> None:
    start_job("--timeout", "1s").ends()
    text = message_text(listed.card())
    assert "commit `9fceb02d0ae…`, started by <@U0BOB>" in text
    assert "Waiting for <@U0CAROL>." in text


def test_the_card_says_why_a_job_by_someone_else_needs_two_approvals(
    listed: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "dependabot[bot]")
    start_job("--timeout", "1s").ends()
    text = message_text(listed.card())
    assert "started by `dependabot[bot]`" in text
    assert (
        "The policy's `people` doesn't say who started this job, so the request needs 2 approvals. 0 of 2 approvals."
        in text
    )


def test_two_people_must_approve_a_job_that_does_not_say_who_started_it(listed: RunningApp) -> None:
    call(listed, "POST", "/v1/requests", json=BODY)
    card = listed.card()
    listed.bob.clicks(card, "Approve")
    listed.card(holds="1 of 2 approvals")
    assert listed.production() == [3]
    listed.slack.person("carol").clicks(card, "Approve")
    listed.card(holds="is in Production")
    assert listed.production() == [4]


def test_a_request_s_document_says_who_started_its_job(listed: RunningApp) -> None:
    made = call(listed, "POST", "/v1/requests", json=BODY | {"ci": OCTOCAT})
    assert (made.status_code, made.json()["ci"]) == (201, OCTOCAT)
    assert call(listed, "GET", f"/v1/requests/{made.json()['id']}").json()["ci"] == OCTOCAT


@pytest.mark.parametrize("ci", [{"is_verified": True}, {"service": "gitea"}, {"actor": "a" * 201}], ids=str)
def test_a_job_cannot_say_that_it_is_verified(listed: RunningApp, ci: dict[str, Any]) -> None:
    assert call(listed, "POST", "/v1/requests", json=BODY | {"ci": OCTOCAT | ci}).status_code == 422
