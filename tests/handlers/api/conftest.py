"""Fixtures for the tests in this folder."""

from tests.support.app.metrics_api import api, either

__all__ = ["api", "either"]
