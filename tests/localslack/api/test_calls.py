"""Calls of the Web API: tokens, scopes, and formats of arguments."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack
from tests.localslack.bolt_apps import manifest_without, web_client
from tests.support.app.workspaces import local_slack


def post(slack: LocalSlack, method: str, token: str | None = None, **kwargs: Any) -> httpx2.Response:
    token = slack.bot_token if token is None else token
    headers = kwargs.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx2.post(f"{slack.api_url}{method}", headers=headers, trust_env=False, **kwargs)


def test_auth_test_identifies_the_app(client: WebClient, slack: LocalSlack) -> None:
    answer = client.auth_test()
    assert answer["team_id"] == slack.team_id
    assert answer["user"] == "tester"
    assert answer["bot_id"].startswith("B")
    assert answer["is_enterprise_install"] is False


@pytest.mark.parametrize(
    ("token", "error"),
    [("", "not_authed"), ("xoxb-made-up", "invalid_auth")],
)
def test_a_call_without_the_right_token_is_refused(slack: LocalSlack, token: str, error: str) -> None:
    assert post(slack, "auth.test", token).json()["error"] == error


def test_the_app_token_is_for_connections_only(slack: LocalSlack) -> None:
    assert post(slack, "auth.test", slack.app_token).json()["error"] == "not_allowed_token_type"
    assert post(slack, "apps.connections.open", slack.app_token).json()["ok"] is True


def test_the_bot_token_opens_no_connection(slack: LocalSlack) -> None:
    assert post(slack, "apps.connections.open").json()["error"] == "not_allowed_token_type"


def test_an_unknown_method_is_in_the_error(slack: LocalSlack) -> None:
    answer = post(slack, "bookmarks.add").json()
    assert answer == {"ok": False, "error": "unknown_method", "req_method": "bookmarks.add"}


@pytest.mark.parametrize("form", ["json", "data", "params"])
def test_arguments_can_be_json_form_or_query(slack: LocalSlack, form: str) -> None:
    arguments: dict[str, Any] = {form: {"channel": "#churn", "text": "hello"}}
    answer = post(slack, "chat.postMessage", **arguments).json()
    assert answer["message"]["text"] == "hello"


def test_blocks_can_be_json_in_a_form(slack: LocalSlack) -> None:
    form = {"channel": "#churn", "text": "x", "blocks": '[{"type": "divider"}]'}
    assert post(slack, "chat.postMessage", data=form).json()["message"]["blocks"][0]["type"] == "divider"


def test_a_call_with_a_file_in_a_multipart_form_is_listed_with_its_name(slack: LocalSlack) -> None:
    arguments = {"channel": "#churn", "text": "hello"}
    answer = post(slack, "chat.postMessage", data=arguments, files={"file": ("a.txt", b"abc")})
    assert answer.json()["ok"] is True
    assert slack.calls("chat.postMessage")[-1]["args"] == {**arguments, "file": "a.txt"}


def test_a_broken_form_is_refused(slack: LocalSlack) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = post(slack, "chat.postMessage", content=b"nonsense", headers=headers)
    assert answer.json()["error"] == "invalid_form_data"


def test_a_token_can_be_an_argument(slack: LocalSlack) -> None:
    assert post(slack, "auth.test", "", data={"token": slack.bot_token}).json()["ok"] is True


def test_a_method_without_json_support_ignores_json_arguments(slack: LocalSlack) -> None:
    answer = post(slack, "users.info", json={"user": "U0ALICE"}).json()
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: user"]


def test_broken_json_is_refused(slack: LocalSlack) -> None:
    answer = post(slack, "chat.postMessage", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.json()["error"] == "invalid_json"


@pytest.mark.parametrize(
    ("scope", "method", "arguments"),
    [
        ("chat:write", "chat_postMessage", {"channel": "#churn", "text": "x"}),
        ("channels:read", "conversations_info", {"channel": "C0CHURN"}),
        ("channels:history", "conversations_history", {"channel": "C0CHURN"}),
        ("im:write", "conversations_open", {"users": "U0ALICE"}),
        ("channels:join", "conversations_join", {"channel": "C0CHURN"}),
        ("users:read", "users_info", {"user": "U0ALICE"}),
        ("usergroups:read", "usergroups_users_list", {"usergroup": "S0LEADS"}),
        ("team:read", "team_info", {}),
    ],
)
def test_the_error_names_a_missing_scope(scope: str, method: str, arguments: dict[str, Any]) -> None:
    with local_slack(manifest_without(scope)) as slack, pytest.raises(SlackApiError) as caught:
        getattr(web_client(slack), method)(**arguments)
    assert caught.value.response["error"] == "missing_scope"
    assert caught.value.response["needed"] == scope
    assert scope not in caught.value.response["provided"].split(",")
