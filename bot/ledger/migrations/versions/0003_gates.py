"""Request evidence, overrides of failed gates, reminders, and freezes of Production."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("requests", _text("seen", nullable=True))
    op.add_column("requests", _text("overridden_by", nullable=True))
    op.add_column("requests", sa.Column("override_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("requests", sa.Column("reminded", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("requests_by_requester", "requests", ["requester", "opened_at", "number"])
    op.create_table(
        "freezes",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("id"),
        _text("model", nullable=True),
        _text("by"),
        _text("reason"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("lifted_at", sa.DateTime(timezone=True)),
        _text("lifted_by", nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_freezes"),
        sa.UniqueConstraint("id", name="uq_freezes_id"),
        sqlite_autoincrement=True,
    )
    holds = sa.text("lifted_at IS NULL")
    op.create_index("freezes_that_hold", "freezes", ["number"], sqlite_where=holds, postgresql_where=holds)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)
