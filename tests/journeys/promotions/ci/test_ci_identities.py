"""CI jobs without a static token: they request with the ID tokens that their CI service signs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.promotions.request import RequestState
from handlers.terminal import remote
from handlers.terminal.main import main
from localslack import Remote
from tests.support.app.app_fixture import AdjustableClock, RunningApp, make_policy, message_text, running_app
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.network.oidc_issuer import KEYS, TOKEN, OidcIssuer
from tests.support.registry.memory import MemoryRegistry
from tests.support.terminal.ci_job import BODY, GITHUB, call, start_job, wait_for_request

VERIFIED = {
    "repository": "acme/churn",
    "run": "4711",
    "commit": GITHUB["GITHUB_SHA"],
    "actor": "octocat",
    "service": "github",
    "is_verified": True,
}
PEOPLE = {"github": {"octocat": "U0ALICE"}, "gitlab": {"ann": "U0ALICE"}}
ON_GITHUB = {"repository": "acme/churn", "environment": "production"}
ON_GITLAB = {"project_path": "acme/churn", "ref_protected": "true"}


@pytest.fixture
def issuer(clock: AdjustableClock) -> Iterator[OidcIssuer]:
    with run_receiver(OidcIssuer(clock.now)) as issuer:
        assert isinstance(issuer, OidcIssuer)
        yield issuer


@pytest.fixture
def app(
    slack: Remote, tmp_path: Path, clock: AdjustableClock, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApp]:
    """Yield the bot, with a client for jobs of one environment, and a terminal in such a job, without a token."""
    identity = {"issuer": issuer.url, "audience": "registrar"}
    clients = {
        "github-churn": {"oidc": identity | {"claims": ON_GITHUB}, "models": ["churn*"], "may": ["request"]},
        "gitlab-churn": {"oidc": identity | {"claims": ON_GITLAB, "service": "gitlab"}, "may": ["request"]},
    }
    monkeypatch.delenv("REGISTRAR_TOKEN")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{issuer.url}{TOKEN}?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", json.dumps(ON_GITHUB))
    with running_app(
        slack, tmp_path, MemoryRegistry(), policy=make_policy({"clients": clients, "people": PEOPLE}), clock=clock
    ) as app:
        monkeypatch.setenv("REGISTRAR_URL", app.service.address)
        yield app


class TestCalls:
    def test_the_verified_claims_replace_what_the_body_says(self, app: RunningApp, issuer: OidcIssuer) -> None:
        body = BODY | {"ci": {"repository": "acme/famous", "url": "https://ci.example/someone-else-s"}}
        asked = call(app, "POST", "/v1/requests", issuer.sign(ON_GITHUB), json=body)
        assert asked.status_code == 201
        with app.ledger.read() as reading:
            run = reading.request(asked.json()["id"]).ci
            [event] = [link.event for link in reading.audit_events() if link.event.tag is EventTag.PROMOTION_REQUESTED]
        address = f"{issuer.url}/acme/churn/actions/runs/4711/attempts/1"
        assert event.evidence["ci"] == VERIFIED | {"url": address}
        assert run
        assert (run.actor, run.is_verified) == ("octocat", True)
        assert "acme/famous" not in message_text(app.card())

    def test_what_a_body_says_is_never_verified(self, app: RunningApp, issuer: OidcIssuer) -> None:
        body = BODY | {"ci": {"is_verified": True}}
        assert call(app, "POST", "/v1/requests", issuer.sign(ON_GITHUB), json=body).status_code == 422

    def test_a_token_makes_one_change_and_reads_until_it_expires(
        self, app: RunningApp, issuer: OidcIssuer, clock: AdjustableClock
    ) -> None:
        token = issuer.sign(ON_GITHUB)
        path = f"/v1/requests/{call(app, 'POST', '/v1/requests', token, json=BODY).json()['id']}"
        assert [call(app, "GET", path, token).status_code for _ in range(2)] == [200, 200]
        assert call(app, "DELETE", path, token).status_code == 401
        assert call(app, "GET", path, token).json()["state"] == "pending"
        assert call(app, "DELETE", path, issuer.sign(ON_GITHUB)).json()["state"] == "cancelled"
        clock.advance(app.registrar.context.policy.edits.settle * 12)
        assert call(app, "GET", path, token).json()["error"] == "The ID token has expired."

    def test_a_job_outside_the_environment_is_refused_and_audited(self, app: RunningApp, issuer: OidcIssuer) -> None:
        answer = call(app, "POST", "/v1/requests", issuer.sign(), json=BODY)
        assert answer.status_code == 401
        assert "environment" in answer.json()["error"]
        assert EventTag.API_REFUSED.value in app.audit()

    def test_an_issuer_that_is_down_is_reported_with_503(self, app: RunningApp, issuer: OidcIssuer) -> None:
        issuer.planned = {KEYS: PlannedReply(status=500)}
        answer = call(app, "POST", "/v1/requests", issuer.sign(ON_GITHUB), json=BODY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with app.ledger.read() as reading:
            assert reading.requests() == []


class TestTerminal:
    def test_a_job_on_github_requests_and_waits_without_a_token(self, app: RunningApp, issuer: OidcIssuer) -> None:
        job = start_job()
        app.bob.clicks(app.card(), "Approve")
        assert (job.ends(), app.production()) == (0, [4])
        requested = [path for path in issuer.paths() if path.startswith(TOKEN)]
        assert set(requested) == {f"{TOKEN}?api-version=2.0&audience=registrar"}
        assert len(requested) > 1  # a new one for each call

    def test_the_audience_can_be_set(
        self, app: RunningApp, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_AUDIENCE", "another")
        assert main(["promote", "churn", "4", "production"]) == 2
        assert "No client in the policy matches this ID token's aud." in capsys.readouterr().err

    def test_a_job_on_gitlab_requests_with_its_only_token(
        self, app: RunningApp, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claims = {"project_path": "acme/churn", "pipeline_id": "99", "job_id": "7", "user_login": "ann"}
        monkeypatch.delenv("GITHUB_ACTIONS")
        monkeypatch.setenv("REGISTRAR_ID_TOKEN", issuer.sign({**claims, "ref_protected": "true", "repository": ...}))
        job = start_job()
        app.bob.clicks(app.card(), "Approve")
        assert (job.ends(), app.production()) == (0, [4])
        with app.ledger.read() as reading:
            [request] = reading.requests(states=[RequestState.DONE])
        assert request.ci
        assert (request.ci.actor, request.ci.run, request.ci.service) == ("ann", "99", "gitlab")

    def test_a_second_change_with_gitlab_s_token_is_refused(
        self, app: RunningApp, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_ID_TOKEN", issuer.sign(ON_GITHUB))
        assert main(["promote", "churn", "4", "production"]) == 0
        assert main(["cancel", wait_for_request(app)]) == 2
        said = capsys.readouterr().err
        assert "This ID token has already been used for a change." in said
        assert "Check REGISTRAR_ID_TOKEN." in said

    def test_a_token_is_used_rather_than_an_id_token(
        self, app: RunningApp, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REGISTRAR_TOKEN", "unknown")
        assert main(["promote", "churn", "4", "production"]) == 2
        assert issuer.got == []

    def test_a_job_without_the_permission_is_told_to_add_it(
        self, app: RunningApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
        assert main(["promote", "churn", "4", "production"]) == 2
        assert "Add id-token: write to its permissions, or set REGISTRAR_TOKEN." in capsys.readouterr().err

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}"])
    def test_a_github_that_issues_no_token_is_reported(
        self,
        app: RunningApp,
        issuer: OidcIssuer,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        body: bytes,
    ) -> None:
        monkeypatch.setattr(remote, "RETRY_SECONDS", 0.1)
        issuer.planned = {TOKEN: PlannedReply(body=body)}
        assert main(["promote", "churn", "4", "production"]) == 3
        assert "GitHub didn't issue an ID token." in capsys.readouterr().err
