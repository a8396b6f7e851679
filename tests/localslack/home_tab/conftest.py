"""A workspace whose app has a Home tab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_bolt import App

from localslack import LocalSlack
from tests.localslack.bolt_apps import (
    HOME_MANIFEST,
    bolt_app,
    over_http,
    over_socket_mode,
)
from tests.support.app.workspaces import local_slack


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run a workspace whose app has a Home tab and subscribes to app_home_opened."""
    with local_slack(HOME_MANIFEST) as slack:
        yield slack


@pytest.fixture(params=["socket mode", "signed http"])
def running_app(request: pytest.FixtureRequest, slack: LocalSlack) -> Iterator[App]:
    app = bolt_app(slack)
    connection = over_socket_mode if request.param == "socket mode" else over_http
    with connection(slack, app):
        yield app
