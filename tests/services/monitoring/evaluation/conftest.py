"""Fixtures for the tests in this folder."""

from tests.support.monitoring.baselines import watched

__all__ = ["watched"]
