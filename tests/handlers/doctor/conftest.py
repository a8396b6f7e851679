"""Fixtures for the tests in this folder."""

from tests.support.terminal.doctor import doctor

__all__ = ["doctor"]
