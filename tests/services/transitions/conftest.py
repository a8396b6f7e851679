"""Fixtures for the tests in this folder."""

from tests.support.passports.harness import office
from tests.support.services.executor import request_
from tests.support.services.restored_machine import machine

__all__ = ["machine", "office", "request_"]
