"""Fixtures for the tests in this folder."""

from tests.support.terminal.db_command import lived, registrar

__all__ = ["lived", "registrar"]
