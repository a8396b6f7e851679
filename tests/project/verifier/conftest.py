"""Fixtures for the tests in this folder."""

from tests.support.integrity.verifying import folder, trusted

__all__ = ["folder", "trusted"]
