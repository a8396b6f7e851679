"""Fixtures for the tests in this folder."""

from tests.support.slack.notifier_harness import harness

__all__ = ["harness"]
