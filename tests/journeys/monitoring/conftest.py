"""Fixtures for the tests in this folder."""

from tests.support.app.monitors import app, watched

__all__ = ["app", "watched"]
