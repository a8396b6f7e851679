"""Fixtures for the tests in this folder."""

from tests.support.registry.contract_fixtures import backend, both, registry, remote

__all__ = ["backend", "both", "registry", "remote"]
