"""The initial tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

GENESIS = "0" * 64


def upgrade() -> None:
    """Create the tables, and the triggers that protect the audit log."""
    _requests()
    _votes()
    _moves()
    _asks()
    _notes()
    _audit()
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _number() -> sa.Column[object]:
    return sa.Column("number", sa.Integer(), nullable=False)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _requests() -> None:
    op.create_table(
        "requests",
        _number(),
        _text("id"),
        _text("model"),
        _integer("version"),
        _text("from_stage"),
        _text("target"),
        _integer("incumbent", nullable=True),
        _text("requester"),
        _text("reason"),
        _integer("required"),
        _time("opened_at", nullable=False),
        _time("expires_at", nullable=False),
        sa.Column("keep_existing", sa.Boolean(), nullable=False),
        _text("semver", nullable=True),
        _text("state"),
        _time("decided_at"),
        _text("decided_by", nullable=True),
        _text("outcome"),
        sa.PrimaryKeyConstraint("number", name="pk_requests"),
        sa.UniqueConstraint("id", name="uq_requests_id"),
        sqlite_autoincrement=True,
    )
    is_open = "state IN ('pending', 'approved', 'executing')"
    _partial("one_open_request", "requests", ["model", "target"], is_open, unique=True)
    _partial("requests_by_expiry", "requests", ["expires_at"], "state IN ('pending')")
    op.create_index("requests_by_time", "requests", ["opened_at", "number"])
    op.create_index("requests_by_model", "requests", ["model", "opened_at", "number"])
    op.create_index("requests_by_state", "requests", ["state", "opened_at", "number"])


def _votes() -> None:
    op.create_table(
        "votes",
        _number(),
        _text("request"),
        _text("voter"),
        _text("choice"),
        _text("reason"),
        _time("at", nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_votes"),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name="fk_votes_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("one_vote_each", "votes", ["request", "voter"], unique=True)


def _moves() -> None:
    op.create_table(
        "moves",
        _number(),
        _text("id"),
        _text("kind"),
        _text("model"),
        _integer("version"),
        _text("from_stage"),
        _text("target"),
        _integer("expected_incumbent", nullable=True),
        _text("actor"),
        _time("intended_at", nullable=False),
        _text("request", nullable=True),
        sa.Column("keep_existing", sa.Boolean(), nullable=False),
        _text("state"),
        _integer("attempts"),
        _time("finished_at"),
        _text("why"),
        _text("claimed_by", nullable=True),
        _time("claimed_until"),
        _time("not_before"),
        sa.PrimaryKeyConstraint("number", name="pk_moves"),
        sa.UniqueConstraint("id", name="uq_moves_id"),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name="fk_moves_request"),
        sqlite_autoincrement=True,
    )
    _partial("one_executing_move", "moves", ["model"], "state IN ('executing')", unique=True)
    op.create_index("moves_by_state", "moves", ["state", "model", "intended_at", "number"])
    op.create_index("moves_by_model", "moves", ["model", "intended_at", "number"])
    op.create_index("moves_by_target", "moves", ["model", "target", "intended_at", "number"])


def _asks() -> None:
    op.create_table(
        "asks",
        _number(),
        _text("id"),
        _text("caller"),
        _text("command"),
        _text("where"),
        _time("at", nullable=False),
        _text("state"),
        _text("request", nullable=True),
        _integer("attempts"),
        _time("not_before"),
        sa.PrimaryKeyConstraint("number", name="pk_asks"),
        sa.UniqueConstraint("id", name="uq_asks_id"),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name="fk_asks_request"),
        sqlite_autoincrement=True,
    )
    _partial("asks_waiting", "asks", ["at", "number"], "state IN ('waiting')")


def _notes() -> None:
    op.create_table(
        "notes",
        _number(),
        _text("key"),
        _text("lane"),
        _text("kind"),
        _text("to"),
        _text("data"),
        _integer("attempts"),
        sa.Column("was_tried", sa.Boolean(), nullable=False),
        _time("created_at"),
        _text("state"),
        _time("not_before"),
        _text("why"),
        sa.PrimaryKeyConstraint("number", name="pk_notes"),
        sa.UniqueConstraint("key", name="uq_notes_key"),
        sqlite_autoincrement=True,
    )
    _partial("notes_waiting", "notes", ["lane", "number"], "state IN ('waiting')")
    op.create_table(
        "postings",
        _text("key"),
        _text("channel"),
        _text("ts"),
        sa.PrimaryKeyConstraint("key", name="pk_postings"),
    )


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        _time("at", nullable=False),
        _text("actor"),
        _text("tag"),
        _text("model", nullable=True),
        _text("body"),
        _text("previous"),
        _text("hash"),
        sa.PrimaryKeyConstraint("number", name="pk_audit_events"),
    )
    for name in ("model", "at", "tag", "actor"):
        op.create_index(f"audit_by_{'time' if name == 'at' else name}", "audit_events", [name, "number"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _integer("number"),
        _text("hash"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        sa.CheckConstraint("id = 1", name="one"),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": GENESIS}])


def _guard_sqlite() -> None:
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{act.lower()} BEFORE {act} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END"
        )
    # INSERT OR REPLACE deletes rows without firing the trigger above.
    op.execute(
        "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events "
        "WHEN EXISTS (SELECT 1 FROM audit_events WHERE number = NEW.number) "
        "BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END"
    )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'audit events are never changed' USING ERRCODE = 'restrict_violation'; END $$"
    )
    for when, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{when.split()[0].lower()} BEFORE {when} ON audit_events "
            f"FOR EACH {each} EXECUTE FUNCTION audit_events_stay()"
        )
