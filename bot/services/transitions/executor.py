"""The one executor of moves. Whatever caused a move, it is made here: one at a time per model, and read back."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot import logging_context
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Automation, actor_id
from bot.domain.core.errors import (
    AlreadyDecided,
    FilesUnreachable,
    RegistrarError,
    RegistryRefused,
    RegistryUnreachable,
    SlackNotConnected,
    SlackUnreachable,
    UnknownVersion,
    Unreachable,
)
from bot.domain.core.sentence import Say, say
from bot.domain.monitoring.incident import Decided, Doing
from bot.domain.policy.authorization import Act
from bot.domain.policy.freezes import Frozen, frozen
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import drift
from bot.domain.promotions.request import Request, RequestState, Vote, approvals
from bot.domain.registry.model import Stage
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages, registry_tags, restore_messages
from bot.domain.transitions.transition import (
    UNFINISHED,
    Facts,
    Move,
    MoveKind,
    MoveState,
    Plan,
    Step,
    empties_staging,
    incumbent_changed,
    is_settled,
    looks_settled,
    plan,
)
from bot.ports import Copy, Reading, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    CLOCK,
    card_note,
    end_notes,
    lane_of,
    news_note,
    notice_note,
    request_event,
    said_note,
    thread_note,
)
from bot.services.promotions.final_tags import end_copy
from bot.services.promotions.gate_checks import Gating
from bot.services.promotions.voters import Profiles, Voters, meanwhile
from bot.services.transitions import rollback_records, serving_checks
from bot.services.transitions.loadability import Fitness
from bot.services.transitions.rollback_records import rollback_lane

log = logging.getLogger(__name__)

End = tuple[RequestState, Tag]  # what a request becomes, and the event that says so

LEASE = timedelta(seconds=60)  # longer than the registry's time limits for the few calls of one move together
# A move that waits for the registry is due again after this; one question for all of them comes first (reach.py).
RETRY = timedelta(seconds=2)
RETRY_MOST = timedelta(minutes=1)  # of what waits for files, Slack, or the end of a fault: doubled with each attempt
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
        self._voters = Voters(context)
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

    def end_expired(self, model: str) -> None:
        """End the model's moves whose requests expired before anything was moved; the registry isn't asked."""
        while (move := self._claim(model)) is not None:
            if self._too_late(move) is None:
                self._release(move, promotion_messages.waiting_for_registry(), pause=RETRY)
                continue
            with logging_context.about(move=move.id, request=move.request, model=move.model), suppress(AlreadyDecided):
                self._make_or_fail(move)

    def _is_dealt_with(self, move: Move) -> bool:
        """Make a claimed move and write its end, or give it back while Production is frozen.

        Return False where it was given back because the registry is away: then no other move can be made either.
        """
        with logging_context.about(
            move=move.id, request=move.request, incident=move.incident, model=move.model, actor=actor_id(move.actor)
        ):
            try:
                self._make_or_fail(move)
            except AlreadyDecided as error:
                log.warning("move %s: %s", move.id, error)
            except SlackNotConnected:
                self._leave(move)
                return False
            except SlackUnreachable as error:
                log.warning("move %s waits for Slack: %s", move.id, error)
                self._release(move, promotion_messages.waiting_for_slack(), because="waiting-for-slack")
            except Unreachable as error:
                log.warning("move %s waits: %s", move.id, error)
                self._release(move, promotion_messages.waiting_for_registry(), pause=self._pause(error))
                return False
        return True

    def _pause(self, error: Unreachable) -> timedelta | None:
        """Return when a move is due again that met this; where it was the registry, remember that it's lost."""
        if not isinstance(error, RegistryUnreachable) or isinstance(error, FilesUnreachable):
            return None
        self._it.reach.lost()
        return RETRY

    def _frozen(self, move: Move) -> Frozen | None:
        """Return what stops a move about Production now."""
        is_stopped = move.kind in STOPPED_BY_FREEZE or isinstance(move.actor, Automation)
        if not is_stopped or Stage.PRODUCTION not in {move.from_stage, move.target}:
            return None
        with self._it.ledger.read() as reading:
            freezes, hold = reading.freezes(), reading.hold()
        if hold and isinstance(move.actor, Automation):
            return Frozen(restore_messages.stops_automation(), None)
        return frozen(move.model, freezes, self._it.policy, self._it.clock.now())

    def unfinished(self) -> list[str]:
        """Return the models that have moves to be made."""
        with self._it.ledger.read() as reading:
            return reading.models_with_moves(UNFINISHED)

    def expired(self) -> list[str]:
        """Return the models that have moves to be ended by `end_expired`."""
        with self._it.ledger.read() as reading:
            return reading.models_with_expired_moves(self._it.clock.now())

    def _give_back(self) -> None:
        """Let go of what this process still holds without working on it; else it would wait for the lease's end."""
        for move in list(self._left.values()):
            self._release(move, promotion_messages.tried_again())

    def _claim(self, model: str) -> Move | None:
        if not self._it.gate.is_open():
            return None
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
            if (late := self._too_late(move)) is not None:
                self._finish(move, MoveState.STALE, str(late), end=(RequestState.EXPIRED, Tag.EXPIRED))
            else:
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
            facts = self._facts(move)
            next_step = plan(move, facts)
            if next_step.step is Step.TRANSITION:
                stopped = self._frozen(move)
                if stopped is not None and move.kind is MoveKind.ROLLBACK:
                    return self._finish(move, MoveState.STALE, str(stopped.why), Decided(Doing.FROZEN, stopped.why))
                if (unfit := self._no_target(move) or self._may_not_load(move)) is not None:
                    return self._finish(move, MoveState.STALE, str(unfit), Decided(Doing.HELD, unfit))
                if stopped is not None:
                    why = promotion_messages.waits_for_freeze(stopped.why)
                    return self._release(move, why, because="frozen", pause=FROZEN_PAUSE)
                next_step = self._through_the_gates(move, facts) or next_step
            if next_step.step is not Step.NOTHING:
                next_step = self._as_it_was_let_pass(move) or next_step
            if next_step.step is Step.NOTHING:
                return self._finish(move, MoveState.STALE, str(next_step.why))
            move = self._begin(replace(move, identity=move.identity or facts.identity(move.version)))
            refused_alias = self._apply(move, next_step)
            news = messages.staging_is_empty() if empties_staging(move, facts) else None
            if self._is_read_back(move, alias=not refused_alias):
                return self._finish(move, MoveState.DONE, refused_alias, news=news)
        if is_settled(move, self._it.registry.versions(move.model)):
            alias = self._it.aliases[move.target]
            why = say("The alias {alias} does not stay on it: somebody else moves it.", alias=alias)
            return self._finish(move, MoveState.DONE, str(messages.alias_refused(alias, why)), news=news)
        raise RegistryRefused(
            say("{stage} was changed by somebody else again and again while this was moved.", stage=move.target)
        )

    def _facts(self, move: Move) -> Facts:
        """Read what the move is decided on: the model and all its versions, or for a rollback the two it is about.

        As long as the incumbent serves, a rollback needs to know nothing else, at any number of versions.
        """
        if move.kind is MoveKind.ROLLBACK:
            return self._facts_of_rollback(move)
        versions = tuple(self._it.registry.versions(move.model))
        model = self._it.registry.model(move.model) if move.request and versions else None
        return Facts(versions=versions, model=model)

    def _facts_of_rollback(self, move: Move) -> Facts:
        if move.expected_incumbent is not None:
            with suppress(UnknownVersion):
                incumbent = self._it.registry.version(move.model, move.expected_incumbent)
                if incumbent.stage is move.target:
                    return Facts(versions=(incumbent, self._it.registry.version(move.model, move.version)))
        return Facts(versions=tuple(self._it.registry.versions(move.model)))

    def _no_target(self, move: Move) -> Say | None:
        """Return why a rollback isn't made: its version never served, or was blocked since the decision."""
        if move.kind is not MoveKind.ROLLBACK:
            return None
        with self._it.ledger.read() as reading:
            return rollback_records.no_target(reading, move.model, move.version)

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
            return rollback_messages.not_looked_at(move.model, move.version, error.sentence)
        return rollback_messages.unfit(move.model, move.version, reasons) if reasons else None

    def _through_the_gates(self, move: Move, facts: Facts) -> Plan | None:
        """Return why a promotion can't be made as it was decided: the incumbent, its rule, its figures or a gate.

        Whoever breaks the glass goes past them all.
        """
        if move.request is None or move.kind is MoveKind.BREAK_GLASS:
            return None
        with self._it.ledger.read() as reading:
            request = reading.request(move.request)
        now = self._gating.again(request, facts)
        why = incumbent_changed(request, facts) or (None if now is None else drift(request, now))
        return None if why is None else Plan(Step.NOTHING, why)

    def _too_late(self, move: Move) -> Say | None:
        """Return why a move isn't made whose request expired before anything was moved. Nothing else is asked."""
        if move.request is None or move.began_at is not None:
            return None
        with self._it.ledger.read() as reading:
            request = reading.request(move.request)
        return promotion_messages.not_moved_in_time(request) if request.is_over(self._it.clock.now()) else None

    def _as_it_was_let_pass(self, move: Move) -> Plan | None:
        """Return why a request's move can't be made as it was decided, before its first write. None: it can.

        Its history since then, and the people who let it pass, are checked. Raises SlackUnreachable.
        """
        if move.request is None or move.began_at is not None:
            return None
        with self._it.ledger.read() as reading:
            request, votes = reading.request(move.request), approvals(reading.votes(move.request))
            why = meanwhile(reading, request)
        why = why or self._still_let_pass(move, request, votes)
        return None if why is None else Plan(Step.NOTHING, why)

    def _still_let_pass(self, move: Move, request: Request, votes: list[Vote]) -> Say | None:
        """Return which right is gone that let a request pass; approvals that no longer count are marked."""
        others = [request.requester] if request.breaks_glass else []
        others += [request.overridden_by] if request.overridden_by else []
        profiles = self._voters.profiles([*others, *(vote.voter for vote in votes)])
        if request.breaks_glass:
            allowed = self._voters.decide(request.requester, Act.BREAK_GLASS, request, profiles)
            return None if allowed else break_glass_messages.glass_lapsed(allowed.rule)
        if request.overridden_by:
            allowed = self._voters.decide(request.overridden_by, Act.OVERRIDE, request, profiles)
            if not allowed:
                return promotion_messages.override_lapsed(allowed.rule)
        if all(self._voters.decide(vote.voter, Act.APPROVE, request, profiles) for vote in votes):
            return None
        left = len(self._mark_lapsed(move, request, profiles))
        return promotion_messages.too_few_left(request, left) if left < request.required else None

    def _mark_lapsed(self, move: Move, request: Request, profiles: Profiles) -> list[Vote]:
        """Mark the approvals that no longer count; return those that do."""
        with self._it.ledger.write() as tx:
            self._check_is_ours(tx, move)
            request = tx.lock_request(request.id)
            votes = self._voters.lapse(tx, request, tx.votes(request.id), profiles)
            tx.add_note(card_note(request, f"lapsed:{move.attempts}", self._it.policy.channel_for(request.model)))
        return approvals(votes)

    def _begin(self, move: Move) -> Move:
        """Record, right before the first write, that the registry may have changed from here on.

        Raises AlreadyDecided where we took so long that another process has taken the move over.
        """
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            if not tx.begin_move(move, now):
                self._check_is_ours(tx, move)
        return move if move.began_at else replace(move, began_at=now)

    def _apply(self, move: Move, what: Plan) -> str:
        """Move the stage, then the alias; return why MLflow refused the alias, else nothing.

        Who holds the stage has changed by then, so a refused alias is told and cannot make the move a failed one.
        """
        if what.step is Step.TRANSITION:
            archive = move.has_alias and not move.keep_existing
            self._it.registry.transition(move.model, move.version, move.target, archive_existing=archive)
        if not move.has_alias:
            return ""
        alias = self._it.aliases[move.target]
        if what.step is Step.TRANSITION:
            with self._it.ledger.read() as reading:
                self._check_is_ours(reading, move)
        try:
            self._it.registry.set_alias(move.model, alias, move.version)
        except RegistryRefused as error:
            return str(messages.alias_refused(alias, error.sentence))
        return ""

    def _check_is_ours(self, reading: Reading, move: Move) -> None:
        """Raise AlreadyDecided where we hung for so long that another process has taken the move over.

        It may have ended it, and made others since: what was read before is not true any more.
        """
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
            is_ours = tx.release_move(move, self._due_again(tx, move, pause))
            if is_ours and move.request:
                request = tx.lock_request(move.request).become(RequestState.APPROVED)
                tx.save_request(request)
                tx.add_note(card_note(request, because, self._it.policy.channel_for(request.model)))
                tx.add_note(news_note(request, because, news))
            elif is_ours and move.kind is MoveKind.ROLLBACK:
                tx.add_note(thread_note(rollback_lane(move), f"{move.id}:{because}", rollback_messages.waiting()))
        self._left.pop(move.id, None)

    def _due_again(self, reading: Reading, move: Move, pause: timedelta) -> datetime:
        """Return when a released move is due: after `pause`, but no later than its request expires."""
        at = self._it.clock.now() + pause
        if move.request is None or reading.move(move.id).began_at is not None:
            return at
        return min(at, reading.request(move.request).expires_at)

    def _leave(self, move: Move) -> None:
        """Leave a move to the bot beside, which can ask Slack about its approvers and is at it within seconds."""
        with self._it.ledger.write() as tx:
            if tx.release_move(move, self._it.clock.now()) and move.request:
                tx.save_request(tx.lock_request(move.request).become(RequestState.APPROVED))

    def _finish(
        self,
        move: Move,
        state: MoveState,
        why: str,
        instead: Decided | None = None,
        *,
        end: End | None = None,
        news: Say | None = None,
    ) -> None:
        """Write the end of the move, of its request and of its card in one transaction.

        `instead` is what the incident of a rollback comes to that was not made; `end` is the request's, if it isn't
        the one that goes with `state`; `news` is what its thread hears beside the end.
        """
        now = self._it.clock.now()
        ended = replace(move, state=state, why=why, finished_at=now)
        with self._it.ledger.write() as tx:
            self.end(tx, ended, instead, end)
            if news is not None:
                tx.add_note(thread_note(lane_of(move), f"besides:{move.id}", news))

    def end(self, tx: Writing, ended: Move, instead: Decided | None = None, end: End | None = None) -> None:
        """Write the same in a transaction of the caller's. Raises AlreadyDecided where it has ended already."""
        tx.finish_move(ended)
        if ended.request:
            self._end_request(tx, tx.lock_request(ended.request), ended, end or _ENDS[ended.state])
        else:
            self._end_other(tx, ended, instead)
        serving_checks.moved(tx, self._it, ended, lane_of(ended))
        rollback_records.watch_anew(tx, ended)

    def _end_other(self, tx: Writing, move: Move, instead: Decided | None) -> None:
        """Write the event of a move without a request, and what is told of it."""
        tx.append(_move_event(move))
        channel = self._it.policy.channel_for(move.model)
        if move.kind is MoveKind.ROLLBACK:
            rollback_records.ended(tx, self._it, move, instead)
        if move.kind is MoveKind.ARCHIVE and move.state is MoveState.DONE:
            tx.add_note(said_note(move.id, channel, messages.archived(move)))
            tx.add_copy(Copy(id=move.id, model=move.model, version=move.version, alias=self._it.challenger))
        if move.finding:
            finding = tx.finding(move.finding)
            if move.state is MoveState.DONE:
                finding = replace(finding, mended_by=move.actor, mended_at=move.finished_at)
                tx.save_finding(finding)
            tx.add_note(thread_note(finding.id, move.id, messages.mended(move)))
            tx.add_note(notice_note(finding, move.id, channel))

    def _end_request(self, tx: Writing, request: Request, move: Move, end: End) -> None:
        state, tag = end
        ended = request.become(state, outcome=move.why)
        tx.save_request(ended)
        tx.append(
            request_event(
                ended,
                tag,
                CLOCK if tag in {Tag.STALE, Tag.EXPIRED} else move.actor,
                self._it.clock.now(),
                why=move.why,
                before=_holder(move.expected_incumbent),
                after=_holder(move.version) if tag is Tag.MOVED else None,
            )
        )
        for note in end_notes(ended, self._it.policy.channel_for(ended.model), told=None):
            tx.add_note(note)
        if ended.state is RequestState.DONE and ended.seen and ended.seen.callers.way_back:
            tx.add_note(news_note(ended, "way-back", say("{why}.", why=ended.seen.callers.way_back)))
        tx.add_copy(self._copy(tx, ended, move))

    def _copy(self, tx: Writing, ended: Request, move: Move) -> Copy:
        """Return what the version's tags and description say of the end; nothing waits for that."""
        at = move.finished_at or move.intended_at
        if ended.state is not RequestState.DONE:
            return end_copy(tx, ended, at)
        left_staging = ended.from_stage is Stage.STAGING and ended.target is not Stage.STAGING
        line, alias = registry_tags.promoted(ended, tx.votes(ended.id), at), self._it.challenger if left_staging else ""
        return end_copy(tx, ended, at, line=line, alias=alias)


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
        tag=_EVENTS[move.kind] if move.state is MoveState.DONE else Tag.NOT_MOVED,
        subject=move.id,
        model=move.model,
        before=_holder(move.expected_incumbent),
        after=_holder(move.version),
        why=move.why or move.reason,
        origin="registrar",
        evidence={
            "kind": move.kind.value,
            "version": move.version,
            "from": move.from_stage.value,
            "to": move.target.value,
            "state": move.state.value,
            "reason": move.reason,
            "forced": move.is_forced,
            "incident": move.incident,
        },
    )


_EVENTS = {
    MoveKind.PROMOTION: Tag.MOVED,
    MoveKind.OBSERVED: Tag.OBSERVED,
    MoveKind.ARCHIVE: Tag.ARCHIVED,
    MoveKind.MEND: Tag.MENDED,
    MoveKind.ROLLBACK: Tag.ROLLED_BACK,
}
