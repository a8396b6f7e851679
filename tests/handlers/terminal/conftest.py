"""Fixtures for the tests in this folder."""

from tests.support.ledger.tampering import home, ledger

__all__ = ["home", "ledger"]
