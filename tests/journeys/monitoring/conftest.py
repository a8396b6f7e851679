"""Fixtures for the tests in this folder."""

from tests.support.app.monitors import world

__all__ = ["world"]
