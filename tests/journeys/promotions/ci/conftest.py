"""Fixtures for the tests in this folder."""

from tests.support.terminal.ci_job import _as_ci, app, clock

__all__ = ["_as_ci", "app", "clock"]
