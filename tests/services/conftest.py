"""The workbench, for every test of a service."""

from tests.support.services.bench import bench

__all__ = ["bench"]
