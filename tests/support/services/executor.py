"""An approved request for the executor."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import RegistryRefused
from bot.domain.promotions.request import Request
from tests.support.services.bench import Bench


@pytest.fixture
def request_(bench: Bench) -> Request:
    """Return an approved request to replace churn v3 in Production with v4. Its transition isn't made yet."""
    return bench.approved()


def refuses() -> None:
    raise RegistryRefused("The registry says no.")
