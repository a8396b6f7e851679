"""Fixtures for the tests in this folder."""

from tests.support.monitoring.monitor_commands import commands, watched
from tests.support.monitoring.monitoring import served

__all__ = ["commands", "served", "watched"]
