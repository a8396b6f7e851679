"""Fixtures for the tests in this folder."""

from tests.support.services.baselines import watched

__all__ = ["watched"]
