"""The workbench, for every test of a service."""

from tests.services.bench import bench

__all__ = ["bench"]
