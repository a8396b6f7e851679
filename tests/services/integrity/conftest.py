"""Fixtures for the tests in this folder."""

from tests.support.integrity.digests import saves_after_each_file, world

__all__ = ["saves_after_each_file", "world"]
