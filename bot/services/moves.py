"""The one executor of moves. Whatever caused a move, it is made here: one at a time per model, and read back."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from bot.domain import words
from bot.domain.approvals import Request, RequestState
from bot.domain.errors import AlreadyDecided, RegistrarError, RegistryRefused, Unreachable
from bot.domain.events import Event, Tag
from bot.domain.moves import UNFINISHED, Facts, Move, MoveState, Plan, Step, is_settled, plan
from bot.domain.registry import Stage
from bot.domain.text import Say, say
from bot.ports import Writing
from bot.services.context import Context
from bot.services.rows import CLOCK, card_note, end_notes, news_note, request_event

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)  # longer than the registry's time limits for the few calls of one move together
RETRY = timedelta(seconds=2)  # doubled with each attempt
RETRY_MOST = timedelta(minutes=1)
TRIES = 3  # how often a move is made again when the registry, read back, says something else


class Moves:
    """Makes the moves that were written down."""

    def __init__(self, context: Context) -> None:
        self._it = context
        self._left: dict[str, Move] = {}  # claimed, and dropped by an error: given back at the next occasion

    def run(self, model: str) -> None:
        """Make the model's intended moves, oldest first, until none is due or somebody else holds the model.

        A registry that does not answer leaves a move intended, to be made when it is back.
        """
        self._give_back()
        while (move := self._claim(model)) is not None:
            try:
                if not self._has_ended(move):
                    return
            except Exception:
                self._left[move.id] = move
                raise

    def _has_ended(self, move: Move) -> bool:
        """Make a claimed move and write its end; or give it back where the registry does not answer."""
        try:
            self._make(move)
        except AlreadyDecided as error:
            log.warning("move %s: %s", move.id, error)
        except Unreachable as error:
            log.warning("move %s waits: %s", move.id, error)
            self._release(move, words.waiting_for_registry())
            return False
        except RegistrarError as error:
            self._finish(move, MoveState.FAILED, str(error.sentence))
        return True

    def unfinished(self) -> list[str]:
        """Return the models that have moves to be made."""
        with self._it.ledger.read() as reading:
            return reading.models_with_moves(UNFINISHED)

    def _give_back(self) -> None:
        """Let go of what this process still holds without working on it; else it would wait for the lease's end."""
        for move in list(self._left.values()):
            self._release(move, words.tried_again())

    def _claim(self, model: str) -> Move | None:
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            move = tx.claim_move(model, self._it.owner, now, now + LEASE)
            if move and move.request:
                request = tx.lock_request(move.request)
                if request.state is RequestState.APPROVED:
                    tx.save_request(request.become(RequestState.EXECUTING))
        return move

    def _make(self, move: Move) -> None:
        for _ in range(TRIES):
            next_step = plan(move, Facts(versions=tuple(self._it.registry.versions(move.model))))
            if next_step.step is Step.NOTHING:
                return self._finish(move, MoveState.STALE, str(next_step.why))
            refused_alias = self._apply(move, next_step)
            if self._is_read_back(move, alias=not refused_alias):
                return self._finish(move, MoveState.DONE, refused_alias)
        if is_settled(move, self._it.registry.versions(move.model)):
            why = say("The alias {alias} does not stay on it: somebody else moves it.", alias=self._alias(move.target))
            return self._finish(move, MoveState.DONE, str(words.alias_refused(self._alias(move.target), why)))
        raise RegistryRefused(
            say("{stage} was changed by somebody else again and again while this was moved.", stage=move.target)
        )

    def _apply(self, move: Move, what: Plan) -> str:
        """Move the stage, then the alias; return why MLflow refused the alias, else nothing.

        Who holds the stage has changed by then, so a refused alias is told and cannot make the move a failed one.
        """
        if what.step is Step.TRANSITION:
            self._it.registry.transition(move.model, move.version, move.target, archive_existing=not move.keep_existing)
        try:
            self._it.registry.set_alias(move.model, self._alias(move.target), move.version)
        except RegistryRefused as error:
            return str(words.alias_refused(self._alias(move.target), error.sentence))
        return ""

    def _is_read_back(self, move: Move, *, alias: bool) -> bool:
        if not is_settled(move, self._it.registry.versions(move.model)):
            return False
        return not alias or self._it.registry.model(move.model).aliases.get(self._alias(move.target)) == move.version

    def _alias(self, target: Stage) -> str:
        return self._it.champion if target is Stage.PRODUCTION else self._it.challenger

    def _release(self, move: Move, news: Say) -> None:
        """Let the move wait. The thread is told once, and the request is approved, not moving."""
        pause = min(RETRY * 2 ** min(move.attempts - 1, 10), RETRY_MOST)
        with self._it.ledger.write() as tx:
            if tx.release_move(move, self._it.clock.now() + pause) and move.request:
                request = tx.lock_request(move.request).become(RequestState.APPROVED)
                tx.save_request(request)
                tx.add_note(card_note(request, "waiting", self._it.policy.channel_for(request.model)))
                tx.add_note(news_note(request, "waiting", news))
        self._left.pop(move.id, None)

    def _finish(self, move: Move, state: MoveState, why: str) -> None:
        """Write the end of the move, of its request and of its card in one transaction."""
        now = self._it.clock.now()
        ended = replace(move, state=state, why=why, finished_at=now)
        with self._it.ledger.write() as tx:
            tx.finish_move(ended)
            if move.request:
                self._end_request(tx, tx.lock_request(move.request), ended)
            else:
                tx.append(_move_event(ended))

    def _end_request(self, tx: Writing, request: Request, move: Move) -> None:
        state, tag = _ENDS[move.state]
        ended = request.become(state, outcome=move.why)
        tx.save_request(ended)
        tx.append(
            request_event(
                ended,
                tag,
                CLOCK if tag is Tag.STALE else move.actor,
                self._it.clock.now(),
                why=move.why,
                before=_holder(move.expected_incumbent),
                after=_holder(move.version) if tag is Tag.MOVED else None,
            )
        )
        for note in end_notes(ended, self._it.policy.channel_for(ended.model), told=None):
            tx.add_note(note)


_ENDS = {
    MoveState.DONE: (RequestState.DONE, Tag.MOVED),
    MoveState.STALE: (RequestState.STALE, Tag.STALE),
    MoveState.FAILED: (RequestState.FAILED, Tag.FAILED),
}


def _holder(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _move_event(move: Move) -> Event:
    return Event(
        at=move.finished_at or move.intended_at,
        actor=move.actor,
        tag=Tag.MOVED,
        subject=move.id,
        model=move.model,
        before=_holder(move.expected_incumbent),
        after=_holder(move.version),
        why=move.why,
    )
