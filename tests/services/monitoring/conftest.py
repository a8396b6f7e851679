"""Fixtures for the tests in this folder."""

from tests.support.monitoring.monitor_commands import commands, watched
from tests.support.monitoring.monitoring import served
from tests.support.monitoring.proposals import proposals

__all__ = ["commands", "proposals", "served", "watched"]
