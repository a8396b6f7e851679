"""A CI job asks with `registrar promote --wait`, people decide in Slack, and the job ends as it was decided."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.domain.approvals import RequestState
from bot.domain.events import Tag
from bot.domain.people import Client
from bot.domain.registry import Stage
from bot.registry.memory import MemoryRegistry
from handlers.cli import main
from handlers.terminal import remote
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL, POLICY, TurnedClock, World, policy_of, running, said
from tests.support.app.demo_process import clean_environment
from tests.support.app.workspaces import SPEED
from tests.support.network.tcp_proxy import Relay
from tests.support.paths import ROOT
from tests.support.registry.registries import MlflowShelf, free_port
from tests.support.waiting import wait_until

TOKEN, OTHER = "t0ken-of-the-ci-job", "t0ken-of-another"
READER, ELSEWHERE = "t0ken-of-a-reader", "t0ken-of-a-reader-of-other-models"
CLIENTS = {
    "github-churn": {"token_env": "CI_TOKEN", "models": ["churn*"], "may": ["request"]},
    "other": {"token_env": "OTHER_TOKEN", "may": ["request"]},
    "reader": {"token_env": "READER_TOKEN", "models": ["churn*"], "may": ["read"]},
    "elsewhere": {"token_env": "ELSEWHERE_TOKEN", "models": ["fraud"], "may": ["read"]},
    "pusher": {"token_env": "PUSHER_TOKEN", "may": ["push"]},
}
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/churn",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SHA": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "GITHUB_SERVER_URL": "https://github.com",
}


class Job:
    """A command of the terminal that runs beside the test, as a CI job does."""

    def __init__(self, *words: str) -> None:
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, args=(words,), daemon=True)
        self._thread.start()

    def _run(self, words: tuple[str, ...]) -> None:
        self.code = main(words)

    def ends(self) -> int | None:
        """Wait for its end and return its exit code."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "it still waits"
        return self.code


@pytest.fixture(autouse=True)
def _as_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CI_TOKEN", "REGISTRAR_TOKEN"):
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("OTHER_TOKEN", OTHER)
    monkeypatch.setenv("READER_TOKEN", READER)
    monkeypatch.setenv("ELSEWHERE_TOKEN", ELSEWHERE)
    monkeypatch.setenv("PUSHER_TOKEN", "t0ken-of-a-pusher")
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def world(slack: Remote, tmp_path: Path, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The bot, with the clients of its policy, and where the terminal finds it."""
    policy = policy_of({"clients": CLIENTS})
    with running(slack, tmp_path, MemoryRegistry(), policy=policy, clock=clock) as world:
        monkeypatch.setenv("REGISTRAR_URL", world.service.address)
        yield world


def asks(*more: str) -> Job:
    """Let the job ask for v4 in Production and wait."""
    return Job(
        "promote",
        "--model-name",
        "churn",
        "--version",
        "4",
        "--to",
        "production",
        "--reason",
        "better f1",
        "--wait",
        *more,
    )


def request_of(world: World, state: RequestState = RequestState.PENDING) -> str:
    """Wait for the one request and return its id."""

    def found() -> str | None:
        with world.ledger.read() as reading:
            return next((one.id for one in reading.requests(states=[state])), None)

    wait_until(lambda: found() is not None)
    return str(found())


def call(world: World, method: str, path: str, token: str = TOKEN, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return httpx.request(method, f"{world.service.address}{path}", headers=headers, timeout=30, **more)


BODY = {"model": "churn", "version": 4, "to": "production", "reason": "better f1"}


class TestTheJobEndsAsItWasDecided:
    def test_with_0_after_approve(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        job = asks()
        world.bob.clicks(world.card(), "Approve")
        assert (job.ends(), world.production()) == (0, [4])
        printed = capsys.readouterr()
        assert "Done: “churn” v3 → v4 in Production" in printed.out
        assert "Done:" not in printed.err  # where both go to one log, it's there once

    def test_with_1_after_reject(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        job = asks()
        world.card()
        world.bob.types(CHANNEL, f'/model reject {request_of(world)} --reason "too slow"')
        assert (job.ends(), world.production()) == (1, [3])
        assert "too slow" in capsys.readouterr().out

    def test_with_4_after_expiry(self, world: World, clock: TurnedClock) -> None:
        job = asks()
        world.card()
        request_of(world)
        clock.turn(world.registrar.context.policy.rules_for("churn").production.expires_after)  # type: ignore[union-attr]
        world.registrar.expire()
        assert (job.ends(), world.production()) == (4, [3])

    def test_with_4_after_a_cancellation(self, world: World) -> None:
        job = asks()
        world.card()
        world.slack.person("dave").types(CHANNEL, f"/model cancel {request_of(world)}")
        assert job.ends() == 4

    def test_with_5_when_its_own_wait_ends_first(self, world: World) -> None:
        assert asks("--timeout", "1s").ends() == 5
        request_of(world)  # which goes on

    def test_as_json_if_that_is_asked_for(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        job = asks("--json")
        world.bob.clicks(world.card(), "Approve")
        assert job.ends() == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["state"], document["is_final"], document["version"]) == ("done", True, 4)
        assert [vote["by"].rpartition("/")[2] for vote in document["votes"]] == ["U0BOB"]


def test_the_card_says_from_which_run_it_was_asked(world: World) -> None:
    asks("--timeout", "1s").ends()
    text = said(world.card())
    assert "<https://github.com/acme/churn/actions/runs/4711/attempts/1|acme/churn  ·  run 4711>" in text
    assert "`9fceb02d0ae…`" in text
    assert "`github-churn`" in text
    with world.ledger.read() as reading:
        [asked] = [link.event for link in reading.links() if link.event.tag is Tag.ASKED]
    assert asked.actor == Client("github-churn")
    assert asked.evidence["ci"]["commit"] == GITHUB["GITHUB_SHA"]


def test_a_bot_that_is_started_anew_meanwhile_is_waited_for(
    slack: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, registry, policy = free_port(), MemoryRegistry(), policy_of({"clients": CLIENTS})
    monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{port}")

    with running(slack, tmp_path, registry, policy=policy, port=port) as world:
        job = asks()
        card = world.card()
    with running(slack, tmp_path, registry, policy=policy, port=port) as world:
        world.bob.clicks(card, "Approve")
        assert (job.ends(), world.production()) == (0, [4])


def test_a_connection_that_is_cut_is_picked_up_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(int(world.service.address.rpartition(":")[2]))
    monkeypatch.setenv("REGISTRAR_URL", relay.url)
    job = asks()
    card = world.card()
    relay.cut()
    assert relay.refused.acquire(timeout=60)  # it has asked meanwhile, and got no answer
    world.bob.clicks(card, "Approve")
    wait_until(lambda: world.production() == [4])
    relay.mend()
    assert job.ends() == 0
    relay.close()


def test_asking_through_a_cut_wire_opens_one_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(int(world.service.address.rpartition(":")[2]))
    monkeypatch.setenv("REGISTRAR_URL", relay.url)
    relay.cut()
    job = Job("promote", "churn", "4", "production")
    assert relay.refused.acquire(timeout=60)
    relay.mend()
    assert job.ends() == 0
    with world.ledger.read() as reading:
        assert len(reading.requests()) == 1
    relay.close()


@pytest.mark.slow
def test_a_bot_that_is_killed_meanwhile_is_waited_for(
    slack: Remote, tmp_path: Path, mlflow_sqlite: str, mlflow_shelf: MlflowShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_shelf.add("churn")
    for stage in (Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE):
        mlflow_shelf.add_version("churn", stage=stage)
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
        """Run it until the block ends, which kills it."""
        words = [sys.executable, "-m", "handlers", "run"]
        with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any(line.startswith("Registrar is ready") for line in process.stdout)
            yield process
            process.kill()

    monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{port}")
    bob = slack.person("bob")
    with bot():
        job = asks()
        card = bob.waits_for(CHANNEL, lambda message: "Promote" in str(message.get("blocks")))
    with bot():
        bob.clicks(card, "Approve")
        assert job.ends() == 0


class TestBlockedVersions:
    @pytest.fixture
    def blocked(self, world: World, mlflow_sqlite: str, mlflow_shelf: MlflowShelf, monkeypatch: Any) -> World:
        """The bot whose v4 was rolled back as bad, and a terminal elsewhere that reads the same model in MLflow."""
        mlflow_shelf.add("churn")
        for at, stage in enumerate((Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE)):
            run_id = mlflow_shelf.add_run(metrics={"f1": 0.8 + at / 100})
            mlflow_shelf.add_version("churn", stage=stage, run_id=run_id)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
        world.registrar.poll()
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        world.bob.clicks(world.card(), "Approve")
        world.card(holds="is in Production")
        world.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
        world.card(holds="rolled back from v4 to v3")
        return world

    def test_are_told_to_a_client_of_the_model(self, blocked: World) -> None:
        answer = call(blocked, "GET", "/v1/models/churn/blocks")
        [block] = answer.json()["blocks"]
        assert (answer.status_code, block["version"], block["reason"]) == (200, 4, "accuracy fell")
        assert call(blocked, "GET", "/v1/models/fraud/blocks").status_code == 403
        assert call(blocked, "GET", "/v1/models/churn/blocks", "t0ken-of-a-pusher").status_code == 403

    def test_are_shown_at_a_terminal_away_from_the_bot(
        self, blocked: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for words in (["show", "churn"], ["show", "churn", "4"], ["compare", "churn"], ["best", "churn", "f1"]):
            assert main(words) == 0
            assert "accuracy fell." in capsys.readouterr().out, words

    def test_fail_the_gate_when_a_job_validates_one(self, blocked: World, capsys: pytest.CaptureFixture[str]) -> None:
        Path("registrar.yml").write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
        assert main(["validate", "churn", "4"]) == 1
        assert "rolled back as bad" in capsys.readouterr().out

    def test_of_a_bot_that_does_not_answer_nothing_is_known(
        self, blocked: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{free_port()}")
        assert main(["show", "churn"]) == 0
        assert "accuracy fell" not in capsys.readouterr().out


class TestTheKey:
    def test_the_same_one_never_opens_two(self, world: World) -> None:
        key = {"Idempotency-Key": "job-4711"}
        first = call(world, "POST", "/v1/requests", json=BODY, headers=key)
        again = call(world, "POST", "/v1/requests", json=BODY, headers=key)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        with world.ledger.read() as reading:
            assert len(reading.requests()) == 1

    def test_with_another_body_it_is_refused(self, world: World) -> None:
        key = {"Idempotency-Key": "job-4711"}
        call(world, "POST", "/v1/requests", json=BODY, headers=key)
        other = call(world, "POST", "/v1/requests", json=BODY | {"version": 2}, headers=key)
        assert other.status_code == 409
        assert "another body" in other.json()["error"]

    def test_is_each_client_s_own(self, world: World) -> None:
        key = {"Idempotency-Key": "job-4711"}
        call(world, "POST", "/v1/requests", json=BODY, headers=key)
        other = call(world, "POST", "/v1/requests", OTHER, json=BODY | {"to": "staging"}, headers=key)
        assert other.status_code == 201

    def test_a_second_try_of_a_job_finds_its_request(self, world: World) -> None:
        assert [asks("--timeout", "1s").ends() for _ in range(2)] == [5, 5]
        with world.ledger.read() as reading:
            assert len(reading.requests()) == 1


class TestOnesOwnOnly:
    def test_nobody_sees_or_cancels_what_others_asked_for(self, world: World) -> None:
        asked = call(world, "POST", "/v1/requests", json=BODY).json()["id"]
        assert [call(world, method, f"/v1/requests/{asked}", OTHER).status_code for method in ("GET", "DELETE")] == [
            404,
            404,
        ]
        assert call(world, "GET", f"/v1/requests/{asked}").json()["state"] == "pending"

    def test_what_a_person_asked_for_is_nobody_else_s(self, world: World) -> None:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        asked = request_of(world)
        assert call(world, "GET", f"/v1/requests/{asked}").status_code == 404

    def test_a_reader_reads_every_request_about_its_models_and_does_nothing_else(self, world: World) -> None:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        asked = request_of(world)
        assert call(world, "GET", f"/v1/requests/{asked}", READER).json()["state"] == "pending"
        assert call(world, "GET", f"/v1/requests/{asked}", ELSEWHERE).status_code == 404
        assert call(world, "DELETE", f"/v1/requests/{asked}", READER).status_code == 403
        assert call(world, "POST", "/v1/requests", READER, json=BODY).status_code == 403

    def test_one_s_own_is_cancelled_and_the_card_says_so(self, world: World) -> None:
        asked = call(world, "POST", "/v1/requests", json=BODY).json()["id"]
        assert call(world, "DELETE", f"/v1/requests/{asked}").json()["state"] == "cancelled"
        world.card(holds="cancelled")
        assert call(world, "DELETE", f"/v1/requests/{asked}").status_code == 409

    def test_it_is_cancelled_from_the_terminal_as_well(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        asked = call(world, "POST", "/v1/requests", json=BODY).json()["id"]
        assert main(["cancel", asked, "--reason", "wrong version"]) == 0
        said_there = "github-churn cancelled “churn” v3 → v4 in Production: wrong version."
        assert said_there in capsys.readouterr().out
        assert "wrong version" in said(world.card(holds="cancelled"))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (BODY | {"version": 99}, 404, "99"),
        (BODY | {"model": "churns"}, 404, "churn"),
        (BODY | {"to": "moon"}, 422, "moon"),
        (BODY | {"verison": 4}, 422, "“verison”: unknown key"),
        (BODY | {"break_glass": True}, 422, "“break_glass”: unknown key"),
        (BODY | {"ci": {"url": "javascript:alert(1)"}}, 422, "ci."),
        (BODY | {"ci": {"url": "https://x|y>"}}, 422, "ci."),
        (BODY | {"model": "fraud"}, 403, "fraud"),
        (BODY | {"validation": {"accuracy": "much"}}, 422, "“validation.accuracy”"),
        (BODY | {"validation": {"accuracy": "0.9"}}, 422, "“validation.accuracy”"),
        (BODY | {"version": True}, 422, "“version"),
        (BODY | {"keep_existing": "no"}, 422, "“keep_existing”"),
        ([], 422, ""),
    ],
)
def test_what_is_wrong_is_told_and_opens_nothing(world: World, body: Any, status: int, words: str) -> None:
    answer = call(world, "POST", "/v1/requests", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    with world.ledger.read() as reading:
        assert reading.requests() == []


def test_what_is_no_id_is_told_as_all_errors_are(world: World) -> None:
    answer = call(world, "GET", "/v1/requests/NO-ID")
    assert (answer.status_code, answer.json().keys()) == (422, {"error"})
    assert "request_id" in answer.json()["error"]


@pytest.mark.parametrize(("token", "status"), [("nobody's", 401), ("t0ken-of-a-pusher", 403)])
def test_who_may_not_ask_is_refused_and_the_audit_keeps_it(world: World, token: str, status: int) -> None:
    assert call(world, "POST", "/v1/requests", token, json=BODY).status_code == status
    assert Tag.API_REFUSED.value in world.audit()
    assert token not in str(world.audit())


class TestTheExitCode:
    def test_is_2_for_what_was_typed_wrongly(self, world: World) -> None:
        assert main(["promote", "churn", "99", "production"]) == 2

    def test_is_2_for_a_token_that_nobody_knows(
        self, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_TOKEN", "nobody-s-secret")
        assert main(["promote", "churn", "4", "production"]) == 2
        printed = capsys.readouterr().err
        assert ("REGISTRAR_TOKEN" in printed, "nobody-s-secret" in printed) == (True, False)

    def test_is_1_for_what_only_a_person_may(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["rollback", "churn", "--reason", "bad"]) == 1
        assert "a person has to" in capsys.readouterr().err

    def test_is_1_for_a_model_that_the_policy_does_not_let_the_client_ask_for(self, world: World) -> None:
        assert main(["promote", "fraud", "1", "production"]) == 1

    def test_is_3_where_no_bot_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setattr(remote, "AGAIN_FOR", 0.1)
        assert main(["promote", "churn", "4", "production"]) == 3


class TestBreakingTheGlass:
    def test_an_admin_moves_it_past_approvals_and_the_channel_is_alarmed(self, world: World) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        alarm = said(world.bob.waits_for(CHANNEL, lambda message: "broke the glass" in said(message)))
        assert "fraud in v3" in alarm
        assert "Done" in world.answer(dave, "read back from MLflow")
        assert world.production() == [4]
        assert Tag.BROKE_GLASS.value in world.audit()

    def test_another_person_reviews_it_by_command(self, world: World) -> None:
        request = self.broken(world)
        world.alice.types(CHANNEL, f'/model review {request} --reason "fine"')
        world.answer(world.alice, "Only approvers and admins")
        dave = world.slack.person("dave")
        dave.types(CHANNEL, f'/model review {request} --reason "fine"')
        world.answer(dave, "someone else has to review it")
        world.bob.types(CHANNEL, f'/model review {request} --reason "v3 was down"')
        world.answer(world.bob, "Reviewed:")
        card = world.card(holds="Reviewed by")
        assert "v3 was down" in said(card)
        world.slack.wait_for(lambda: any("reviewed it: v3 was down" in said(one) for one in world.bob.thread(card)))
        assert Tag.REVIEWED.value in world.audit()

    def test_another_person_reviews_it_by_the_cards_button(self, world: World) -> None:
        self.broken(world)
        card = world.card(holds="Review due by")
        world.bob.clicks(card, "Review…")
        world.bob.waits_for_modal()
        world.bob.submits({"reason": "v3 was down"})
        assert "v3 was down" in said(world.card(holds="Reviewed by"))

    def test_who_broke_it_is_not_even_shown_the_form(self, world: World) -> None:
        self.broken(world)
        dave = world.slack.person("dave")
        dave.clicks(world.card(holds="Review due by"), "Review…")
        world.answer(dave, "someone else has to review it")

    def test_without_a_reason_the_command_opens_the_form(self, world: World) -> None:
        request = self.broken(world)
        world.bob.types(CHANNEL, f"/model review {request}")
        world.bob.waits_for_modal()

    def broken(self, world: World) -> str:
        """Let Dave break the glass; return the request's id."""
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        world.answer(dave, "read back from MLflow")
        with world.ledger.read() as reading:
            return reading.to_review()[0].id

    def test_nobody_else_does(self, world: World) -> None:
        world.bob.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        world.answer(world.bob, "Only those with the role admin")
        assert world.production() == [3]

    def test_without_a_reason_nothing_is_done(self, world: World) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn 4 production --break-glass")
        world.answer(dave, "needs a reason")
        assert world.production() == [3]

    def test_it_is_typed_whole_and_never_hidden_behind_a_form(self, world: World) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn --break-glass")
        world.answer(dave, "missing")
        assert world.production() == [3]

    def test_what_waits_for_approvals_is_set_aside(self, world: World) -> None:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        pending = request_of(world)
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 2 production --break-glass --reason "fraud in v3"')
        world.answer(dave, "read back from MLflow")
        with world.ledger.read() as reading:
            assert reading.request(pending).state is RequestState.STALE
        assert world.production() == [2]


def test_a_second_attempt_of_a_job_whose_link_is_another_one_asks_for_the_same(world: World) -> None:
    key = {"Idempotency-Key": "job-4711"}
    bodies = [BODY | {"ci": {"url": f"https://ci.example/4711/{attempt}"}} for attempt in (1, 2)]
    assert [call(world, "POST", "/v1/requests", json=body, headers=key).status_code for body in bodies] == [201, 200]


def test_a_version_is_registered_over_http(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--run-id", "nowhere", "--model-name", "churn"]) == 2
    assert "MLflow has no run" in capsys.readouterr().err
