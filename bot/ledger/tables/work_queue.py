"""Tables for queued commands, the outbox, locks, and leases."""

from __future__ import annotations

from enum import Enum

from sqlalchemy import Boolean, Column, ForeignKey, Integer, Table, UniqueConstraint, and_

from bot.ledger.tables.base import is_in, metadata, number_column, partial_index
from bot.ledger.tables.column_types import (
    ActorText,
    AgentJson,
    CiRunJson,
    PlainJson,
    StorableText,
    UtcDateTime,
    enum_text,
)
from bot.ledger.tables.promotions import requests
from bot.ports import MessageKind, QueuedCommandState


class MessageState(Enum):
    """The state of an outbox row. Rows are never deleted, so that keys stay unique."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DROPPED = "dropped"


queued_commands = Table(
    "asks",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("caller", ActorText, nullable=False),
    Column("command", PlainJson, nullable=False),
    Column("where", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", enum_text(QueuedCommandState), nullable=False),
    Column("request", StorableText, ForeignKey(requests.c.id)),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime),
    Column("ci", CiRunJson),
    Column("key", StorableText),
    Column("digest", StorableText),
    Column("error", StorableText),
    Column("outcome", StorableText, nullable=False, server_default=""),
    Column("agent", AgentJson),
    sqlite_autoincrement=True,
)

# Answers to calls with an Idempotency-Key, so that a repeated call gets the same answer.
idempotent_calls = Table(
    "calls",
    metadata,
    number_column(),
    Column("client", StorableText, nullable=False),
    Column("key", StorableText, nullable=False),
    Column("digest", StorableText, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("client", "key"),
    sqlite_autoincrement=True,
)

# What's accepted only once, such as a signed call: kept until it would be too old anyway.
used_nonces = Table(
    "nonces",
    metadata,
    Column("scope", StorableText, primary_key=True),
    Column("nonce", StorableText, primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
)

outbox_messages = Table(
    "notes",
    metadata,
    number_column(),
    Column("key", StorableText, nullable=False, unique=True),
    Column("lane", StorableText, nullable=False),
    Column("kind", enum_text(MessageKind), nullable=False),
    Column("to", StorableText, nullable=False),
    Column("data", PlainJson, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("was_tried", Boolean, nullable=False),
    Column("created_at", UtcDateTime),
    Column("state", enum_text(MessageState), nullable=False),
    Column("not_before", UtcDateTime),
    Column("why", StorableText, nullable=False),
    # The process that delivers it, and until when it's claimed.
    Column("claimed_by", StorableText),
    Column("claimed_until", UtcDateTime),
    sqlite_autoincrement=True,
)

message_refs = Table(
    "postings",
    metadata,
    Column("key", StorableText, primary_key=True),
    Column("channel", StorableText, nullable=False),
    Column("ts", StorableText, nullable=False),
    Column("file", StorableText, nullable=False, server_default=""),
)

channel_turns = Table(
    "turns",
    metadata,
    Column("channel", StorableText, primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),
)

# Leases on work for only one process at a time, across transactions: the owner, and until when.
leases = Table(
    "leases",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

COMMAND_IS_WAITING = is_in(queued_commands.c.state, QueuedCommandState.WAITING)
# A draft of an agent is a monitor that it proposes: agents have no forms.
COMMAND_IS_PROPOSAL = and_(
    is_in(queued_commands.c.state, QueuedCommandState.DRAFT), queued_commands.c.agent.is_not(None)
)

MESSAGE_IS_WAITING = is_in(outbox_messages.c.state, MessageState.WAITING)

partial_index("asks_waiting", queued_commands.c.at, queued_commands.c.number, where=COMMAND_IS_WAITING)
partial_index("asks_proposed", queued_commands.c.number, where=COMMAND_IS_PROPOSAL)
partial_index(
    "one_ask_of_a_key",
    queued_commands.c.caller,
    queued_commands.c.key,
    where=queued_commands.c.key.is_not(None),
    unique=True,
)
partial_index("notes_waiting", outbox_messages.c.lane, outbox_messages.c.number, where=MESSAGE_IS_WAITING)
