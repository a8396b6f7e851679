"""An agent asks, people decide: the whole way, with the SDK's own client, over HTTP and over stdio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import RunningApp, make_policy, message_text, running_app
from tests.support.mcp.agent import TestAgent
from tests.support.registry.memory import MemoryRegistry

TOKEN = "agents-secret"


def over_http(app: RunningApp) -> TestAgent:
    return TestAgent(url=app.service.address, token=TOKEN)


def over_earlier_http(app: RunningApp) -> TestAgent:
    return TestAgent(url=app.service.address, token=TOKEN, mode="legacy")


def over_stdio(app: RunningApp) -> TestAgent:
    return TestAgent(environ={"REGISTRAR_URL": app.service.address, "REGISTRAR_TOKEN": TOKEN})


class TestFlow:
    @pytest.mark.parametrize("connect", [over_http, over_earlier_http, over_stdio])
    def test_an_agent_asks_a_person_approves_and_the_agent_reads_the_evidence(
        self, app: RunningApp, connect: Callable[[RunningApp], TestAgent]
    ) -> None:
        agent = connect(app)
        assert [model["model"] for model in agent.call("find", text="chu")["models"]] == ["churn"]
        best = agent.call("best", model="churn", metric="accuracy")["version"]
        compared = agent.call("compare", model="churn", versions=["3", best])
        assert compared["incumbent"] == 3
        assert agent.call("validate", model="churn", version=best)["passed"]
        request = agent.call(
            "request_promotion", model="churn", version=best, to="production", reason="higher accuracy"
        )
        assert request["state"] == "pending"

        waiting = threading.Thread(target=lambda: ended.append(agent.call("wait", request=request["id"], timeout=30)))
        ended: list[dict[str, object]] = []
        waiting.start()
        agent.heard.wait()
        app.bob.clicks(app.card(holds="higher accuracy"), "Approve")
        waiting.join()

        assert ended[0]["state"] == "done"
        assert app.production() == [best]
        assert "is pending: 0 of 1 approvals" in agent.told[0]
        evidence = agent.call("evidence", model="churn", control="soc2:CC8.1", since="2026-01-01")
        assert evidence["summary"]["exceptions"] == {}
        assert request["id"] in str(evidence)
        assert agent.call("history", model="churn")["served"][0]["request"] == request["id"]

    def test_over_the_http_api_the_person_counts_too_even_if_the_policy_later_forgets_them(
        self, slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BOBS_TOKEN", "bobs-secret")
        client = {"token_env": "BOBS_TOKEN", "may": ["request"], "acts_for": "U0BOB"}
        with running_app(slack, tmp_path, MemoryRegistry(), policy=make_policy({"clients": {"bobs": client}})) as app:
            body = {"model": "churn", "version": 4, "to": "production", "reason": "better"}
            headers = {"Authorization": "Bearer bobs-secret", "User-Agent": "script/3"}
            asked = httpx2.post(f"{app.service.address}/v1/requests", json=body, headers=headers).json()
            assert asked["agent"] == {"name": "script", "version": "3", "acts_for": "U0BOB"}
            forgetful = make_policy({"clients": {"bobs": client | {"acts_for": None}}})
            app.registrar.context.active_policy.replace(forgetful, "r2")
            app.bob.types("#ml-models", f"/model approve {asked['id']}")
            app.answer(app.bob, "This agent acts for you")
            assert app.production() == [3]

    def test_the_card_shows_the_client_the_agent_and_the_person(self, app: RunningApp, agent: TestAgent) -> None:
        agent.call("request_promotion", model="churn", version=4, to="production", reason="better")
        text = message_text(app.card(holds="better"))
        assert "Requested by `agents` with `trainer 1.2`, acting for <@U0ALICE>" in text


class TestAsking:
    def test_the_same_arguments_open_one_request(self, app: RunningApp, agent: TestAgent) -> None:
        first, second = (
            agent.call("request_promotion", model="churn", version=4, to="production", reason="better") for _ in "12"
        )
        assert first["id"] == second["id"]

    def test_after_a_decision_another_key_asks_again(self, app: RunningApp, agent: TestAgent) -> None:
        arguments = {"model": "churn", "version": 4, "to": "production"}
        first = agent.call("request_promotion", **arguments)
        app.bob.types("#ml-models", f'/model reject {first["id"]} --reason "not today"')
        app.answer(app.bob, "ejected")
        assert agent.call("request_promotion", **arguments)["state"] == "rejected"
        assert agent.call("request_promotion", **arguments, idempotency_key="again")["state"] == "pending"

    def test_a_model_and_stage_have_one_pending_request(self, app: RunningApp, agent: TestAgent) -> None:
        agent.call("request_promotion", model="churn", version=4, to="production")
        error = agent.refused("request_promotion", model="churn", version=2, to="production")
        assert error["code"] == "AlreadyOpen"

    def test_a_key_is_for_one_request(self, app: RunningApp, agent: TestAgent) -> None:
        agent.call("request_promotion", model="churn", version=4, to="production", idempotency_key="k")
        error = agent.refused("request_promotion", model="churn", version=4, to="staging", idempotency_key="k")
        assert "already used with a different body" in error["message"]

    @pytest.mark.parametrize("version", ["latest", "@champion", "Production"])
    def test_a_name_that_can_mean_another_version_later_needs_a_key(
        self, app: RunningApp, agent: TestAgent, version: str
    ) -> None:
        error = agent.refused("request_promotion", model="churn", version=version, to="production")
        assert (error["code"], error["field"]) == ("BadInput", "version")
        assert f"{version} can mean another version later" in error["message"]

    def test_with_a_key_the_newest_version_can_be_requested(self, app: RunningApp, agent: TestAgent) -> None:
        arguments = {"model": "churn", "version": "latest", "to": "production", "idempotency_key": "monday"}
        assert agent.call("request_promotion", **arguments)["version"] == 5

    def test_a_gate_that_fails_is_explained(self, app: RunningApp, agent: TestAgent) -> None:
        explained = agent.call("explain_gate", model="churn", version=5, gate="accuracy")
        assert explained["gate"]["limit"] == 0.85
        assert explained["overriders"] == ["U0DAVE"]
        assert explained["sentence"].endswith("required: ≥ 0.85: v5 fails. In Slack, @U0DAVE can override it.")

    def test_waiting_ends_at_the_timeout_and_can_go_on(self, app: RunningApp, agent: TestAgent) -> None:
        request = agent.call("request_promotion", model="churn", version=4, to="production")
        assert agent.call("wait", request=request["id"], timeout=0)["is_final"] is False


class TestRights:
    @pytest.mark.parametrize(
        "given", [{"break_glass": True}, {"approver": "U0BOB"}, {"settings": {}}, {"ci": {}}, {"verb": "rollback"}]
    )
    def test_arguments_that_no_tool_has_are_refused(
        self, app: RunningApp, agent: TestAgent, given: dict[str, object]
    ) -> None:
        error = agent.refused("request_promotion", model="churn", version=4, to="production", **given)
        assert error["field"] == next(iter(given))
        assert app.production() == [3]

    def test_a_client_that_may_only_read_cannot_ask(self, app: RunningApp) -> None:
        reader = TestAgent(url=app.service.address, token="reader-secret")
        assert reader.call("show", model="churn", version=4)
        error = reader.refused("request_promotion", model="churn", version=4, to="production")
        assert error["message"] == (
            "The policy doesn't let “reader” use the tool request_promotion. Add may: [request] to the client."
        )

    def test_a_client_sees_only_its_models(self, app: RunningApp) -> None:
        reader = TestAgent(url=app.service.address, token="reader-secret")
        listed = reader.call("find")
        assert ([model["model"] for model in listed["models"]], listed["all"]) == (["churn"], 1)
        assert "doesn't let “reader”" in reader.refused("show", model="secret")["message"]

    def test_another_client_s_request_is_unknown(self, app: RunningApp, agent: TestAgent) -> None:
        request = agent.call("request_promotion", model="churn", version=4, to="production")
        other = TestAgent(url=app.service.address, token="other-secret")
        assert other.refused("wait", request=request["id"])["code"] == "UnknownRequest"

    def test_a_client_waits_only_so_often_at_the_same_time(
        self, app: RunningApp, agent: TestAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = agent.call("request_promotion", model="churn", version=4, to="production")
        monkeypatch.setattr("handlers.mcp.calls.MAX_WAITS", 0)
        error = agent.refused("wait", request=request["id"])
        assert (error["code"], error["retry_after"]) == ("QuotaExceeded", 5)

    def test_a_client_that_is_removed_from_the_policy_stops_waiting(self, app: RunningApp, agent: TestAgent) -> None:
        request = agent.call("request_promotion", model="churn", version=4, to="production")
        waiting = threading.Thread(target=lambda: ended.append(agent.refused("wait", request=request["id"])))
        ended: list[dict[str, object]] = []
        waiting.start()
        agent.heard.wait()
        app.registrar.context.active_policy.replace(make_policy(), "r2")
        waiting.join()
        assert "doesn't let “agents” read requests" in str(ended[0]["message"])

    def test_without_a_right_not_even_the_tools_are_listed(self, app: RunningApp) -> None:
        with pytest.raises(Exception, match="doesn't let “pusher” use MCP"):
            TestAgent(url=app.service.address, token="pusher-secret", mode="legacy").tools()

    @pytest.mark.parametrize("token", ["", "wrong"])
    def test_without_a_valid_token_nothing_answers(self, app: RunningApp, token: str) -> None:
        with pytest.raises(Exception, match="token"):
            TestAgent(url=app.service.address, token=token, mode="legacy").tools()
