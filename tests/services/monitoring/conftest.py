"""Fixtures for the tests in this folder."""

from tests.support.services.monitor_desk import desk, watched
from tests.support.services.monitoring import served

__all__ = ["desk", "served", "watched"]
