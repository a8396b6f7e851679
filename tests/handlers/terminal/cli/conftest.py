"""Fixtures for the tests in this folder."""

from tests.support.app.cli_settings import policy, registrar

__all__ = ["policy", "registrar"]
