"""Reads the files in deploy/ for tests."""

from __future__ import annotations

from tests.support.deploy.containers import (
    compose,
)


def grace(service: str) -> float:
    """Return the seconds that a service has to stop."""
    return float(compose()["services"][service]["stop_grace_period"].removesuffix("s"))
