"""Fixtures for the tests of registry services."""

from tests.support.services.rollbacks import served

__all__ = ["served"]
