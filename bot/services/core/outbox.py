"""The outbox: delivers messages in order, with retries, and avoids duplicates where it can."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bot import logging_context
from bot.domain.core.errors import LedgerUnavailable
from bot.ports import (
    DeliveryOutcome,
    DeliveryResult,
    LedgerTransaction,
    MessageKind,
    MessageRef,
    Notifier,
    OutboxMessage,
)
from bot.services.core.context import Context
from bot.services.core.delivery_batches import batches_in_order, is_superseded

log = logging.getLogger(__name__)

RETRY_DELAY = timedelta(seconds=1)  # doubled with each failed attempt
MAX_RETRY_DELAY = timedelta(minutes=2)
LEASE = timedelta(seconds=30)  # while a process delivers a message, no other one claims it
MAX_DUPLICATES = 1000
SLACK_KINDS = frozenset(MessageKind) - {MessageKind.EVENT}

GiveUpHandler = Callable[
    [LedgerTransaction, Context, OutboxMessage, str, timedelta | None], None
]  # the reason, and the maximum age if that was exceeded


class _ClaimedMessage(NamedTuple):
    """A message to deliver, and the channel it posts in; empty if it isn't rate-limited."""

    message: OutboxMessage
    channel: str


class Outbox:
    """Delivers the messages that services store together with their changes.

    Each outbox takes messages of its own `kinds`, and with `recipient` only those for one endpoint. Up to `concurrency`
    messages with different ordering keys go out at the same time. In each channel, messages are at least `min_interval`
    apart, whichever process posts them. A message that can't be delivered within `max_age`, or is refused, is
    discarded, and `on_give_up` is called.
    """

    def __init__(
        self,
        context: Context,
        notifier: Notifier,
        *,
        kinds: Collection[MessageKind] = SLACK_KINDS,
        recipient: str | None = None,
        concurrency: int = 1,
        min_interval: timedelta = timedelta(0),
        max_age: timedelta | None = None,
        on_give_up: GiveUpHandler = lambda *_: None,
    ) -> None:
        self._context = context
        self._notifier = notifier
        self._min_interval = min_interval
        self._kinds = kinds
        self._recipient = recipient
        self._concurrency = concurrency
        self._max_age = max_age
        self._on_give_up = on_give_up
        self._duplicates: deque[tuple[OutboxMessage, MessageRef]] = deque(maxlen=MAX_DUPLICATES)
        self._delivery_lock = threading.Lock()
        self._delivery_requested = threading.Event()
        self._wake_up = threading.Event()

    def wait_until_due(self, timeout: float) -> None:
        """Return as soon as a message is due, or after `timeout` seconds."""
        self._wake_up.clear()
        due, now = None, self._context.clock.now()
        with suppress(LedgerUnavailable), self._context.ledger.read() as reader:
            due = reader.next_message_due_at(now, kinds=self._kinds)
        self._wake_up.wait(min(timeout, (due - now).total_seconds()) if due else timeout)

    def wake(self) -> None:
        """Wake up `wait_until_due`."""
        self._wake_up.set()

    def take_turn(self, channel: str) -> float:
        """Take a channel's turn for a message outside the outbox: return 0.0, or how many seconds it has to wait.

        If the ledger can't be written to, there is no wait: answers don't need the ledger.
        """
        turn = now = self._context.clock.now()
        with suppress(LedgerUnavailable), self._context.ledger.write() as tx:
            turn = tx.take_channel_turn(channel, self._min_interval, now)
        return (turn - now).total_seconds()

    def end_turn(self, channel: str) -> None:
        """Start a channel's minimum interval now."""
        with suppress(LedgerUnavailable), self._context.ledger.write() as tx:
            tx.delay_channel(channel, self._context.clock.now() + self._min_interval)

    def deliver(self, *, patience: float = 0.0) -> None:
        """Deliver everything that is due; a message waits for its turn in its channel.

        One thread at a time delivers; a second caller only makes the first one check again before it stops. With
        `patience` (seconds) it waits for the first one instead, so that everything due has been tried on return.
        """
        self._delivery_requested.set()
        timeout = patience
        while (timeout or self._delivery_requested.is_set()) and self._delivery_lock.acquire(timeout=timeout):
            timeout = 0.0
            try:
                self._delivery_requested.clear()
                while self._deliver_round():
                    pass
                self._delete_duplicates()
            finally:
                self._delivery_lock.release()

    def _deliver_round(self) -> bool:
        """Deliver what is due now; tell whether more may be due.

        Ordering keys are independent, so the first messages of all of them go together, then the second ones. That
        takes two commits per layer; with two per message, decisions would wait for the ledger.
        """
        with self._context.ledger.read() as reader:
            due = reader.due_messages(self._context.clock.now(), kinds=self._kinds, recipient=self._recipient)
        blocked_keys: set[str] = set()
        queue_lengths: Counter[str] = Counter()
        for batch in batches_in_order(due):
            deliverable = [message for message in batch if message.lane not in blocked_keys]
            if deliverable:
                claimed, waiting = self._claim_batch(deliverable, due, queue_lengths)
                blocked_keys |= waiting | self._deliver_batch(claimed)
        return bool(queue_lengths) or len(blocked_keys) < len({message.lane for message in due})

    def _claim_batch(
        self, messages: list[OutboxMessage], due_messages: list[OutboxMessage], queue_lengths: Counter[str]
    ) -> tuple[list[_ClaimedMessage], set[str]]:
        """Claim messages; return those to deliver, and the ordering keys that have to wait.

        They wait for another process or for their channel's turn, which doesn't count as an attempt. `queue_lengths`
        counts waiting messages by channel.
        """
        claimed, waiting_keys, now = [], set(), self._context.clock.now()
        channel_ids = (
            {message.to: self._notifier.channel_id(message.to) for message in messages} if self._min_interval else {}
        )
        with self._context.ledger.write() as tx:
            for channel, message in self._with_channels(tx, messages, channel_ids):
                if self._postpone_unless_turn(tx, message, channel, queue_lengths, now):
                    waiting_keys.add(message.lane)
                    continue
                claimed_message = tx.claim_message(message, self._context.owner, now, now + LEASE)
                if claimed_message is None:
                    waiting_keys.add(message.lane)
                elif is_superseded(message, due_messages) and tx.message_ref(message.lane):
                    tx.mark_delivered(claimed_message, None)
                else:
                    claimed.append(_ClaimedMessage(claimed_message, channel))
        return claimed, waiting_keys

    def _with_channels(
        self, tx: LedgerTransaction, messages: list[OutboxMessage], channel_ids: Mapping[str, str]
    ) -> list[tuple[str, OutboxMessage]]:
        """Return messages with the channel in which each takes a turn; empty if it takes none.

        All processes take turns in this order, so they can't deadlock. Messages without a turn come last, since the
        next turn counts from the end of this one.
        """
        if not self._min_interval:
            return [("", message) for message in messages]
        pairs = [(_posting_channel(tx, message, channel_ids), message) for message in messages]
        return sorted(pairs, key=lambda place: (not place[0], place[0]))

    def _postpone_unless_turn(
        self, tx: LedgerTransaction, message: OutboxMessage, channel: str, queue_lengths: Counter[str], now: datetime
    ) -> bool:
        """Take the message's turn in its channel if it has come; otherwise, postpone the message."""
        if not channel or (at := tx.take_channel_turn(channel, self._min_interval, now)) == now:
            return False
        tx.postpone_message(message, at + self._min_interval * queue_lengths[channel])
        queue_lengths[channel] += 1
        self._wake_up.set()
        return True

    def _deliver_batch(self, claimed: list[_ClaimedMessage]) -> set[str]:
        """Deliver messages with different ordering keys; return the keys whose next message can't follow yet.

        After a crash before the commit, the messages count as tried, and the notifier searches Slack before it posts
        them again.
        """
        if not claimed:
            return set()
        attempts = self._attempt_all([claimed_message.message for claimed_message in claimed])
        results = [(one.message, result) for one, (result, _) in zip(claimed, attempts, strict=True)]
        with self._context.ledger.write() as tx:
            for one, (_, ended_at) in zip(claimed, attempts, strict=True):
                if one.channel:  # Slack counts from when it got the message, which may be long after it was claimed
                    tx.delay_channel(one.channel, ended_at + self._min_interval)
            lost_keys = {message.key for message, result in results if not self._record_result(tx, message, result)}
        for message, result in results:
            if message.key in lost_keys and result.message_ref and result.is_new:  # not what it edited or found
                log.warning("%s took too long, and another process has taken it over", message.key)
                self._duplicates.append((message, result.message_ref))
        waiting_keys = {
            message.lane
            for message, result in results
            if result.outcome in {DeliveryOutcome.RETRY, DeliveryOutcome.UNKNOWN}
        }
        return waiting_keys | {message.lane for message, _ in results if message.key in lost_keys}

    def _delete_duplicates(self) -> None:
        """Delete messages that this process posted after another one took them over, for example after it was paused.

        They stay until the other process is done, because it may have found them in Slack and adopted them.
        """
        for _ in range(len(self._duplicates)):
            message, duplicate_ref = self._duplicates.popleft()
            with self._context.ledger.read() as reader:
                is_waiting, current_ref = reader.is_pending(message), reader.message_ref_for(message)
            if is_waiting:
                self._duplicates.append((message, duplicate_ref))
            elif current_ref is not None and current_ref != duplicate_ref:
                self._notifier.delete_message(duplicate_ref)

    def _attempt_all(self, messages: list[OutboxMessage]) -> list[tuple[DeliveryResult, datetime]]:
        workers = min(self._concurrency, len(messages))
        if workers < 2:
            return [self._attempt(message) for message in messages]
        with ThreadPoolExecutor(workers, thread_name_prefix="tell") as pool:
            return list(pool.map(self._attempt, messages))

    def _attempt(self, message: OutboxMessage) -> tuple[DeliveryResult, datetime]:
        """Deliver one message; return the result and when it ended."""
        with logging_context.bound(note=message.key):
            try:
                result = self._notifier.deliver(message)
            except Exception as error:  # a bug with one message must not block the others
                log.exception("%s cannot be delivered", message.key)
                result = DeliveryResult(DeliveryOutcome.UNKNOWN, why=type(error).__name__)
            return result, self._context.clock.now()

    def _record_result(self, tx: LedgerTransaction, message: OutboxMessage, result: DeliveryResult) -> bool:
        """Record the result; return False if another process has taken the message over in the meantime."""
        match result.outcome:
            case DeliveryOutcome.DELIVERED:
                return tx.mark_delivered(message, result.message_ref)
            case DeliveryOutcome.REFUSED:
                log.error("%s will never take %s: %s", _recipient_name(message), message.key, result.why)
                return self._give_up(tx, message, result.why, None)
            case _ if self._is_expired(message):
                log.error(
                    "%s was not reached for %s, %s is given up: %s",
                    _recipient_name(message),
                    self._max_age,
                    message.key,
                    result.why,
                )
                return self._give_up(tx, message, result.why, self._max_age)
            case _:
                delay = result.retry_after or min(RETRY_DELAY * 2 ** min(message.attempts - 1, 10), MAX_RETRY_DELAY)
                log.warning("%s waits %s: %s", message.key, delay, result.why)
                self._wake_up.set()
                # A message that Slack refused can only exist if the answer to an earlier attempt was lost.
                tried = replace(message, was_tried=message.was_tried or result.outcome is DeliveryOutcome.UNKNOWN)
                return tx.postpone_message(tried, self._context.clock.now() + delay, result.why)

    def _give_up(self, tx: LedgerTransaction, message: OutboxMessage, why: str, limit: timedelta | None) -> bool:
        if not tx.discard_message(message, why):
            return False
        self._on_give_up(tx, self._context, message, why, limit)
        return True

    def _is_expired(self, message: OutboxMessage) -> bool:
        """Tell whether the message is older than `max_age`."""
        return bool(
            self._max_age and message.created_at and self._context.clock.now() >= message.created_at + self._max_age
        )


def _recipient_name(message: OutboxMessage) -> str:
    return f"the endpoint {message.data.get('shown', '')}" if message.kind is MessageKind.EVENT else "Slack"


def _posting_channel(tx: LedgerTransaction, message: OutboxMessage, channel_ids: Mapping[str, str]) -> str:
    """Return the channel that a message posts in; empty if it edits a message, or has nowhere to post."""
    message_ref = tx.message_ref(message.lane)
    if message.kind in {MessageKind.THREAD_REPLY, MessageKind.CHART}:  # threads count toward their channel
        return message_ref.channel if message_ref else ""
    return "" if message.kind.is_updated_in_place and message_ref else channel_ids[message.to]
