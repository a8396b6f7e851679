"""Fixtures for the tests in this folder."""

from tests.support.registry.contract_fixtures import both, registry, remote, shelf

__all__ = ["both", "registry", "remote", "shelf"]
