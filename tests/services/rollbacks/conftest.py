"""Fixtures for the rollback service tests."""

from tests.support.services.blocked_versions import bad
from tests.support.services.rollbacks import served

__all__ = ["bad", "served"]
