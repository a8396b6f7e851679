"""Fixtures for the tests in this folder."""

from tests.support.terminal.operator_desk import desk

__all__ = ["desk"]
