"""Moved is not yet serving: after a move of Production the serving side is told, and asked what it serves."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.policy.policy import ASKED_EVERY, Endpoint
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import BEFORE_US
from bot.domain.transitions import serving_messages as words
from bot.domain.transitions.serving_check import Heard, Serving, ServingState, asking, event, judge
from bot.domain.transitions.transition import Move, MoveState
from bot.ports import Note, NoteKind, ServingProbes, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import thread_note
from bot.services.transitions.rollback_records import redraw

log = logging.getLogger(__name__)

TOLD_FOR = timedelta(hours=24)  # how long an endpoint is tried
TOLD_AT_ONCE = 4  # models whose events go to one endpoint at the same time
CLAIMED_FOR = timedelta(seconds=30)  # longer than one probe takes; then another process may ask
AT_ONCE = 8  # probes that are asked at the same time: one that hangs keeps nobody waiting
ASKER = Automation("serving-probe")
TELLER = Automation("notify")


def moved(tx: Writing, it: Context, move: Move, lane: str) -> None:
    """Let the serving side be told of a move of Production that is done, and asked; nothing of any other move.

    To be called in the transaction that ends the move. `lane` is whose thread hears of it; empty for nobody's. What
    was in Production before Registrar looked is no move.
    """
    if move.state is not MoveState.DONE or Stage.PRODUCTION not in {move.target, move.from_stage}:
        return
    if move.why == BEFORE_US:
        return
    for endpoint in it.policy.endpoints_for(move.model):
        tx.add_note(_event_note(tx, it, move, endpoint, lane))
    _overtake(tx, move)
    probe = it.policy.probe_for(move.model)
    if probe and move.target is Stage.PRODUCTION:
        tx.save_serving(asking(move, lane, it.clock.now(), probe.timeout))
        if lane:
            tx.add_note(thread_note(lane, f"serving:{move.id}", words.not_confirmed(move)))


def _event_note(tx: Writing, it: Context, move: Move, endpoint: Endpoint, lane: str) -> Note:
    """Return the outbox row of an event. Its text is fixed here: a retry says the same."""
    request = tx.request(move.request) if move.request else None
    told = event(move, request.reason if request else move.reason, request, tx.votes(request.id) if request else ())
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return Note(
        key=f"event:{move.id}:{endpoint.key}",
        lane=f"event:{endpoint.key}:{move.model}",
        kind=NoteKind.EVENT,
        to=endpoint.key,
        created_at=it.clock.now(),
        data={"body": body, "thread": lane, "model": move.model, "version": move.version, "shown": endpoint.shown},
    )


def _overtake(tx: Writing, move: Move) -> None:
    """End the question after an earlier move: its answer means nothing any more."""
    before = tx.serving_of(move.model)
    if before is None or before.state is not ServingState.ASKED or before.move == move.id:
        return
    if tx.save_serving(replace(before, state=ServingState.OVERTAKEN, next_at=None)) and before.lane:
        tx.add_note(thread_note(before.lane, f"overtaken:{before.move}", words.overtaken(before)))


def given_up(tx: Writing, it: Context, note: Note, why: str, limit: timedelta | None) -> None:
    """Write down that an endpoint never took an event, and let the thread of the move hear; `limit` is its time."""
    told = words.not_told(note.data["shown"], why, limit=limit)
    tx.append(
        Event(
            at=it.clock.now(),
            actor=TELLER,
            tag=Tag.NOT_TOLD,
            subject=note.data["shown"],
            model=note.data["model"],
            after=f"v{note.data['version']}",
            why=why,
            origin="job",
            evidence={"event": note.key},
        )
    )
    if note.data["thread"]:
        tx.add_note(thread_note(note.data["thread"], note.key, told))


class Servings:
    """Asks the serving side until it reports the version that the registry has, or the time is over."""

    def __init__(self, context: Context, probes: ServingProbes) -> None:
        self._it = context
        self._probes = probes

    def ask(self) -> int:
        """Ask every question that is due, each in its own time; return how many came to their end.

        What goes wrong with one question is its own: it is asked again until its time is over.
        """
        with self._it.ledger.read() as reading:
            due = reading.due_servings(self._it.clock.now())
        if not due:
            return 0
        with ThreadPoolExecutor(min(AT_ONCE, len(due)), thread_name_prefix="probe") as pool:
            return sum(pool.map(self._ask_quietly, due))

    def _ask_quietly(self, serving: Serving) -> bool:
        with logging_context.about(move=serving.move, model=serving.model):
            try:
                return self._ask(serving)
            except RegistrarError as error:
                log.warning("whether v%s of %s serves: %s", serving.version, serving.model, error)
            except Exception:  # a fault of ours in one question must not stop all the others
                log.exception("whether v%s of %s serves cannot be asked", serving.version, serving.model)
        return False

    def _ask(self, serving: Serving) -> bool:
        with self._it.ledger.write() as tx:
            if not tx.claim_serving(serving, self._it.clock.now() + CLAIMED_FOR):
                return False
        heard, every = self._hear(serving)
        with self._it.ledger.write() as tx:
            return self._settle(tx, judge(serving, heard, self._it.clock.now(), every), heard)

    def _hear(self, serving: Serving) -> tuple[Heard, timedelta]:
        """Return what came of asking, and how soon to ask again. A probe that raises anything was not read."""
        probe = self._it.policy.probe_for(serving.model)
        if probe is None:
            return Heard(None, "the policy does not say any more where to ask"), ASKED_EVERY
        try:
            return Heard(self._probes.version(probe, serving.model)), probe.every
        except Unreachable as error:
            return Heard(None, str(error.sentence)), probe.every
        except Exception as error:  # also what a probe of somebody else's makes raises is a question without answer
            log.exception("the serving side of %s cannot be asked", serving.model)
            return Heard(None, type(error).__name__), probe.every

    def _settle(self, tx: Writing, now: Serving, heard: Heard) -> bool:
        """Write down where the question stands; tell the thread where it has its end. Return whether it has."""
        if not tx.save_serving(now) or now.state is ServingState.ASKED:
            return False
        is_confirmed = now.state is ServingState.CONFIRMED
        tag = Tag.SERVING_CONFIRMED if is_confirmed else Tag.SERVING_DENIED
        evidence: dict[str, Any] = {"move": now.move, "version": now.version, "seen": now.seen}
        tx.append(
            Event(
                at=self._it.clock.now(),
                actor=ASKER,
                tag=tag,
                subject=now.move,
                model=now.model,
                after=f"v{now.version}",
                why="" if is_confirmed else str(words.denied(now, heard)),
                origin="job",
                evidence=evidence,
            )
        )
        if now.lane:
            said = words.confirmed(now) if is_confirmed else words.denied(now, heard)
            tx.add_note(thread_note(now.lane, f"{now.state.value}:{now.move}", said))
        redraw(tx, self._it, now.move, now.state.value)
        return True
