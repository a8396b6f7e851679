"""The outbox: delivers messages in order, with retries, and avoids duplicates where it can."""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot import logging_context
from bot.domain.core.backoff import Backoff
from bot.domain.core.errors import LedgerUnavailable
from bot.ports import (
    ENDPOINT_KINDS,
    DeliveryOutcome,
    DeliveryResult,
    LedgerTransaction,
    MessageKind,
    MessageRef,
    Notifier,
    OutboxMessage,
)
from bot.services.core.context import Context

log = logging.getLogger(__name__)

BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=2))
LEASE = timedelta(seconds=30)  # while a process delivers a message, no other one claims it
MAX_DUPLICATES = 1000
BATCH_SIZE = 10  # messages that share commits
URGENT_KINDS = frozenset({MessageKind.INCIDENT, MessageKind.ROLLBACK})  # on-call engineers wait for these
SLACK_KINDS = frozenset(MessageKind) - ENDPOINT_KINDS

GiveUpHandler = Callable[
    [LedgerTransaction, Context, OutboxMessage, str, timedelta | None], None
]  # the reason, and the maximum age if that was exceeded


class Outbox:
    """Delivers the messages that services store together with their changes.

    Each outbox handles only messages of its `kinds` and, if it has a `recipient`, only those for that endpoint. Up to
    `concurrency` messages with different ordering keys go out at the same time. In each channel, messages are at least
    `min_interval` apart, no matter which process posts them. A message that is refused, or that can't be delivered
    within `max_age`, is discarded, and `on_give_up` is called. Audit events have no maximum age.
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
        """Return as soon as a message is due or `wake` is called, or after `timeout` seconds."""
        self._wake_up.clear()
        due, now = None, self._context.clock.now()
        with suppress(LedgerUnavailable), self._context.ledger.read() as reader:
            due = reader.next_message_due_at(now, kinds=self._kinds)
        self._wake_up.wait(min(timeout, (due - now).total_seconds()) if due else timeout)

    def wake(self) -> None:
        """Make `wait_until_due` return."""
        self._wake_up.set()

    def take_turn(self, channel: str) -> float:
        """Take a channel's turn for a message outside the outbox, if it has come; return how many seconds are left.

        0.0 means that the turn is taken. If the ledger can't be written to, there's no wait, because answers don't need
        the ledger.
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
        """Deliver everything that's due; a message waits for its turn in its channel.

        Only one thread delivers at a time; a second caller only makes the first one check again before it stops. With
        `patience` (seconds), the second caller waits up to that long for the first one and then delivers, so everything
        due has been tried when it returns.
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
        """Deliver what's due now; return whether more might be due.

        Ordering keys are independent, so the first message of every key goes out together, then the second of every
        key, and so on. That takes two commits per batch; with two per message, decisions would wait for the ledger.
        """
        with self._context.ledger.read() as reader:
            due = reader.due_messages(self._context.clock.now(), kinds=self._kinds, recipient=self._recipient)
        blocked_keys: set[str] = set()
        queue_lengths: Counter[str] = Counter()
        for batch in batches_in_order(due):
            deliverable = [message for message in batch if message.lane not in blocked_keys]
            if deliverable:
                claimed, waiting = self._claim_batch(deliverable, due, queue_lengths)
                blocked_keys |= waiting | (self._deliver_batch(claimed) if claimed else set())
        return bool(queue_lengths) or len(blocked_keys) < len({message.lane for message in due})

    def _claim_batch(
        self, messages: list[OutboxMessage], due_messages: list[OutboxMessage], queue_lengths: Counter[str]
    ) -> tuple[list[tuple[OutboxMessage, str]], set[str]]:
        """Claim messages; return those to deliver, each with its channel, and the ordering keys that have to wait.

        These keys wait for another process or for their channel's turn; neither counts as an attempt. `queue_lengths`
        counts waiting messages by channel. All processes take turns in the same order, so they can't deadlock. Messages
        that don't take a turn come last, because a channel's next turn counts from the end of this one.
        """
        claimed, waiting_keys, interval = list[tuple[OutboxMessage, str]](), set[str](), self._min_interval
        channel_ids = {message.to: self._notifier.channel_id(message.to) for message in messages} if interval else {}
        claim = self._context.claim(LEASE)
        with self._context.ledger.write() as tx:
            channels = [_paced_channel(tx, message, channel_ids) if interval else "" for message in messages]
            for channel, message in sorted(
                zip(channels, messages, strict=True), key=lambda pair: (not pair[0], pair[0])
            ):
                turn_at = tx.take_channel_turn(channel, interval, claim.now) if channel else claim.now
                if turn_at > claim.now:
                    tx.postpone_message(message, turn_at + interval * queue_lengths[channel])
                    queue_lengths[channel] += 1
                    self._wake_up.set()
                    waiting_keys.add(message.lane)
                elif (ours := tx.claim_message(message, claim)) is None:
                    waiting_keys.add(message.lane)
                elif _is_superseded(message, due_messages) and tx.message_ref(message.lane):
                    tx.mark_delivered(ours, None)
                else:
                    claimed.append((ours, channel))
        return claimed, waiting_keys

    def _deliver_batch(self, claimed: list[tuple[OutboxMessage, str]]) -> set[str]:
        """Deliver messages with different ordering keys; return the keys whose next message can't follow yet.

        If the process crashes before the commit, the messages count as tried, and the notifier searches Slack before it
        posts them again.
        """
        messages = [message for message, _ in claimed]
        waiting_keys = set()
        results = self._attempt_all(messages)
        with self._context.ledger.write() as tx:
            for (_, channel), (_, ended_at) in zip(claimed, results, strict=True):
                if channel:  # Slack counts from when it got the message, which may be long after it was claimed
                    tx.delay_channel(channel, ended_at + self._min_interval)
            are_ours = [
                self._record_result(tx, message, result) for message, (result, _) in zip(messages, results, strict=True)
            ]
        for message, (result, _), is_ours in zip(messages, results, are_ours, strict=True):
            if not is_ours and result.message_ref and result.is_new:  # not what it edited or found
                log.warning("%s took too long, so another process took it over", message.key)
                self._duplicates.append((message, result.message_ref))
            if not is_ours or result.outcome in {DeliveryOutcome.RETRY, DeliveryOutcome.UNKNOWN}:
                waiting_keys.add(message.lane)
        return waiting_keys

    def _delete_duplicates(self) -> None:
        """Delete messages that this process posted after another process took them over, for example, after a pause.

        A duplicate stays until the other process is done, because that process might have found it in Slack and adopted
        it.
        """
        for _ in range(len(self._duplicates)):
            message, duplicate_ref = self._duplicates.popleft()
            with self._context.ledger.read() as reader:
                is_waiting, current_ref = reader.is_pending(message.key), reader.message_ref(message.ref_key)
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
                log.exception("can't deliver %s", message.key)
                result = DeliveryResult(DeliveryOutcome.UNKNOWN, why=type(error).__name__)
            return result, self._context.clock.now()

    def _record_result(self, tx: LedgerTransaction, message: OutboxMessage, result: DeliveryResult) -> bool:
        """Record the result; return False if another process took over the message in the meantime."""
        if result.outcome is DeliveryOutcome.DELIVERED:
            return tx.mark_delivered(message, result.message_ref)
        now, is_refused = self._context.clock.now(), result.outcome is DeliveryOutcome.REFUSED
        max_age = None if is_refused or message.kind is MessageKind.AUDIT else self._max_age  # a gap breaks its chain
        if is_refused or (max_age and message.created_at and now >= message.created_at + max_age):
            is_for_endpoint = message.kind in ENDPOINT_KINDS
            recipient = f"the webhook {message.data.get('shown', '')}" if is_for_endpoint else "Slack"
            if is_refused:
                log.error("%s permanently rejected %s: %s", recipient, message.key, result.why)
            else:
                log.error("%s couldn't be reached for %s, dropping %s: %s", recipient, max_age, message.key, result.why)
            is_ours = tx.discard_message(message, result.why)
            if is_ours:
                self._on_give_up(tx, self._context, message, result.why, max_age)
            return is_ours
        delay = result.retry_after or BACKOFF.delay(message.attempts)
        log.warning("%s will be retried in %s: %s", message.key, delay, result.why)
        self._wake_up.set()
        # A message that Slack rejected can only exist if the answer to an earlier attempt was lost.
        tried = replace(message, was_tried=message.was_tried or result.outcome is DeliveryOutcome.UNKNOWN)
        return tx.postpone_message(tried, now + delay, result.why)


def batches_in_order(due_messages: list[OutboxMessage]) -> list[list[OutboxMessage]]:
    """Return messages in batches to deliver together; committing a hundred at once would block votes for too long.

    A batch has at most one message per ordering key, so that each key's messages stay in order. Of the messages that
    could be next, urgent ones come first and take the next turn in their channel, no matter how many others are
    waiting.
    """
    layers: defaultdict[int, list[OutboxMessage]] = defaultdict(list)
    depth: Counter[str] = Counter()
    for message in due_messages:
        layers[depth[message.lane]].append(message)
        depth[message.lane] += 1
    for layer in layers.values():
        layer.sort(key=lambda message: message.kind not in URGENT_KINDS)
    return [
        layer[start : start + BATCH_SIZE] for layer in layers.values() for start in range(0, len(layer), BATCH_SIZE)
    ]


def _is_superseded(message: OutboxMessage, due_messages: list[OutboxMessage]) -> bool:
    """Return whether a later message redraws the same card; cards show the current state."""
    return message.kind.is_updated_in_place and any(
        other.kind is message.kind and other.lane == message.lane and other.number > message.number
        for other in due_messages
    )


def _paced_channel(tx: LedgerTransaction, message: OutboxMessage, channel_ids: Mapping[str, str]) -> str:
    """Return the channel in which a message takes a turn; empty if it edits a message, or has nowhere to post."""
    message_ref = tx.message_ref(message.lane)
    if message.kind.is_in_thread:  # threads count toward their channel
        return message_ref.channel if message_ref else ""
    return "" if message.kind.is_updated_in_place and message_ref else channel_ids[message.to]
