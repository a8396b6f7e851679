"""The running bot of the registry's journeys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.journeys.registry.measured_models import measured_app
from tests.support.app.app_fixture import RunningApp


@pytest.fixture
def measured(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with `churn`, whose four versions have runs; v3 is in Production."""
    with measured_app(slack, tmp_path) as app:
        yield app
