"""Everything in a ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bot.ledger import engines
from bot.ledger.tables import metadata


def contents(url: str) -> dict[str, list[Any]]:
    """Return every row of every table, as Registrar reads it."""
    engine = sa.create_engine(engines.parse_url(url))
    with engine.connect() as connection:
        found = {
            one.name: [tuple(row) for row in connection.execute(sa.select(one).order_by(*one.primary_key))]
            for one in metadata.sorted_tables
        }
    engine.dispose()
    return found
