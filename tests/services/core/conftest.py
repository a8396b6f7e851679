"""Fixtures for the tests in this folder."""

from tests.support.services.outbox import outbox, teller
from tests.support.services.webhook_events import make, telling

__all__ = ["make", "outbox", "teller", "telling"]
