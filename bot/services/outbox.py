"""The outbox: what Slack must hear, delivered in order, again if need be, and never twice if it can be known."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from bot import story
from bot.domain.errors import RegistrarError
from bot.ports import Delivery, Note, NoteKind, Notifier, Outcome, Posting, Writing
from bot.services.context import Context

log = logging.getLogger(__name__)

PAUSE = timedelta(seconds=1)  # doubled with each failed attempt
BATCH = 10  # notes that share their commits
PAUSE_MOST = timedelta(minutes=2)
LEASE = timedelta(seconds=30)  # in which nobody else delivers a note that this process has begun to deliver
STRAYS_MOST = 1000
FOR_SLACK = frozenset(NoteKind) - {NoteKind.EVENT}
FOR_ENDPOINTS = frozenset({NoteKind.EVENT})
LEAVING = 5.0  # seconds that the end of the process waits for endpoints

GivenUp = Callable[[Writing, Context, Note, str, timedelta | None], None]  # the reason, and the limit if it was that


class Outbox:
    """Delivers the rows that services wrote together with their changes.

    Each outbox takes rows of its own `kinds`, and with `to` only those for one receiver. `at_once` rows of different
    lanes go out at the same time. What cannot be delivered within `limit` is given up, which like a refusal is told to
    `given_up`.
    """

    def __init__(
        self,
        context: Context,
        notifier: Notifier,
        *,
        kinds: Collection[NoteKind] = FOR_SLACK,
        to: str | None = None,
        at_once: int = 1,
        limit: timedelta | None = None,
        given_up: GivenUp = lambda *_: None,
    ) -> None:
        self._it = context
        self._notifier = notifier
        self._kinds = kinds
        self._to = to
        self._at_once = at_once
        self._limit = limit
        self._given_up = given_up
        self._strays: deque[tuple[Note, Posting]] = deque(maxlen=STRAYS_MOST)
        self._running = threading.Lock()
        self._wanted = threading.Event()

    def deliver(self, *, wait: float = 0.0) -> None:
        """Deliver everything that is due.

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
        """Deliver what is due now; tell whether anything got through.

        Lanes are independent, so the first notes of all of them go together, then the second ones: two commits a
        layer, where each note alone would take two of its own and keep those who decide waiting.
        """
        with self._it.ledger.read() as reading:
            due = reading.due_notes(self._it.clock.now(), kinds=self._kinds, to=self._to)
        stuck: set[str] = set()
        for batch in _batches(due):
            going = [note for note in batch if note.lane not in stuck]
            if going:
                ours, elsewhere = self._begin(going, due)
                stuck |= elsewhere | self._deliver(ours)
        return len(stuck) < len({note.lane for note in due})

    def _begin(self, notes: list[Note], due: list[Note]) -> tuple[list[Note], set[str]]:
        """Claim notes; return those that still have to go out, and the lanes that another process is at."""
        going, elsewhere, now = [], set(), self._it.clock.now()
        with self._it.ledger.write() as tx:
            for note in notes:
                ours = tx.claim_note(note, self._it.owner, now, now + LEASE)
                if ours is None:
                    elsewhere.add(note.lane)
                elif _is_overtaken(note, due) and tx.posting(note.lane):
                    tx.delivered(ours, None)
                else:
                    going.append(ours)
        return going, elsewhere

    def _deliver(self, notes: list[Note]) -> set[str]:
        """Deliver notes of different lanes; return the lanes whose next note may not follow yet.

        A crash before the commit leaves them tried, and what was tried is looked for before it is posted again.
        """
        if not notes:
            return set()
        results = list(zip(notes, self._try_all(notes), strict=True))
        with self._it.ledger.write() as tx:
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

    def _try_all(self, notes: list[Note]) -> list[Delivery]:
        workers = min(self._at_once, len(notes))
        if workers < 2:
            return [self._try(note) for note in notes]
        with ThreadPoolExecutor(workers, thread_name_prefix="tell") as pool:
            return list(pool.map(self._try, notes))

    def _try(self, note: Note) -> Delivery:
        with story.about(note=note.key):
            try:
                return self._notifier.deliver(note)
            except Exception as error:  # a fault of ours in one message must not hold all the others
                log.exception("%s cannot be delivered", note.key)
                return Delivery(Outcome.UNKNOWN, why=type(error).__name__)

    def _settle(self, tx: Writing, note: Note, delivery: Delivery) -> bool:
        """Write down what came of it; return False where another process has taken the note over meanwhile."""
        match delivery.outcome:
            case Outcome.DELIVERED:
                return tx.delivered(note, delivery.posting)
            case Outcome.NEVER:
                log.error("%s will never take %s: %s", _taker(note), note.key, delivery.why)
                return self._give_up(tx, note, delivery.why, None)
            case _ if self._is_over(note):
                log.error("%s was not reached for %s, %s is given up: %s", _taker(note), self._limit, note.key,
                          delivery.why)  # fmt: skip
                return self._give_up(tx, note, delivery.why, self._limit)
            case _:
                pause = delivery.wait or min(PAUSE * 2 ** min(note.attempts - 1, 10), PAUSE_MOST)
                log.warning("%s waits %s: %s", note.key, pause, delivery.why)
                return tx.postpone(note, self._it.clock.now() + pause, delivery.why)

    def _give_up(self, tx: Writing, note: Note, why: str, limit: timedelta | None) -> bool:
        if not tx.drop(note, why):
            return False
        self._given_up(tx, self._it, note, why, limit)
        return True

    def _is_over(self, note: Note) -> bool:
        """Tell whether it was tried for as long as it may be."""
        return bool(self._limit and note.created_at and self._it.clock.now() >= note.created_at + self._limit)


class Endpoints:
    """Delivers events: each endpoint has an outbox and, while events wait for it, a thread of its own.

    So one that hangs, fails, or has much to hear delays no other, and there are never more threads than endpoints.
    `at_once` models' events go to one endpoint at the same time; `limit` and `given_up` are as for an outbox.
    """

    def __init__(
        self, context: Context, notifier: Notifier, *, at_once: int = 1, limit: timedelta | None = None,
        given_up: GivenUp = lambda *_: None,
    ) -> None:  # fmt: skip
        self._it = context
        self._outbox = partial(
            Outbox, context, notifier, kinds=FOR_ENDPOINTS, at_once=at_once, limit=limit, given_up=given_up
        )
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._is_closed = False

    def deliver(self, *, wait: float = 0.0) -> None:
        """Begin to deliver what is due, and wait up to `wait` seconds until that was tried.

        An endpoint that is still being told gets what is new from the same thread, or at the next call.
        """
        with self._it.ledger.read() as reading:
            waited_for = reading.waited_for(NoteKind.EVENT)
        with self._lock:
            for to in waited_for:
                self._begin(to)
        self._wait(wait)

    def close(self, *, wait: float = LEAVING) -> None:
        """Begin nothing new, and wait a moment for what is under way; what is left is sent after the next start."""
        with self._lock:
            self._is_closed = True
        self._wait(wait)

    def _begin(self, to: str) -> None:
        running = self._threads.get(to)
        if self._is_closed or (running and running.is_alive()):
            return
        outbox = self._outboxes.setdefault(to, self._outbox(to=to))
        thread = threading.Thread(target=_quietly, args=(outbox.deliver,), name=f"tell {to}", daemon=True)
        self._threads[to] = thread
        thread.start()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _quietly(deliver: Callable[[], None]) -> None:
    """Deliver; what goes wrong is logged, and the next call tries again."""
    with story.about():
        try:
            deliver()
        except RegistrarError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("an endpoint cannot be told")


def _taker(note: Note) -> str:
    return f"the endpoint {note.data.get('shown', '')}" if note.kind is NoteKind.EVENT else "Slack"


def _batches(due: list[Note]) -> list[list[Note]]:
    """Return the layers in pieces: a commit of a hundred notes would keep whoever votes waiting as long."""
    return [layer[at : at + BATCH] for layer in _layers(due) for at in range(0, len(layer), BATCH)]


def _layers(due: list[Note]) -> list[list[Note]]:
    """Return the notes so that each list holds at most one of each lane, and a lane's notes are in order."""
    layers: list[list[Note]] = []
    depth: dict[str, int] = {}
    for note in due:
        at = depth.get(note.lane, 0)
        depth[note.lane] = at + 1
        if at == len(layers):
            layers.append([])
        layers[at].append(note)
    return layers


def _is_overtaken(note: Note, due: list[Note]) -> bool:
    """Tell whether a later row draws the same card anew anyway; a card is drawn from its present state."""
    return note.kind.is_standing and any(
        other.kind is note.kind and other.lane == note.lane and other.number > note.number for other in due
    )
