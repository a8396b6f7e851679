"""The ledger: our SQL database (SQLite, PostgreSQL). It is the truth for decisions."""

from bot.ledger.database import SqlLedger

__all__ = ["SqlLedger"]
