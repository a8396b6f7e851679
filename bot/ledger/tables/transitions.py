"""Tables for transitions, rollback blocks, and serving checks."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, false

from bot.domain.registry.model import Stage
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ledger.tables.base import is_in, metadata, number_column, partial_index
from bot.ledger.tables.column_types import ActorText, IdentityJson, StorableText, UtcDateTime, enum_text
from bot.ledger.tables.promotions import requests

transitions = Table(
    "moves",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", enum_text(TransitionKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", enum_text(Stage), nullable=False),
    Column("target", enum_text(Stage), nullable=False),
    Column("expected_incumbent", Integer),
    Column("actor", ActorText, nullable=False),
    Column("intended_at", UtcDateTime, nullable=False),
    Column("request", StorableText, ForeignKey(requests.c.id)),
    Column("keep_existing", Boolean, nullable=False),
    Column("state", enum_text(TransitionState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("why", StorableText, nullable=False),
    # The process that executes it, until when it's claimed, and when it can be retried.
    Column("claimed_by", StorableText),
    Column("claimed_until", UtcDateTime),
    Column("not_before", UtcDateTime),
    Column("finding", StorableText),
    Column("reason", StorableText, nullable=False, server_default=""),
    Column("incident", StorableText),
    Column("is_forced", Boolean, nullable=False, server_default=false()),
    Column("identity", IdentityJson),
    Column("trusted_at", UtcDateTime),
    Column("began_at", UtcDateTime),
    sqlite_autoincrement=True,
)

rollback_blocks = Table(
    "bars",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("move", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("cleared_by", ActorText),
    Column("clear_reason", StorableText, nullable=False),
    sqlite_autoincrement=True,
)

serving_checks = Table(
    "servings",
    metadata,
    Column("move", StorableText, primary_key=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lane", StorableText, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("state", enum_text(ServingCheckState), nullable=False),
    Column("next_at", UtcDateTime),
    Column("deadline", UtcDateTime),
    Column("seen", StorableText, nullable=False),
    Column("confirmed_at", UtcDateTime),
)

IS_EXECUTING = is_in(transitions.c.state, TransitionState.EXECUTING)

IS_INTENDED = is_in(transitions.c.state, TransitionState.INTENDED)

partial_index("one_executing_move", transitions.c.model, where=IS_EXECUTING, unique=True)
Index("moves_by_state", transitions.c.state, transitions.c.model, transitions.c.intended_at, transitions.c.number)
Index("moves_by_model", transitions.c.model, transitions.c.intended_at, transitions.c.number)
Index("moves_in_order", transitions.c.model, transitions.c.number)
Index("moves_by_target", transitions.c.model, transitions.c.target, transitions.c.intended_at, transitions.c.number)
partial_index("bars_in_effect", rollback_blocks.c.number, where=rollback_blocks.c.cleared_at.is_(None))
Index("bars_by_model", rollback_blocks.c.model, rollback_blocks.c.number)
Index("servings_by_state", serving_checks.c.state, serving_checks.c.next_at)
Index("servings_by_model", serving_checks.c.model, serving_checks.c.asked_at)
