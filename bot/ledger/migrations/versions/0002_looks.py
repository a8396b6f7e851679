"""Registry snapshots, drift notices, and tag updates."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables, and add columns for a transition's finding and reason, and for a version's former status."""
    op.add_column("requests", _text("former_status", nullable=True))
    op.add_column("moves", _text("finding", nullable=True))
    op.add_column("moves", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    _looks()
    _findings()
    _copies()


def _looks() -> None:
    op.create_table(
        "looks",
        _text("model"),
        _time("at", nullable=False),
        _time("updated_at"),
        _text("stages"),
        _text("aliases"),
        _text("after", nullable=True),
        sa.PrimaryKeyConstraint("model", name="pk_looks"),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("id"),
        _text("kind"),
        _text("model"),
        _time("at", nullable=False),
        _text("versions"),
        _text("lines"),
        _text("by", nullable=True),
        sa.Column("mend", sa.Integer()),
        _text("stage"),
        _text("mended_by", nullable=True),
        _time("mended_at"),
        sa.PrimaryKeyConstraint("number", name="pk_findings"),
        sa.UniqueConstraint("id", name="uq_findings_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("findings_by_model", "findings", ["model", "number"])


def _copies() -> None:
    op.create_table(
        "copies",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("id"),
        _text("model"),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("tags"),
        _text("line"),
        _text("alias"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        _time("not_before"),
        _text("why"),
        sa.PrimaryKeyConstraint("number", name="pk_copies"),
        sa.UniqueConstraint("id", name="uq_copies_id"),
        sqlite_autoincrement=True,
    )
    waits = sa.text("is_done IS false")
    columns = ["model", "version", "number"]
    op.create_index("copies_waiting", "copies", columns, sqlite_where=waits, postgresql_where=waits)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)
