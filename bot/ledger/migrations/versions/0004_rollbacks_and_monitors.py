"""Rollbacks and rollback blocks; monitors with states, checks, and incidents; circuit breakers; serving checks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column("moves", _text("incident", nullable=True))
    op.add_column("moves", sa.Column("is_forced", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("copies", sa.Column("lane", sa.Text(), nullable=False, server_default=""))
    _table(
        "bars",
        _text("id"),
        _text("model"),
        _int("version"),
        _text("move"),
        _time("at"),
        _text("by"),
        _text("reason"),
        _time("cleared_at", nullable=True),
        _text("cleared_by", nullable=True),
        _text("clear_reason"),
        unique=["id"],
    )
    op.create_index("bars_by_model", "bars", ["model", "number"])
    _table(
        "monitors",
        _text("id"),
        _text("model"),
        _text("name"),
        _text("rule"),
        _time("created_at"),
        _text("created_by", nullable=True),
        _int("revision"),
        _bool("is_paused"),
        _time("armed_at", nullable=True),
        _text("armed_by", nullable=True),
        _time("removed_at", nullable=True),
        _time("silenced_until", nullable=True),
        _text("silenced_by", nullable=True),
        _text("silence_reason"),
        unique=["id"],
    )
    _partial("one_monitor_of_a_name", "monitors", ["model", "name"], "removed_at IS NULL", unique=True)
    op.create_table(
        "standings",
        _text("monitor"),
        _int("slot"),
        _time("next_at", nullable=True),
        _text("state"),
        _int("revision"),
        sa.Column("version", sa.Integer()),
        _text("move", nullable=True),
        *(_int(name) for name in ("bad", "good", "empty", "broken", "beyond", "points")),
        _time("judged_to", nullable=True),
        _time("since", nullable=True),
        _time("at", nullable=True),
        sa.Column("value", sa.Double()),
        sa.Column("bound", sa.Double()),
        _text("why", nullable=True),
        sa.PrimaryKeyConstraint("monitor", name="pk_standings"),
    )
    op.create_index("standings_by_time", "standings", ["next_at"])
    _table(
        "measurements",
        _text("monitor"),
        _int("slot"),
        _time("at"),
        _int("revision"),
        sa.Column("version", sa.Integer()),
        _text("move", nullable=True),
        _text("outcome", nullable=True),
        sa.Column("value", sa.Double()),
        _int("points"),
        _text("why", nullable=True),
        _text("claimed_by", nullable=True),
        _time("claimed_until", nullable=True),
        unique=["monitor", "slot"],
    )
    op.create_index("measurements_by_time", "measurements", ["monitor", "at"])
    op.create_index("measurements_by_age", "measurements", ["at"])
    _table(
        "readings",
        _text("source"),
        _text("model"),
        _int("version"),
        _text("metric"),
        _time("at"),
        sa.Column("value", sa.Double(), nullable=False),
        _time("received_at"),
        _text("client"),
        unique=["source", "model", "metric", "version", "at"],
    )
    op.create_index("readings_by_age", "readings", ["received_at"])
    _table(
        "calls",
        _text("client"),
        _text("key"),
        _text("digest"),
        _int("status"),
        _text("answer"),
        _time("at"),
        unique=["client", "key"],
    )
    _table(
        "incidents",
        _text("id"),
        _text("kind"),
        _text("model"),
        _text("source"),
        sa.Column("version", sa.Integer()),
        _text("move", nullable=True),
        _text("monitors"),
        _time("opened_at"),
        _time("since"),
        _text("lines"),
        _text("doing"),
        _text("why", nullable=True),
        sa.Column("target", sa.Integer()),
        _text("rollback", nullable=True),
        _text("acknowledged_by", nullable=True),
        _time("acknowledged_at", nullable=True),
        _time("told_at", nullable=True),
        _time("repeated_at", nullable=True),
        _time("resolved_at", nullable=True),
        _text("resolution", nullable=True),
        unique=["id"],
    )
    _partial("one_open_incident", "incidents", ["model", "source", "kind"], "resolved_at IS NULL", unique=True)
    op.create_index("incidents_by_model", "incidents", ["model", "number"])
    op.create_table(
        "breakers", _text("model"), _time("at"), _text("why"), sa.PrimaryKeyConstraint("model", name="pk_breakers")
    )
    op.create_table(
        "servings",
        _text("move"),
        _text("model"),
        _int("version"),
        _text("lane"),
        _time("asked_at"),
        _text("state"),
        _time("next_at", nullable=True),
        _time("deadline", nullable=True),
        _text("seen"),
        _time("confirmed_at", nullable=True),
        sa.PrimaryKeyConstraint("move", name="pk_servings"),
    )
    op.create_index("servings_by_state", "servings", ["state", "next_at"])
    op.create_index("servings_by_model", "servings", ["model", "asked_at"])


def _table(name: str, *columns: sa.Column[object], unique: list[str]) -> None:
    number = sa.Column("number", sa.Integer(), nullable=False)
    op.create_table(
        name,
        number,
        *columns,
        sa.PrimaryKeyConstraint("number", name=f"pk_{name}"),
        sa.UniqueConstraint(*unique, name=f"uq_{name}_{'_'.join(unique)}"),
        sqlite_autoincrement=True,
    )


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    holds = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=holds, postgresql_where=holds)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _int(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _bool(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
