"""A single query for all due work, so that idle jobs don't each make their own."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import bindparam, exists, or_, select
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger.stores.base import NOW, is_due
from bot.ledger.tables import (
    COMMAND_IS_WAITING,
    IS_PENDING,
    MESSAGE_IS_WAITING,
    TAG_UPDATE_IS_WAITING,
    digests,
    incidents,
    is_in,
    monitor_states,
    monitors,
    outbox_messages,
    queued_commands,
    requests,
    serving_checks,
    tag_updates,
    transitions,
)
from bot.ports.records import ENDPOINT_KINDS, DueWork


@cache
def select_due_work() -> Any:
    """Return the SELECT for one row that says, for each kind of work, whether any is due at :b_now.

    Each condition is that of the job's own query, except for what only that query has to rule out, such as claims.
    """
    now: Any = bindparam(NOW, type_=monitor_states.c.next_at.type)
    message_is_due = (MESSAGE_IS_WAITING, is_due(outbox_messages.c.not_before, now))
    is_for_endpoint = is_in(outbox_messages.c.kind, *ENDPOINT_KINDS)
    checked = monitor_states.join(monitors, monitor_states.c.monitor == monitors.c.id)
    conditions: dict[DueWork, ColumnElement[bool]] = {
        DueWork.MESSAGES: exists().where(*message_is_due, ~is_for_endpoint),
        DueWork.EVENTS: exists().where(*message_is_due, is_for_endpoint),
        DueWork.RECOVERY: or_(
            exists().where(is_in(transitions.c.state, *UNFINISHED_STATES)),
            exists().where(COMMAND_IS_WAITING, is_due(queued_commands.c.not_before, now)),
        ),
        DueWork.EXPIRY: exists().select_from(requests).where(IS_PENDING),
        DueWork.TAGS: exists().where(TAG_UPDATE_IS_WAITING, is_due(tag_updates.c.not_before, now)),
        DueWork.SERVING_CHECKS: exists().where(
            is_in(serving_checks.c.state, ServingCheckState.PENDING), is_due(serving_checks.c.next_at, now)
        ),
        DueWork.DIGESTS: exists().where(digests.c.due_at <= now),
        DueWork.INCIDENTS: exists().where(incidents.c.resolved_at.is_(None)),
        DueWork.MONITORS: exists()
        .select_from(checked)
        .where(monitors.c.removed_at.is_(None), ~monitors.c.is_paused, is_due(monitor_states.c.next_at, now)),
    }
    return select(*(conditions[kind].label(kind.name) for kind in DueWork))
