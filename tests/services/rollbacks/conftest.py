"""Fixtures for the tests in this folder."""

from tests.support.services.blocked_versions import bad
from tests.support.services.rollbacks import served

__all__ = ["bad", "served"]
