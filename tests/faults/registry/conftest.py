"""Fixtures for the tests in this folder."""

from tests.support.faults.registry_outage import app, clock, registry

__all__ = ["app", "clock", "registry"]
