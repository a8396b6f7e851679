"""Fixtures for the tests in this folder."""

from tests.support.services.monitoring import served

__all__ = ["served"]
