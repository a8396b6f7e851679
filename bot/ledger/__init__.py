"""The ledger: the SQL database (SQLite or PostgreSQL) that all decisions are based on."""

from bot.ledger.database import SqlLedger

__all__ = ["SqlLedger"]
