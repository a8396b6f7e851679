"""Injected faults, and the call log."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.bolt_apps import SlackErrorOf
from tests.support.waiting import PATIENCE, wait_until


def texts(alice: WorkspaceMember) -> list[str]:
    return [message["text"] for message in alice.sees("#churn")]


def test_a_rate_limited_call_says_when_to_retry(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    slack.rate_limit("chat.postMessage", times=2, retry_after=7)
    for _ in range(2):
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#churn", text="x")
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "7"
    assert client.chat_postMessage(channel="#churn", text="third")["ok"]
    assert texts(alice) == ["third"]


def test_a_connection_reset_before_the_call_has_no_effect(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    slack.reset_before("chat.postMessage")
    with pytest.raises((ConnectionError, URLError)):
        client.chat_postMessage(channel="#churn", text="x")
    assert texts(alice) == []


def test_a_connection_reset_after_the_call_loses_only_the_answer(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    slack.reset_after("chat.postMessage")
    with pytest.raises((ConnectionError, URLError)):
        client.chat_postMessage(channel="#churn", text="x")
    assert texts(alice) == ["x"]


def test_the_client_of_slack_sdk_posts_twice_after_a_lost_answer(slack: LocalSlack, alice: WorkspaceMember) -> None:
    slack.reset_after("chat.postMessage")
    retrying = WebClient(token=slack.bot_token, base_url=slack.api_url)
    retrying.chat_postMessage(channel="#churn", text="x")
    assert texts(alice) == ["x", "x"]


def test_a_server_error_isn_t_json(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    slack.server_error("chat.postMessage")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x")
    assert caught.value.response.status_code == 500
    assert texts(alice) == []


def test_any_error_can_be_injected(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    slack.fail("users.info", "fatal_error")
    assert slack_error(client.users_info, user="U0ALICE") == "fatal_error"
    assert client.users_info(user="U0ALICE")["ok"]


def test_a_method_can_be_removed_and_restored(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    slack.remove_method("users.info")
    assert slack_error(client.users_info, user="U0ALICE") == "unknown_method"
    assert slack_error(client.users_info, user="U0ALICE") == "unknown_method"
    slack.heal()
    assert client.users_info(user="U0ALICE")["ok"]


def test_a_slow_answer_arrives_after_its_delay(slack: LocalSlack, client: WebClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    slack.slow("auth.test", seconds=60, times=1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.auth_test)
        wait_until(lambda: slack.calls("auth.test"))
        assert not call.done()
        slack.advance(60)
        assert call.result(timeout=PATIENCE)["ok"]


def test_calls_are_logged_with_their_arguments_and_outcome(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    slack.forget_calls()
    client.chat_postMessage(channel="#churn", text="x")
    slack_error(client.chat_postMessage, channel="#nowhere", text="y")
    first, second = slack.calls("chat.postMessage")
    assert first["args"] == {"channel": "#churn", "text": "x"}
    assert (first["ok"], first["error"]) == (True, None)
    assert (second["ok"], second["error"]) == (False, "channel_not_found")
    assert slack.bot_token not in str(slack.calls())


def test_an_unknown_kind_of_fault_is_refused(slack: LocalSlack) -> None:
    with pytest.raises(RefusedError, match="unknown fault 'flood'"):
        slack.control("faults", method="auth.test", kind="flood")


def test_a_reset_restores_the_initial_state(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    client.chat_postMessage(channel="#churn", text="x")
    slack.change_person("bob", deleted=True)
    slack.reset()
    assert texts(alice) == []
    assert client.users_info(user="U0BOB")["user"]["deleted"] is False


def test_waiting_ends_with_a_timeout(slack: LocalSlack) -> None:
    with pytest.raises(TimeoutError):
        slack.wait_for(lambda: False, timeout=0.05)


def test_waiting_ends_at_a_change(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    asked: list[Any] = []

    def seen() -> bool:
        if not asked:
            client.chat_postMessage(channel="#churn", text="x")
        asked.append(1)
        return len(asked) > 1

    assert slack.wait_for(seen)
