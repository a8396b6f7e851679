"""Fixtures for the tests in this folder."""

from tests.support.terminal.cli_settings import policy, registrar

__all__ = ["policy", "registrar"]
