"""Fixtures for the tests in this folder."""

from tests.support.slack.notifier_harness import desk

__all__ = ["desk"]
