"""Tables for requests, votes, and freezes."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, and_, false

from bot.domain.promotions.request import OPEN_STATES, RequestState
from bot.domain.promotions.votes import VoteChoice
from bot.domain.registry.model import Stage
from bot.ledger.tables.base import is_in, metadata, number_column, partial_index
from bot.ledger.tables.column_types import (
    ActorText,
    AgentJson,
    CiRunJson,
    IdentityJson,
    SnapshotJson,
    StorableText,
    UtcDateTime,
    enum_text,
)

requests = Table(
    "requests",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", enum_text(Stage), nullable=False),
    Column("target", enum_text(Stage), nullable=False),
    Column("incumbent", Integer),
    Column("requester", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("required", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("keep_existing", Boolean, nullable=False),
    Column("semver", StorableText),
    Column("state", enum_text(RequestState), nullable=False),
    Column("decided_at", UtcDateTime),
    Column("decided_by", ActorText),
    Column("outcome", StorableText, nullable=False),
    Column("former_status", StorableText),
    Column("seen", SnapshotJson),
    Column("overridden_by", ActorText),
    Column("override_reason", StorableText, nullable=False, server_default=""),
    Column("reminded", Integer, nullable=False, server_default="0"),
    Column("ci", CiRunJson),
    Column("breaks_glass", Boolean, nullable=False, server_default=false()),
    Column("identity", IdentityJson),
    Column("incumbent_identity", IdentityJson),
    Column("review_due", UtcDateTime),
    Column("reviewed_by", ActorText),
    Column("reviewed_at", UtcDateTime),
    Column("review_reason", StorableText, nullable=False, server_default=""),
    Column("review_reminded", Integer, nullable=False, server_default="0"),
    Column("agent", AgentJson),
    sqlite_autoincrement=True,
)

votes = Table(
    "votes",
    metadata,
    number_column(),
    Column("request", StorableText, ForeignKey(requests.c.id), nullable=False),
    Column("voter", ActorText, nullable=False),
    Column("choice", enum_text(VoteChoice), nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("lapsed", StorableText, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

freezes = Table(
    "freezes",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText),
    Column("by", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("lifted_at", UtcDateTime),
    Column("lifted_by", ActorText),
    sqlite_autoincrement=True,
)

IS_OPEN = is_in(requests.c.state, *OPEN_STATES)

IS_PENDING = is_in(requests.c.state, RequestState.PENDING)

NEEDS_REVIEW = and_(requests.c.review_due.is_not(None), requests.c.reviewed_at.is_(None))

partial_index("one_open_request", requests.c.model, requests.c.target, where=IS_OPEN, unique=True)
partial_index("requests_by_expiry", requests.c.expires_at, where=IS_PENDING)
partial_index("requests_to_review", requests.c.review_due, where=NEEDS_REVIEW)
Index("requests_by_time", requests.c.opened_at, requests.c.number)
Index("requests_by_model", requests.c.model, requests.c.opened_at, requests.c.number)
Index("requests_by_requester", requests.c.requester, requests.c.opened_at, requests.c.number)
Index("requests_by_state", requests.c.state, requests.c.opened_at, requests.c.number)
Index("one_vote_each", votes.c.request, votes.c.voter, unique=True)
partial_index("freezes_that_hold", freezes.c.number, where=freezes.c.lifted_at.is_(None))
