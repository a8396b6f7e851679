"""Fixtures for the tests in this folder."""

from tests.support.services.gates import blocked, fraud

__all__ = ["blocked", "fraud"]
