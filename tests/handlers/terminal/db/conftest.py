"""Fixtures for the tests in this folder."""

from tests.support.terminal.db_command import populated_ledger, registrar

__all__ = ["populated_ledger", "registrar"]
