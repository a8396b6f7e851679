from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slack_bolt import App
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.bolt_apps import MANIFEST, bolt_app, over_socket_mode, web_client
from tests.support.app.workspaces import INSTANT, local_slack


@pytest.fixture(scope="session")
def workspace() -> Iterator[LocalSlack]:
    with local_slack(MANIFEST, speed=INSTANT) as slack:
        yield slack


@pytest.fixture
def slack(workspace: LocalSlack) -> LocalSlack:
    """A workspace in its initial state."""
    workspace.heal()
    workspace.deliver_to(None)
    workspace.reset()
    return workspace


@pytest.fixture
def client(slack: LocalSlack) -> WebClient:
    return web_client(slack)


@pytest.fixture
def alice(slack: LocalSlack) -> WorkspaceMember:
    return slack.person("alice")


@pytest.fixture
def bob(slack: LocalSlack) -> WorkspaceMember:
    return slack.person("bob")


@pytest.fixture
def app(slack: LocalSlack) -> App:
    return bolt_app(slack)


@pytest.fixture
def connected_app(slack: LocalSlack, app: App) -> Iterator[App]:
    """A Bolt app on one Socket Mode connection; you can add listeners later."""
    with over_socket_mode(slack, app):
        yield app


@pytest.fixture
def slack_error() -> Callable[..., str]:
    """Call a client method, and return its Slack error."""
    from slack_sdk.errors import SlackApiError

    def call(method: Callable[..., Any], /, **arguments: Any) -> str:
        with pytest.raises(SlackApiError) as caught:
            method(**arguments)
        return str(caught.value.response["error"])

    return call
