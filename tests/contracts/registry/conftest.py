"""Fixtures for the registry contract tests."""

from tests.support.registry.contract_fixtures import backend, both, contents, registry, remote, tracker

__all__ = ["backend", "both", "contents", "registry", "remote", "tracker"]
