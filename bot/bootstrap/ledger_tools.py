"""Tools for the ledger's database: access to a ledger in any state, backups, and copies.

`handlers` imports these names from here and never imports `bot.ledger`, so only this package knows about the databases.
"""

from bot.ledger.backup import back_up
from bot.ledger.copy_to_postgres import CopyResult, copy_ledger
from bot.ledger.database import SqlLedger
from bot.ledger.engines import supports_several_processes
from bot.ledger.schema_check import Schema, SchemaAge, advice, describe_schema

__all__ = [
    "CopyResult",
    "Schema",
    "SchemaAge",
    "SqlLedger",
    "advice",
    "back_up",
    "copy_ledger",
    "describe_schema",
    "supports_several_processes",
]
