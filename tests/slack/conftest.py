"""A workspace for messages that are posted one after the other, without an outbox that paces them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import MANIFEST
from tests.support.app.workspaces import INSTANT, local_slack


@pytest.fixture(scope="session")
def _workspace() -> Iterator[LocalSlack]:
    with local_slack(MANIFEST, speed=INSTANT) as slack:
        yield slack
