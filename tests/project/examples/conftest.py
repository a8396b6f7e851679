"""Fixtures for the tests in this folder."""

from tests.support.examples import client, example, folders, own_registry, run, trained

__all__ = ["client", "example", "folders", "own_registry", "run", "trained"]
