"""A CI job requests with `registrar promote --wait`, people decide in Slack, and the job exits accordingly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Client
from bot.domain.registry.model import Stage
from handlers.terminal.main import main
from localslack import Remote
from tests.support.app.app_fixture import (
    CHANNEL,
    POLICY,
    AdjustableClock,
    RunningApp,
    make_policy,
    message_text,
    running_app,
)
from tests.support.app.demo_process import clean_environment
from tests.support.app.workspaces import SPEED
from tests.support.network.ports import free_port
from tests.support.network.tcp_proxy import TcpProxy
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.ci_job import BODY, CLIENTS, GITHUB, TOKEN, CiJob, call, start_job, wait_for_request
from tests.support.waiting import wait_until


class TestJobExitCodes:
    def test_with_0_after_approve(self, app: RunningApp, capsys: pytest.CaptureFixture[str]) -> None:
        job = start_job()
        app.bob.clicks(app.card(), "Approve")
        assert (job.ends(), app.production()) == (0, [4])
        printed = capsys.readouterr()
        assert "Done: “churn” v3 → v4 in Production" in printed.out
        assert "Done:" not in printed.err  # a log with both streams has it once

    def test_with_1_after_reject(self, app: RunningApp, capsys: pytest.CaptureFixture[str]) -> None:
        job = start_job()
        app.card()
        app.bob.types(CHANNEL, f'/model reject {wait_for_request(app)} --reason "too slow"')
        assert (job.ends(), app.production()) == (1, [3])
        assert "too slow" in capsys.readouterr().out

    def test_with_4_after_expiry(self, app: RunningApp, clock: AdjustableClock) -> None:
        job = start_job()
        app.card()
        wait_for_request(app)
        clock.advance(app.registrar.context.policy.rules_for("churn").production.expires_after)  # type: ignore[union-attr]
        app.registrar.expire_requests()
        assert (job.ends(), app.production()) == (4, [3])

    def test_with_4_after_a_cancellation(self, app: RunningApp) -> None:
        job = start_job()
        app.card()
        app.slack.person("dave").types(CHANNEL, f"/model cancel {wait_for_request(app)}")
        assert job.ends() == 4

    def test_with_5_if_the_wait_ends_first(self, app: RunningApp) -> None:
        assert start_job("--timeout", "1s").ends() == 5
        wait_for_request(app)  # it's still pending

    def test_as_json_with_the_json_option(self, app: RunningApp, capsys: pytest.CaptureFixture[str]) -> None:
        job = start_job("--json")
        app.bob.clicks(app.card(), "Approve")
        assert job.ends() == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["state"], document["is_final"], document["version"]) == ("done", True, 4)
        assert [vote["by"].rpartition("/")[2] for vote in document["votes"]] == ["U0BOB"]


def test_the_card_names_the_ci_run(app: RunningApp) -> None:
    start_job("--timeout", "1s").ends()
    text = message_text(app.card())
    assert "<https://github.com/acme/churn/actions/runs/4711/attempts/1|acme/churn  ·  run 4711>" in text
    assert "`9fceb02d0ae…`" in text
    assert "`github-churn`" in text
    with app.ledger.read() as reading:
        [asked] = [link.event for link in reading.audit_events() if link.event.tag is EventTag.PROMOTION_REQUESTED]
    assert asked.actor == Client("github-churn")
    assert asked.evidence["ci"]["commit"] == GITHUB["GITHUB_SHA"]


def test_the_job_waits_for_a_bot_that_restarts(slack: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, registry, policy = free_port(), MemoryRegistry(), make_policy({"clients": CLIENTS})
    monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{port}")

    with running_app(slack, tmp_path, registry, policy=policy, port=port) as app:
        job = start_job()
        card = app.card()
    with running_app(slack, tmp_path, registry, policy=policy, port=port) as app:
        app.bob.clicks(card, "Approve")
        assert (job.ends(), app.production()) == (0, [4])


def test_the_job_reconnects_after_a_cut_connection(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = TcpProxy(int(app.service.address.rpartition(":")[2]))
    monkeypatch.setenv("REGISTRAR_URL", relay.url)
    job = start_job()
    card = app.card()
    relay.cut()
    assert relay.refused.acquire(timeout=60)  # it has called in the meantime, and got no response
    app.bob.clicks(card, "Approve")
    wait_until(lambda: app.production() == [4])
    relay.mend()
    assert job.ends() == 0
    relay.close()


def test_a_retried_call_after_a_cut_connection_opens_one_request(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = TcpProxy(int(app.service.address.rpartition(":")[2]))
    monkeypatch.setenv("REGISTRAR_URL", relay.url)
    relay.cut()
    job = CiJob("promote", "churn", "4", "production")
    assert relay.refused.acquire(timeout=60)
    relay.mend()
    assert job.ends() == 0
    with app.ledger.read() as reading:
        assert len(reading.requests()) == 1
    relay.close()


@pytest.mark.slow
def test_the_job_waits_for_a_bot_that_was_killed(
    slack: Remote, tmp_path: Path, mlflow_sqlite: str, mlflow_backend: MlflowBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_backend.add_model("churn")
    for stage in (Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE):
        mlflow_backend.add_version("churn", stage=stage)
    (tmp_path / "registrar.yml").write_text(json.dumps(POLICY | {"clients": CLIENTS}))
    port = free_port()
    environment = clean_environment(
        REGISTRAR_PORT=str(port),
        MLFLOW_TRACKING_URI=mlflow_sqlite,
        PYTHONPATH=str(ROOT),
        CI_TOKEN=TOKEN,
        SLACK_BOT_TOKEN=slack.bot_token,
        SLACK_APP_TOKEN=slack.app_token,
        SLACK_API_URL=slack.api_url,
        REGISTRAR_SLACK_PACE=str(1 / SPEED),
    )

    @contextmanager
    def bot() -> Iterator[subprocess.Popen[str]]:
        """Run the bot until the block ends, then kill it."""
        words = [sys.executable, "-m", "handlers", "run"]
        with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any(line.startswith("Registrar is ready") for line in process.stdout)
            yield process
            process.kill()

    monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{port}")
    bob = slack.person("bob")
    with bot():
        job = start_job()
        card = bob.waits_for(CHANNEL, lambda message: "Promote" in str(message.get("blocks")))
    with bot():
        bob.clicks(card, "Approve")
        assert job.ends() == 0


def test_a_second_attempt_with_a_different_link_finds_the_same_request(app: RunningApp) -> None:
    key = {"Idempotency-Key": "job-4711"}
    bodies = [BODY | {"ci": {"url": f"https://ci.example/4711/{attempt}"}} for attempt in (1, 2)]
    assert [call(app, "POST", "/v1/requests", json=body, headers=key).status_code for body in bodies] == [201, 200]


def test_a_version_is_registered_over_http(app: RunningApp, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--run-id", "nowhere", "--model-name", "churn"]) == 2
    assert "MLflow has no run" in capsys.readouterr().err
