"""Fixtures for the tests in this folder."""

from tests.support.monitoring.monitor_desk import desk, watched
from tests.support.monitoring.monitoring import served

__all__ = ["desk", "served", "watched"]
