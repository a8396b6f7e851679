"""Fixtures for the tests in this folder."""

from tests.support.monitoring.no_verdict import rule

__all__ = ["rule"]
