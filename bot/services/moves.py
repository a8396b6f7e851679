"""The one executor of moves. Whatever caused a move, it is made here: one at a time per model, and read back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from bot import story
from bot.domain import mirror, rollback_words, words
from bot.domain.approvals import Request, RequestState, Vote
from bot.domain.errors import (
    AlreadyDecided,
    FilesUnreachable,
    RegistrarError,
    RegistryRefused,
    UnknownVersion,
    Unreachable,
)
from bot.domain.events import Event, Tag
from bot.domain.freezes import Frozen, frozen
from bot.domain.gates import drift
from bot.domain.incidents import Decided, Doing
from bot.domain.moves import UNFINISHED, Facts, Move, MoveKind, MoveState, Plan, Step, is_settled, looks_settled, plan
from bot.domain.people import Automation, actor_id
from bot.domain.registry import Stage, VersionInfo
from bot.domain.text import Say, say
from bot.ports import Copy, Writing
from bot.services import rolling, serving
from bot.services.context import Context
from bot.services.fitness import Fitness
from bot.services.gating import Gating
from bot.services.rolling import rollback_lane
from bot.services.rows import (
    CLOCK,
    card_note,
    copy,
    end_notes,
    news_note,
    notice_note,
    request_event,
    said_note,
    thread_note,
)

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)  # longer than the registry's time limits for the few calls of one move together
RETRY = timedelta(seconds=2)  # doubled with each attempt
RETRY_MOST = timedelta(minutes=1)
FROZEN_PAUSE = timedelta(seconds=10)  # until it is looked again whether Production is still frozen
# What a freeze stops, beside all that an automation does. Whoever takes a version out of Production in an emergency is
# not kept from it.
STOPPED_BY_FREEZE = frozenset({MoveKind.PROMOTION, MoveKind.MEND})
TRIES = 3  # how often a move is made again when the registry, read back, says something else


class Moves:
    """Makes the moves that were written down."""

    def __init__(self, context: Context, gating: Gating, fitness: Fitness) -> None:
        self._it = context
        self._fitness = fitness
        self._gating = gating
        self._left: dict[str, Move] = {}  # claimed, and dropped by an error: given back at the next occasion

    def run(self, model: str) -> None:
        """Make the model's intended moves, oldest first, until none is due or somebody else holds the model.

        A registry that does not answer leaves a move intended, to be made when it is back.
        """
        self._give_back()
        while (move := self._claim(model)) is not None:
            try:
                if not self._is_dealt_with(move):
                    return
            except Exception:
                self._left[move.id] = move
                raise

    def _is_dealt_with(self, move: Move) -> bool:
        """Make a claimed move and write its end, or give it back while Production is frozen.

        Return False where it was given back because the registry is away: then no other move can be made either.
        """
        with story.about(
            move=move.id, request=move.request, incident=move.incident, model=move.model, actor=actor_id(move.actor)
        ):
            try:
                self._make_or_fail(move)
            except AlreadyDecided as error:
                log.warning("move %s: %s", move.id, error)
            except Unreachable as error:
                log.warning("move %s waits: %s", move.id, error)
                self._release(move, words.waiting_for_registry())
                return False
        return True

    def _frozen(self, move: Move) -> Frozen | None:
        """Return what stops a move about Production now."""
        is_stopped = move.kind in STOPPED_BY_FREEZE or isinstance(move.actor, Automation)
        if not is_stopped or Stage.PRODUCTION not in {move.from_stage, move.target}:
            return None
        with self._it.ledger.read() as reading:
            freezes = reading.freezes()
        return frozen(move.model, freezes, self._it.policy, self._it.clock.now())

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

    def _make_or_fail(self, move: Move) -> None:
        try:
            self._make(move)
        except (AlreadyDecided, Unreachable):
            raise
        except RegistrarError as error:
            self._finish(move, MoveState.FAILED, str(error.sentence))

    def _make(self, move: Move) -> None:
        """Bring the move to its end; or give it back where Production is frozen and nothing was moved yet.

        What an earlier try has moved is finished whatever is frozen: the alias follows, and people are told.
        """
        for _ in range(TRIES):
            versions = self._facts(move)
            next_step = plan(move, Facts(versions=tuple(versions)))
            if next_step.step is Step.TRANSITION:
                stopped = self._frozen(move)
                if stopped is not None and move.kind is MoveKind.ROLLBACK:
                    return self._finish(move, MoveState.STALE, str(stopped.why), Decided(Doing.FROZEN, stopped.why))
                if (unfit := self._may_not_load(move)) is not None:
                    return self._finish(move, MoveState.STALE, str(unfit), Decided(Doing.HELD, unfit))
                if stopped is not None:
                    why = words.waits_for_freeze(stopped.why)
                    return self._release(move, why, because="frozen", pause=FROZEN_PAUSE)
                next_step = self._through_the_gates(move, versions) or next_step
            if next_step.step is Step.NOTHING:
                return self._finish(move, MoveState.STALE, str(next_step.why))
            refused_alias = self._apply(move, next_step)
            if self._is_read_back(move, alias=not refused_alias):
                return self._finish(move, MoveState.DONE, refused_alias)
        if is_settled(move, self._it.registry.versions(move.model)):
            alias = self._it.aliases[move.target]
            why = say("The alias {alias} does not stay on it: somebody else moves it.", alias=alias)
            return self._finish(move, MoveState.DONE, str(words.alias_refused(alias, why)))
        raise RegistryRefused(
            say("{stage} was changed by somebody else again and again while this was moved.", stage=move.target)
        )

    def _facts(self, move: Move) -> Sequence[VersionInfo]:
        """Read what the move is decided on: all versions, or for a rollback first the one that is to be taken out.

        As long as that one serves, nothing else need be known, at any number of versions.
        """
        if move.kind is MoveKind.ROLLBACK and move.expected_incumbent is not None:
            with suppress(UnknownVersion):
                incumbent = self._it.registry.version(move.model, move.expected_incumbent)
                if incumbent.stage is move.target:
                    return [incumbent]
        return self._it.registry.versions(move.model)

    def _may_not_load(self, move: Move) -> Say | None:
        """Return why a rollback is not made that nobody forces: its version may not load.

        Mostly whoever decided has looked just now; a click has not, nor has a process that takes over. Of files that
        are away a person hears, who may force it; a monitor has looked before it decided, and waits.
        """
        if move.kind is not MoveKind.ROLLBACK or move.is_forced:
            return None
        try:
            reasons = self._fitness.against(move.model, move.version, move.expected_incumbent)
        except FilesUnreachable as error:
            if isinstance(move.actor, Automation):
                raise
            return rollback_words.not_looked_at(move.model, move.version, error.sentence)
        return rollback_words.unfit(move.model, move.version, reasons) if reasons else None

    def _through_the_gates(self, move: Move, versions: Sequence[VersionInfo]) -> Plan | None:
        """Return why a promotion cannot be made as it was decided: its rule, its figures or a gate. None: it can.

        Whoever breaks the glass goes past them all.
        """
        if move.request is None or move.kind is MoveKind.BREAK_GLASS:
            return None
        with self._it.ledger.read() as reading:
            request = reading.request(move.request)
        now = self._gating.again(request, versions)
        why = None if now is None else drift(request, now)
        return None if why is None else Plan(Step.NOTHING, why)

    def _apply(self, move: Move, what: Plan) -> str:
        """Move the stage, then the alias; return why MLflow refused the alias, else nothing.

        Who holds the stage has changed by then, so a refused alias is told and cannot make the move a failed one.
        """
        if what.step is Step.TRANSITION:
            self._check_is_ours(move)
            archive = move.has_alias and not move.keep_existing
            self._it.registry.transition(move.model, move.version, move.target, archive_existing=archive)
        if not move.has_alias:
            return ""
        alias = self._it.aliases[move.target]
        self._check_is_ours(move)
        try:
            self._it.registry.set_alias(move.model, alias, move.version)
        except RegistryRefused as error:
            return str(words.alias_refused(alias, error.sentence))
        return ""

    def _check_is_ours(self, move: Move) -> None:
        """Raise AlreadyDecided where we hung for so long that another process has taken the move over.

        It may have ended it, and made others since: what was read before is not true any more.
        """
        with self._it.ledger.read() as reading:
            now = reading.move(move.id)
        if (now.state, now.attempts) != (MoveState.EXECUTING, move.attempts):
            raise AlreadyDecided(say("It was taken over and is {state} now.", state=now.state.value))

    def _is_read_back(self, move: Move, *, alias: bool) -> bool:
        """Read stage and alias back in one request.

        Of a stage that keeps its former holder the summary of the model would name the higher number only; and it
        takes the longer the more versions there are, which a rollback does not wait for.
        """
        wanted = self._it.aliases[move.target] if alias and move.has_alias else None
        if move.has_alias and not move.keep_existing and move.kind is not MoveKind.ROLLBACK:
            return looks_settled(move, self._it.registry.model(move.model), wanted)
        version = self._it.registry.version(move.model, move.version)
        return version.stage is move.target and (wanted is None or wanted in version.aliases)

    def _release(self, move: Move, news: Say, *, because: str = "waiting", pause: timedelta | None = None) -> None:
        """Let the move wait. The thread is told once, and the request is approved, not moving."""
        pause = pause or min(RETRY * 2 ** min(move.attempts - 1, 10), RETRY_MOST)
        with self._it.ledger.write() as tx:
            if tx.release_move(move, self._it.clock.now() + pause) and move.request:
                request = tx.lock_request(move.request).become(RequestState.APPROVED)
                tx.save_request(request)
                tx.add_note(card_note(request, because, self._it.policy.channel_for(request.model)))
                tx.add_note(news_note(request, because, news))
            elif move.kind is MoveKind.ROLLBACK:
                tx.add_note(thread_note(rollback_lane(move), f"{move.id}:{because}", rollback_words.waiting()))
        self._left.pop(move.id, None)

    def _finish(self, move: Move, state: MoveState, why: str, instead: Decided | None = None) -> None:
        """Write the end of the move, of its request and of its card in one transaction.

        `instead` is what the incident of a rollback comes to that was not made.
        """
        now = self._it.clock.now()
        ended = replace(move, state=state, why=why, finished_at=now)
        with self._it.ledger.write() as tx:
            tx.finish_move(ended)
            if move.request:
                self._end_request(tx, tx.lock_request(move.request), ended)
            else:
                self._end_other(tx, ended, instead)
            serving.moved(tx, self._it, ended, _lane(ended))
            rolling.watch_anew(tx, ended)

    def _end_other(self, tx: Writing, move: Move, instead: Decided | None) -> None:
        """Write the event of a move without a request, and what is told of it."""
        tx.append(_move_event(move))
        channel = self._it.policy.channel_for(move.model)
        if move.kind is MoveKind.ROLLBACK:
            rolling.ended(tx, self._it, move, instead)
        if move.kind is MoveKind.ARCHIVE and move.state is MoveState.DONE:
            tx.add_note(said_note(move.id, channel, words.archived(move)))
            tx.add_copy(Copy(id=move.id, model=move.model, version=move.version, alias=self._it.challenger))
        if move.finding:
            finding = tx.finding(move.finding)
            if move.state is MoveState.DONE:
                finding = replace(finding, mended_by=move.actor, mended_at=move.finished_at)
                tx.save_finding(finding)
            tx.add_note(thread_note(finding.id, move.id, words.mended(move)))
            tx.add_note(notice_note(finding, move.id, channel))

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
        tx.add_copy(self._copy(ended, move, tx.votes(ended.id)))

    def _copy(self, ended: Request, move: Move, votes: list[Vote]) -> Copy:
        """Return what the version's tags and description say of the end; nothing waits for that."""
        at = move.finished_at or move.intended_at
        tags = mirror.ended(ended, votes, at)
        if ended.state is not RequestState.DONE:
            return copy(ended, ended.state.value, tags)
        left_staging = ended.from_stage is Stage.STAGING and ended.target is not Stage.STAGING
        line, alias = mirror.promoted(ended, votes, at), self._it.challenger if left_staging else ""
        return copy(ended, ended.state.value, tags, line=line, alias=alias)


_ENDS = {
    MoveState.DONE: (RequestState.DONE, Tag.MOVED),
    MoveState.STALE: (RequestState.STALE, Tag.STALE),
    MoveState.FAILED: (RequestState.FAILED, Tag.FAILED),
}


def _lane(move: Move) -> str:
    """Return whose thread hears of a move: a request's, a finding's, an incident's, else its own message's."""
    return move.request or move.finding or move.incident or move.id


def _holder(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _move_event(move: Move) -> Event:
    return Event(
        at=move.finished_at or move.intended_at,
        actor=move.actor,
        tag=_EVENTS[move.kind] if move.state is MoveState.DONE else Tag.NOT_MOVED,
        subject=move.id,
        model=move.model,
        before=_holder(move.expected_incumbent),
        after=_holder(move.version),
        why=move.why or move.reason,
        origin="registrar",
        evidence={"kind": move.kind.value, "version": move.version, "from": move.from_stage.value,
                  "to": move.target.value, "state": move.state.value, "reason": move.reason, "forced": move.is_forced,
                  "incident": move.incident},
    )  # fmt: skip


_EVENTS = {
    MoveKind.PROMOTION: Tag.MOVED, MoveKind.OBSERVED: Tag.OBSERVED, MoveKind.ARCHIVE: Tag.ARCHIVED,
    MoveKind.MEND: Tag.MENDED, MoveKind.ROLLBACK: Tag.ROLLED_BACK,
}  # fmt: skip
