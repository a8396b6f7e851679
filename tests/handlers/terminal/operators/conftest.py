"""Fixtures for the tests in this folder."""

from tests.support.terminal.operator_terminal import terminal

__all__ = ["terminal"]
