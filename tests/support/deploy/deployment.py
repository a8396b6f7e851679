"""What deploy/ holds, as tests read it."""

from __future__ import annotations

from tests.support.deploy.containers import (
    compose,
)


def grace(service: str) -> float:
    """Return how many seconds a service has to end."""
    return float(compose()["services"][service]["stop_grace_period"].removesuffix("s"))
