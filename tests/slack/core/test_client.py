"""Slack's client reports each failed call once, by Slack's error code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
from slack_sdk.errors import SlackApiError

from bot.bootstrap.slack import slack_client
from bot.ports import NullObserver
from bot.slack.core.client import MAX_RETRY_AFTER_SECONDS, ObservedWebClient, delivery_for_error
from localslack import LocalSlack
from tests.support.app.app_fixture import settings_for
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.services.fakes import ManualClock


class Listener(NullObserver):
    """Records failed calls."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def slack_call_failed(self, code: str) -> None:
        self.codes.append(code)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        pytest.param(lambda slack: slack.fail("auth.test", "account_inactive"), "account_inactive", id="an error"),
        pytest.param(lambda slack: slack.rate_limit("auth.test"), "ratelimited", id="too many"),
        pytest.param(lambda slack: slack.server_error("auth.test"), "http_500", id="a broken server"),
        pytest.param(lambda slack: slack.reset_before("auth.test"), "no_answer", id="a broken connection"),
    ],
)
def test_a_failed_call_is_reported(
    slack: LocalSlack, tmp_path: Path, order: Callable[[LocalSlack], object], code: str
) -> None:
    listener = Listener()
    client = slack_client(settings_for(slack, tmp_path), observer=listener)
    client.auth_test()
    order(slack)
    with pytest.raises((SlackApiError, URLError, OSError)):
        client.auth_test()
    assert listener.codes == [code]


def test_a_rate_limited_method_is_not_called_until_the_limit_ends(slack: LocalSlack) -> None:
    client, clock = ObservedWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[]), ManualClock()
    client.monotonic = clock.monotonic
    slack.rate_limit("users.info", retry_after=7)
    waits = []
    for seconds in (0.0, 6.5, 0.25):
        clock.advance(seconds=seconds)
        with pytest.raises(SlackApiError) as refused:
            client.users_info(user="U0ALICE")
        waits.append(delivery_for_error(refused.value).retry_after.total_seconds())
    assert waits == [7, 0.5, 0.25]
    assert len(slack.calls("users.info")) == 1
    clock.advance(seconds=0.25)
    assert client.users_info(user="U0ALICE")["ok"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param({}, 1, id="none"),
        ("abc", 1),
        ("", 1),
        ("-5", 0),
        ("nan", 0),
        ("2.5", 2.5),
        ("3600", 3600),
        ("inf", MAX_RETRY_AFTER_SECONDS),
        ("99999999999999", MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_any_retry_after_value_gives_a_usable_time(header: dict[str, str] | str, seconds: float) -> None:
    headers = {"Retry-After": header} if isinstance(header, str) else header
    with run_receiver() as server:
        server.replies = [PlannedReply(429, b'{"ok": false, "error": "ratelimited"}', headers)]
        client = ObservedWebClient("xoxb-1", base_url=f"{server.url}/api/", retry_handlers=[])
        with pytest.raises(SlackApiError) as refused:
            client.chat_postMessage(channel="C1", text="Hello")
    assert delivery_for_error(refused.value).retry_after.total_seconds() == seconds


def test_other_methods_and_channels_are_not_limited(slack: LocalSlack) -> None:
    client = ObservedWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    for method in ("users.info", "chat.postMessage"):
        slack.rate_limit(method, retry_after=60)
    with pytest.raises(SlackApiError):
        client.users_info(user="U0ALICE")
    with pytest.raises(SlackApiError):
        client.chat_postMessage(channel="C0MLMODELS", text="one")
    assert client.auth_test()["ok"]
    assert client.chat_postMessage(channel="C0GENERAL", text="another")["ok"]


def test_a_rate_limited_channel_gets_no_messages(slack: LocalSlack) -> None:
    client = ObservedWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    slack.rate_limit("chat.postMessage", retry_after=60)
    for text in ("one", "another"):
        with pytest.raises(SlackApiError):
            client.chat_postMessage(channel="C0MLMODELS", text=text)
    assert len(slack.calls("chat.postMessage")) == 1
