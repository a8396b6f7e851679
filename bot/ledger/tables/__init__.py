"""The ledger's tables, by subject; importing this package completes `metadata`."""

from bot.ledger.tables.audit_log import audit_events, audit_head
from bot.ledger.tables.base import is_in, metadata
from bot.ledger.tables.integrity import IS_CHANGED, digests, passports
from bot.ledger.tables.monitoring import (
    baselines,
    incidents,
    measurements,
    monitor_states,
    monitors,
    own_baselines,
    readings,
    tripped_breakers,
)
from bot.ledger.tables.promotions import IS_OPEN, IS_PENDING, NEEDS_REVIEW, freezes, requests, votes
from bot.ledger.tables.registry_state import (
    TAG_UPDATE_IS_WAITING,
    drift_notices,
    holds,
    registry_snapshots,
    tag_updates,
)
from bot.ledger.tables.transitions import IS_EXECUTING, IS_INTENDED, rollback_blocks, serving_checks, transitions
from bot.ledger.tables.work_queue import (
    COMMAND_IS_PROPOSAL,
    COMMAND_IS_WAITING,
    MESSAGE_IS_WAITING,
    MessageState,
    channel_turns,
    idempotent_calls,
    leases,
    message_refs,
    outbox_messages,
    queued_commands,
    used_nonces,
)

__all__ = [
    "COMMAND_IS_PROPOSAL",
    "COMMAND_IS_WAITING",
    "IS_CHANGED",
    "IS_EXECUTING",
    "IS_INTENDED",
    "IS_OPEN",
    "IS_PENDING",
    "MESSAGE_IS_WAITING",
    "NEEDS_REVIEW",
    "TAG_UPDATE_IS_WAITING",
    "MessageState",
    "audit_events",
    "audit_head",
    "baselines",
    "channel_turns",
    "digests",
    "drift_notices",
    "freezes",
    "holds",
    "idempotent_calls",
    "incidents",
    "is_in",
    "leases",
    "measurements",
    "message_refs",
    "metadata",
    "monitor_states",
    "monitors",
    "outbox_messages",
    "own_baselines",
    "passports",
    "queued_commands",
    "readings",
    "registry_snapshots",
    "requests",
    "rollback_blocks",
    "serving_checks",
    "tag_updates",
    "transitions",
    "tripped_breakers",
    "used_nonces",
    "votes",
]
