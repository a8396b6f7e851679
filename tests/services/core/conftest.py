"""Fixtures for the tests in this folder."""

from tests.support.services.outbox import fake_notifier, outbox
from tests.support.services.webhook_events import make, webhook_harness

__all__ = ["fake_notifier", "make", "outbox", "webhook_harness"]
