"""Fixtures for reports about passports."""

from tests.support.passports.harness import office

__all__ = ["office"]
