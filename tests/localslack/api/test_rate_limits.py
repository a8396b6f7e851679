"""Slack's rate tiers."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack
from tests.localslack.bolt_apps import MANIFEST, web_client


def test_the_21st_call_of_a_tier_2_method_within_a_minute_is_refused() -> None:
    with LocalSlack.start(MANIFEST) as slack:
        client = web_client(slack)
        for _ in range(20):
            client.usergroups_list()
        with pytest.raises(SlackApiError) as caught:
            client.usergroups_list()
        assert caught.value.response.status_code == 429
        slack.advance(60)
        assert client.usergroups_list()["ok"]


def test_without_rate_limits_nothing_is_counted() -> None:
    with LocalSlack.start(MANIFEST, rate_limits=False) as slack:
        assert all(web_client(slack).usergroups_list()["ok"] for _ in range(21))


def test_each_channel_accepts_one_message_per_second() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:  # a second takes 100, so that slow machines don't fail
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#churn", text="2")
        assert caught.value.response.headers["Retry-After"] == "100"
        assert client.chat_postMessage(channel="#general", text="3")["ok"]
        slack.advance(100)
        assert client.chat_postMessage(channel="#churn", text="4")["ok"]


def test_a_channel_s_id_and_name_share_one_rate_limit() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="C0CHURN", text="2")
        assert caught.value.response["error"] == "ratelimited"


def test_a_reset_clears_the_rate_limit_counts() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        slack.reset()
        assert client.chat_postMessage(channel="#churn", text="2")["ok"]
