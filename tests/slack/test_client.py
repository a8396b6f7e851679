"""Slack's client, overheard: every failed call is told once, by Slack's own name of what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
from slack_sdk.errors import SlackApiError

from bot.bootstrap import slack_client
from bot.ports import Unobserved
from localslack import LocalSlack
from tests.world import settings_for


class Listener(Unobserved):
    """Writes down what failed."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def slack_failed(self, code: str) -> None:
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
def test_a_call_that_fails_is_told(
    slack: LocalSlack, tmp_path: Path, order: Callable[[LocalSlack], object], code: str
) -> None:
    listener = Listener()
    client = slack_client(settings_for(slack, tmp_path), observer=listener)
    client.auth_test()
    order(slack)
    with pytest.raises((SlackApiError, URLError, OSError)):
        client.auth_test()
    assert listener.codes == [code]
