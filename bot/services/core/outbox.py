"""The outbox: what Slack must hear, delivered in order, again if need be, and never twice if it can be known."""

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
from bot.ports import Delivery, Note, NoteKind, Notifier, Outcome, Posting, Writing
from bot.services.core.context import Context
from bot.services.core.delivery_batches import _batches, _is_overtaken

log = logging.getLogger(__name__)

PAUSE = timedelta(seconds=1)  # doubled with each failed attempt
PAUSE_MOST = timedelta(minutes=2)
LEASE = timedelta(seconds=30)  # in which nobody else delivers a note that this process has begun to deliver
STRAYS_MOST = 1000
FOR_SLACK = frozenset(NoteKind) - {NoteKind.EVENT}

GivenUp = Callable[[Writing, Context, Note, str, timedelta | None], None]  # the reason, and the limit if it was that


class _Claimed(NamedTuple):
    """A note to deliver, and the channel it posts in; empty if it takes no turn."""

    note: Note
    channel: str


class Outbox:
    """Delivers the rows that services wrote together with their changes.

    Each outbox takes rows of its own `kinds`, and with `to` only those for one receiver. `at_once` rows of different
    lanes go out at the same time. In each channel, messages are at least `pace` apart, whichever process posts them.
    What can't be delivered within `limit` is given up; `given_up` is called for that, and for each refusal.
    """

    def __init__(
        self,
        context: Context,
        notifier: Notifier,
        *,
        kinds: Collection[NoteKind] = FOR_SLACK,
        to: str | None = None,
        at_once: int = 1,
        pace: timedelta = timedelta(0),
        limit: timedelta | None = None,
        given_up: GivenUp = lambda *_: None,
    ) -> None:
        self._it = context
        self._notifier = notifier
        self._pace = pace
        self._kinds = kinds
        self._to = to
        self._at_once = at_once
        self._limit = limit
        self._given_up = given_up
        self._strays: deque[tuple[Note, Posting]] = deque(maxlen=STRAYS_MOST)
        self._running = threading.Lock()
        self._wanted = threading.Event()
        self._has_put_off = threading.Event()

    def rest(self, most: float) -> None:
        """Return as soon as a waiting note can be tried, but after `most` seconds at the latest."""
        self._has_put_off.clear()
        due, now = None, self._it.clock.now()
        with suppress(LedgerUnavailable), self._it.ledger.read() as reading:
            due = reading.next_note(now, kinds=self._kinds)
        self._has_put_off.wait(min(most, (due - now).total_seconds()) if due else most)

    def wake(self) -> None:
        """Wake whatever rests, so that it looks again."""
        self._has_put_off.set()

    def begin_turn(self, channel: str) -> float:
        """Take a channel's turn for a message that isn't a row, or return in how many seconds the turn comes.

        If the ledger can't be written to, nothing has to wait: an answer to a question doesn't need the ledger.
        """
        at = now = self._it.clock.now()
        with suppress(LedgerUnavailable), self._it.ledger.write() as tx:
            at = tx.take_turn(channel, self._pace, now)
        return (at - now).total_seconds()

    def end_turn(self, channel: str) -> None:
        """Count a channel's next turn from now."""
        with suppress(LedgerUnavailable), self._it.ledger.write() as tx:
            tx.rest(channel, self._it.clock.now() + self._pace)

    def deliver(self, *, wait: float = 0.0) -> None:
        """Deliver everything that is due; a message waits for its turn in its channel.

        One thread does it; a second caller only makes the first look once more before it stops, or with `wait`
        (seconds) waits for its turn, so that what was due has been tried when this returns.
        """
        self._wanted.set()
        timeout = wait
        while (timeout or self._wanted.is_set()) and self._running.acquire(timeout=timeout):
            timeout = 0.0
            try:
                self._wanted.clear()
                while self._round():
                    pass
                self._take_back()
            finally:
                self._running.release()

    def _round(self) -> bool:
        """Deliver what is due now; tell whether more may be due: something got through, or makes way for others.

        Lanes are independent, so the first notes of all of them go together, then the second ones: two commits a
        layer, where each note alone would take two of its own and keep those who decide waiting.
        """
        with self._it.ledger.read() as reading:
            due = reading.due_notes(self._it.clock.now(), kinds=self._kinds, to=self._to)
        stuck: set[str] = set()
        queues: Counter[str] = Counter()
        for batch in _batches(due):
            going = [note for note in batch if note.lane not in stuck]
            if going:
                ours, waiting = self._begin(going, due, queues)
                stuck |= waiting | self._deliver(ours)
        return bool(queues) or len(stuck) < len({note.lane for note in due})

    def _begin(self, notes: list[Note], due: list[Note], queues: Counter[str]) -> tuple[list[_Claimed], set[str]]:
        """Claim notes; return those that still have to go out, and the lanes that have to wait.

        They wait for another process, or for their channel's turn, which isn't a try. `queues` counts them by channel.
        """
        going, waiting, now = [], set(), self._it.clock.now()
        names = {note.to: self._notifier.channel(note.to) for note in notes} if self._pace else {}
        with self._it.ledger.write() as tx:
            for channel, note in self._places(tx, notes, names):
                if self._has_to_wait(tx, note, channel, queues, now):
                    waiting.add(note.lane)
                    continue
                ours = tx.claim_note(note, self._it.owner, now, now + LEASE)
                if ours is None:
                    waiting.add(note.lane)
                elif _is_overtaken(note, due) and tx.posting(note.lane):
                    tx.delivered(ours, None)
                else:
                    going.append(_Claimed(ours, channel))
        return going, waiting

    def _places(self, tx: Writing, notes: list[Note], names: Mapping[str, str]) -> list[tuple[str, Note]]:
        """Return notes with the channel in which each takes a turn; empty if it takes none.

        All processes take turns in this order, so no two of them wait for each other. Notes that take none come last,
        since the next turn is counted from the end of this one.
        """
        if not self._pace:
            return [("", note) for note in notes]
        places = [(_channel(tx, note, names), note) for note in notes]
        return sorted(places, key=lambda place: (not place[0], place[0]))

    def _has_to_wait(self, tx: Writing, note: Note, channel: str, queues: Counter[str], now: datetime) -> bool:
        """Take a note's turn if it has come; otherwise, postpone the note until about then."""
        if not channel or (at := tx.take_turn(channel, self._pace, now)) == now:
            return False
        tx.postpone(note, at + self._pace * queues[channel])
        queues[channel] += 1
        self._has_put_off.set()
        return True

    def _deliver(self, claimed: list[_Claimed]) -> set[str]:
        """Deliver notes of different lanes; return the lanes whose next note may not follow yet.

        A crash before the commit leaves them tried, and what was tried is looked for before it is posted again.
        """
        if not claimed:
            return set()
        tries = self._try_all([one.note for one in claimed])
        results = [(one.note, delivery) for one, (delivery, _) in zip(claimed, tries, strict=True)]
        with self._it.ledger.write() as tx:
            for one, (_, ended) in zip(claimed, tries, strict=True):
                if one.channel:  # Slack counts from when it got the message, which may be long after it was claimed
                    tx.rest(one.channel, ended + self._pace)
            lost = {note.key for note, delivery in results if not self._settle(tx, note, delivery)}
        for note, delivery in results:
            if note.key in lost and delivery.posting and delivery.is_new:  # what it edited or found is not its own
                log.warning("%s took too long, and another process has taken it over", note.key)
                self._strays.append((note, delivery.posting))
        waits = {note.lane for note, delivery in results if delivery.outcome in {Outcome.LATER, Outcome.UNKNOWN}}
        return waits | {note.lane for note, _ in results if note.key in lost}

    def _take_back(self) -> None:
        """Delete what this process posted although another had taken the note over, as a process does that was stopped.

        It stays until the other one is through: that one may have found it in Slack, and taken it for its own.
        """
        for _ in range(len(self._strays)):
            note, posting = self._strays.popleft()
            with self._it.ledger.read() as reading:
                is_waiting, standing = reading.is_waiting(note), reading.posting_of(note)
            if is_waiting:
                self._strays.append((note, posting))
            elif standing is not None and standing != posting:
                self._notifier.take_back(posting)

    def _try_all(self, notes: list[Note]) -> list[tuple[Delivery, datetime]]:
        workers = min(self._at_once, len(notes))
        if workers < 2:
            return [self._try(note) for note in notes]
        with ThreadPoolExecutor(workers, thread_name_prefix="tell") as pool:
            return list(pool.map(self._try, notes))

    def _try(self, note: Note) -> tuple[Delivery, datetime]:
        """Deliver one note; return what came of it, and when."""
        with logging_context.about(note=note.key):
            try:
                delivery = self._notifier.deliver(note)
            except Exception as error:  # a fault of ours in one message must not hold all the others
                log.exception("%s cannot be delivered", note.key)
                delivery = Delivery(Outcome.UNKNOWN, why=type(error).__name__)
            return delivery, self._it.clock.now()

    def _settle(self, tx: Writing, note: Note, delivery: Delivery) -> bool:
        """Write down what came of it; return False where another process has taken the note over meanwhile."""
        match delivery.outcome:
            case Outcome.DELIVERED:
                return tx.delivered(note, delivery.posting)
            case Outcome.NEVER:
                log.error("%s will never take %s: %s", _taker(note), note.key, delivery.why)
                return self._give_up(tx, note, delivery.why, None)
            case _ if self._is_over(note):
                log.error(
                    "%s was not reached for %s, %s is given up: %s", _taker(note), self._limit, note.key, delivery.why
                )
                return self._give_up(tx, note, delivery.why, self._limit)
            case _:
                pause = delivery.wait or min(PAUSE * 2 ** min(note.attempts - 1, 10), PAUSE_MOST)
                log.warning("%s waits %s: %s", note.key, pause, delivery.why)
                self._has_put_off.set()
                # What Slack refused isn't there, unless the answer to an earlier try was lost: only then look for it.
                tried = replace(note, was_tried=note.was_tried or delivery.outcome is Outcome.UNKNOWN)
                return tx.postpone(tried, self._it.clock.now() + pause, delivery.why)

    def _give_up(self, tx: Writing, note: Note, why: str, limit: timedelta | None) -> bool:
        if not tx.drop(note, why):
            return False
        self._given_up(tx, self._it, note, why, limit)
        return True

    def _is_over(self, note: Note) -> bool:
        """Tell whether it was tried for as long as it may be."""
        return bool(self._limit and note.created_at and self._it.clock.now() >= note.created_at + self._limit)


def _taker(note: Note) -> str:
    return f"the endpoint {note.data.get('shown', '')}" if note.kind is NoteKind.EVENT else "Slack"


def _channel(tx: Writing, note: Note, names: Mapping[str, str]) -> str:
    """Return the channel that a note posts in; empty if it edits a message, or has nowhere to post."""
    standing = tx.posting(note.lane)
    if note.kind in {NoteKind.NEWS, NoteKind.CHART}:  # threads count toward their channel
        return standing.channel if standing else ""
    return "" if note.kind.is_standing and standing else names[note.to]
