"""Fixtures for the tests in this folder."""

from tests.support.monitoring.default_rule import watched

__all__ = ["watched"]
