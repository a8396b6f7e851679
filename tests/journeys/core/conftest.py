"""Fixtures for the tests in this folder."""

from tests.support.app.untouched_bot import before, bot

__all__ = ["before", "bot"]
