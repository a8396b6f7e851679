"""Fixtures for the tests in this folder."""

from tests.support.app.db_command import lived, registrar

__all__ = ["lived", "registrar"]
