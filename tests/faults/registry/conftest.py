"""Fixtures for the tests in this folder."""

from tests.support.faults.registry_outage import clock, registry, world

__all__ = ["clock", "registry", "world"]
