"""The ledger: our SQL database (SQLite, PostgreSQL). It is the truth for decisions."""

from bot.ledger.sql import SqlLedger

__all__ = ["SqlLedger"]
