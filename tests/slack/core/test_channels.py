"""Channels are shown by name, and messages are sent to their ids."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from bot.slack.core.directory import LOOKUP_PAUSE, ChannelDirectory
from localslack import LocalSlack
from localslack.seed import ChannelSeed, Seed
from tests.support.app.app_fixture import MANIFEST
from tests.support.app.workspaces import local_slack


class Watch:
    """A stopwatch that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    """Return a stopwatch at zero."""
    return Watch()


def channels_of(slack: LocalSlack, watch: Watch) -> ChannelDirectory:
    """Return the directory of the workspace's channels."""
    return ChannelDirectory(WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5), watch)


@pytest.fixture
def channels(slack: LocalSlack, watch: Watch) -> ChannelDirectory:
    """Return the directory of the shared workspace's channels."""
    return channels_of(slack, watch)


def pages(slack: LocalSlack) -> int:
    """Return how many pages of the list were read."""
    return len(slack.calls("conversations.list"))


def test_a_name_is_looked_up_once(channels: ChannelDirectory, slack: LocalSlack) -> None:
    assert [channels.id_of(name) for name in ("#ml-models", "#ml-models", "#churn")] == [
        "C0MLMODELS",
        "C0MLMODELS",
        "C0CHURN",
    ]
    assert pages(slack) == 1


@pytest.mark.parametrize("channel", ["C0MLMODELS", "D0BOB", "U0BOB"])
def test_an_id_is_not_looked_up(channels: ChannelDirectory, slack: LocalSlack, channel: str) -> None:
    assert channels.id_of(channel) == channel
    assert pages(slack) == 0


def test_a_private_channel_with_the_bot_is_found(channels: ChannelDirectory, slack: LocalSlack) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["bot"])
    assert channels.id_of("#secret") == "C0SECRET"


def test_a_name_that_slack_does_not_list_is_kept_and_looked_up_again_after_a_minute(
    channels: ChannelDirectory, slack: LocalSlack, watch: Watch
) -> None:
    assert [channels.id_of("#later") for _ in range(10)] == ["#later"] * 10
    assert pages(slack) == 1
    slack.add_channel("C0LATER", "later")
    watch.seconds += LOOKUP_PAUSE
    assert channels.id_of("#later") == "C0LATER"


def test_a_forgotten_channel_is_looked_up_again(channels: ChannelDirectory, slack: LocalSlack) -> None:
    assert channels.id_of("#churn") == "C0CHURN"
    slack.archive("#churn")
    slack.add_channel("C0CHURN2", "churn")
    channels.forget("#churn")
    assert channels.id_of("#churn") == "C0CHURN2"


def test_a_renamed_channel_is_found_by_its_old_name(channels: ChannelDirectory, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    assert [channels.id_of("#churn") for _ in range(2)] == ["C0CHURN"] * 2
    assert pages(slack) == 1


def test_a_former_name_of_several_channels_is_not_resolved(channels: ChannelDirectory, slack: LocalSlack) -> None:
    for channel, now in (("C0CHURN", "attrition"), ("C0CHURN2", "private-talk")):
        if channel != "C0CHURN":
            slack.add_channel(channel, "churn")
        slack.rename(channel, now)
    assert channels.id_of("#churn") == "#churn"


def test_an_archived_channel_s_name_takes_precedence_over_a_former_name(
    channels: ChannelDirectory, slack: LocalSlack
) -> None:
    slack.rename("#churn", "attrition")
    slack.add_channel("C0CHURN2", "churn")
    slack.archive("C0CHURN2")
    assert channels.id_of("#churn") == "#churn"


def test_a_name_resolves_to_the_channel_that_has_it_now(channels: ChannelDirectory, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    slack.add_channel("C0CHURN2", "churn")
    assert channels.id_of("#churn") == "C0CHURN2"


@pytest.mark.parametrize("error", ["unknown_method", "missing_scope", "internal_error", "ratelimited"])
def test_if_slack_lists_no_channels_the_name_is_used(channels: ChannelDirectory, slack: LocalSlack, error: str) -> None:
    slack.fail("conversations.list", error, times=None)
    assert channels.id_of("#ml-models") == "#ml-models"


def test_the_last_of_more_than_20000_channels_is_found_within_slack_s_rate_limit(watch: Watch) -> None:
    rooms = tuple(ChannelSeed(id=f"C0N{at:05}", name=f"n{at}", members=("bot",)) for at in range(20_500))
    with local_slack(MANIFEST, seed=Seed(channels=rooms), speed=1.0) as slack:
        channels = channels_of(slack, watch)
        assert channels.id_of("#n20499") == "#n20499"  # twenty pages a minute, and no more
        slack.advance(60)
        watch.seconds += LOOKUP_PAUSE
        assert channels.id_of("#n20499") == "C0N20499"
        assert channels.id_of("#n7") == "C0N00007"
        assert pages(slack) == 22
