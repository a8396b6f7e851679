"""Fixtures for the tests in this folder."""

from tests.support.registry.contract_fixtures import backend, both, contents, registry, remote, tracker

__all__ = ["backend", "both", "contents", "registry", "remote", "tracker"]
