"""Fixtures for the tests in this folder."""

from tests.support.services.policy_file import file, policies

__all__ = ["file", "policies"]
