"""A model with very many versions in MLflow's database: nobody waits until MLflow itself has made each of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from bot.domain.registry import Stage
from tests.registries import MlflowShelf

Row = dict[str, Any]


def add_many_versions(shelf: MlflowShelf, database_uri: str, name: str, number: int, **run: Any) -> None:
    """Add a model with so many versions, each with a finished run of its own; v1 is in Production.

    The shelf adds the first run, with what `run` says; the others are its copies, with other values of its metrics.
    """
    shelf.add(name)
    first = shelf.add_run(**run)
    shelf.add_version(name, run_id=first, stage=Stage.PRODUCTION)
    chance = random.Random(name)  # noqa: S311 - nothing here is a secret
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(number - 1)]
    engine = sa.create_engine(database_uri)
    with engine.begin() as connection:
        for table in ("runs", "tags", "params"):
            _copy(connection, table, {"run_uuid": first}, [{"run_uuid": run_id} for run_id in ids])
        for table in ("metrics", "latest_metrics"):
            _copy(connection, table, {"run_uuid": first}, [{"run_uuid": i, "value": chance.random()} for i in ids])
        more = [{"version": at, "run_id": run_id, "current_stage": "None"} for at, run_id in enumerate(ids, 2)]
        _copy(connection, "model_versions", {"name": name}, more)
    engine.dispose()


def _copy(connection: sa.Connection, name: str, where: Mapping[str, str], changes: Iterable[Row]) -> None:
    """Insert the rows that are there again, once with each of the changes."""
    table = sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    found = connection.execute(sa.select(table).filter_by(**where)).mappings().all()
    if rows := [{**row, **change} for change in changes for row in found]:
        connection.execute(sa.insert(table), rows)
