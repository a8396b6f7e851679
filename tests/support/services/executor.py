"""A request whose transition is to be made."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import RegistryRefused
from bot.domain.promotions.request import Request
from tests.support.services.bench import Bench


@pytest.fixture
def request_(bench: Bench) -> Request:
    """Return an approved request: churn v4 to Production, where v3 is. Its move is not made yet."""
    return bench.approved()


def refuses() -> None:
    raise RegistryRefused("The registry says no.")
