"""Alembic's environment. The ledger passes its connection, in a transaction that already holds the lock."""

from alembic import context
from sqlalchemy import Connection

from bot.ledger.tables import metadata


def run(connection: Connection) -> None:
    """Run the pending migrations in the ledger's transaction, all or none of them."""
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
