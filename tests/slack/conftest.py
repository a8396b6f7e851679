"""A workspace for messages that are posted one after the other, without an outbox that paces them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localslack import LocalSlack
from tests.workspaces import INSTANT, local_slack
from tests.world import MANIFEST


@pytest.fixture(scope="session")
def _workspace() -> Iterator[LocalSlack]:
    with local_slack(MANIFEST, speed=INSTANT) as slack:
        yield slack
