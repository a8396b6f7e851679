"""Fixtures for the tests in this folder."""

from tests.support.app.doctor import doctor

__all__ = ["doctor"]
