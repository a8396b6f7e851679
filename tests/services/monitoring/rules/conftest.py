"""Fixtures for the tests in this folder."""

from tests.support.services.default_rule import watched

__all__ = ["watched"]
