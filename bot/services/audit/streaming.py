"""The audit stream: sends every event of the audit log to an endpoint, in order and at least once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate

from bot.domain.audit.audit_chain import MIN_NUMBER, AuditRecord
from bot.domain.audit.export import to_json_lines
from bot.domain.core.durations import format_duration
from bot.domain.core.endpoint import Endpoint
from bot.domain.core.sentence import Code, say
from bot.ports import LedgerReader, MessageKind, OutboxMessage
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message

MAX_EVENTS = 100  # events in a message
MAX_BODY_LENGTH = 200_000  # characters of the events in a message, unless one event is longer; receivers have limits
REPORTED_AFTER = timedelta(hours=1)  # how long an endpoint can fail before the channel gets a message
LONGEST_WAIT = timedelta(days=1)  # longer than any message is postponed


class AuditStream:
    """Puts the audit log into the outbox, one message at a time, each after the endpoint has received the last.

    No matter how long an endpoint is down, only one message is waiting. When a message is delivered, the outbox records
    its last event in the same transaction, so streaming continues there after a restart. A new endpoint gets all
    events, starting with the first.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def enqueue_next(self) -> bool:
        """Add the next message to the outbox; return whether there are messages to deliver.

        Also adds a message to the channel if the endpoint has been failing for too long or works again. Raises
        LedgerUnavailable.
        """
        stream = self._context.policy.audit.stream
        if stream is None:
            return False
        with self._context.ledger.read() as reader:
            if not self._next_messages(reader, stream):
                return False
        with self._context.ledger.write() as tx:
            tx.lock(_lane(stream))  # another process might be doing the same
            tx.add_message(*self._next_messages(tx, stream))
        return True

    def read_lines(self, message: OutboxMessage) -> str:
        """Return a message's events as lines of JSON. Events are immutable, so a retry sends the same lines."""
        first, last = message.data["first"], message.data["last"]
        with self._context.ledger.read() as reader:
            records = reader.audit_records(after_number=first - 1, limit=MAX_EVENTS)
        return to_json_lines(record for record in records if record.number <= last)

    def _next_messages(self, reader: LedgerReader, stream: Endpoint) -> list[OutboxMessage]:
        until = self._context.clock.now() + LONGEST_WAIT
        waiting = reader.due_messages(until, 1, kinds={MessageKind.AUDIT}, recipient=stream.key)
        messages = self._overdue_notices(reader, waiting[0]) if waiting else self._new_messages(reader, stream)
        return [message for message in messages if reader.delivery_progress(message.key) is None]

    def _overdue_notices(self, reader: LedgerReader, waiting: OutboxMessage) -> Iterator[OutboxMessage]:
        """Yield a message to the channel if the message `waiting` has been waiting for too long."""
        progress = reader.delivery_progress(waiting.key)
        if progress and waiting.created_at and self._context.clock.now() >= waiting.created_at + REPORTED_AFTER:
            words = say(
                "⚠️ {name} hasn't accepted audit events for {time} ({why}). I'll keep trying.",
                name=Code(waiting.data["shown"]),
                time=format_duration(REPORTED_AFTER),
                why=progress.why.rstrip(".") or "no attempt",
            )
            yield channel_message(f"not-streaming:{waiting.key}", self._context.policy.channel, words)

    def _new_messages(self, reader: LedgerReader, stream: Endpoint) -> Iterator[OutboxMessage]:
        """Yield the message with the next events, preceded by one to the channel if the endpoint works again."""
        lane, now = _lane(stream), self._context.clock.now()
        delivered = reader.message_ref(lane)
        if delivered and reader.delivery_progress(f"said:not-streaming:{delivered.channel}"):
            words = say("{name} is accepting audit events again.", name=Code(stream.display_name))
            yield channel_message(f"streaming:{delivered.channel}", self._context.policy.channel, words)
        after_number = int(delivered.ts) if delivered else MIN_NUMBER
        if records := _fitting(reader.audit_records(after_number=after_number, limit=MAX_EVENTS)):
            first, last = records[0].number, records[-1].number
            yield OutboxMessage(
                # The time makes the key unique if the stream was removed from the policy and added again.
                key=f"{lane}:{first}-{last}:{int(now.timestamp())}",
                lane=lane,
                kind=MessageKind.AUDIT,
                to=stream.key,
                created_at=now,
                data={"first": first, "last": last, "shown": stream.display_name},
            )


def _lane(stream: Endpoint) -> str:
    return f"audit:{stream.key}"


def _fitting(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Return as many of the first records as fit in a message; at least one, if there are any."""
    lengths = accumulate(len(record.body) for record in records)
    fitting = [record for record, length in zip(records, lengths, strict=True) if length <= MAX_BODY_LENGTH]
    return fitting or [*records[:1]]
