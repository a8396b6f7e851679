"""Fixtures for the tests in this folder."""

from tests.support.terminal.registry_commands import churn, registrar

__all__ = ["churn", "registrar"]
