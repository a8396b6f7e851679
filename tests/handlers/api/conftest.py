"""Fixtures for the tests in this folder."""

from tests.support.app.metrics_site import either, site

__all__ = ["either", "site"]
