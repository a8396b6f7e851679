"""Fixtures for the tests in this folder."""

from tests.support.terminal.setup_wizard import wizard

__all__ = ["wizard"]
