"""The base of all tables. Each column has the same name as its field; stores rely on that.

`number` counts rows in insertion order, and decides which of two rows with the same time came first.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, literal_column
from sqlalchemy.sql.elements import ColumnElement

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# With 10,000 monitors, four bytes last five months. SQLite autoincrements only INTEGER, which has eight.
BigIntegerKey = BigInteger().with_variant(Integer(), "sqlite")


def number_column() -> Column[int]:
    return Column("number", BigIntegerKey, primary_key=True)


def is_in(column: Column[Any], *members: Enum) -> ColumnElement[bool]:
    """Return the condition that a column holds one of these members.

    The values are literals because an index condition can't have parameters, and the planner uses a partial index only
    for a query with the same condition.
    """
    return column.in_([literal_column(f"'{member.value}'") for member in members])


def partial_index(name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
