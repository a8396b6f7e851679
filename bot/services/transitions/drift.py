"""Looking at the registry from time to time: MLflow keeps no history, and others change things too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError, UnknownModel, Unreachable
from bot.domain.core.sentence import Say
from bot.domain.registry.model import ASK_TAG, Identity, ModelInfo, Stage, VersionInfo
from bot.domain.rollbacks.rollback import BEFORE_US
from bot.domain.transitions import drift
from bot.domain.transitions.drift import BASELINE, Finding, FindingKind, Look
from bot.domain.transitions.restores import HoldKind, Trace
from bot.domain.transitions.transition import UNFINISHED, Move, MoveKind, MoveState
from bot.ports import AskState, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_note
from bot.services.registry.announcements import announce
from bot.services.transitions.restores import begin_hold
from bot.services.transitions.serving_checks import moved

log = logging.getLogger(__name__)

POLL = Automation("registry-poll")
ONE_BY_ONE = 3  # new versions of one model that get a message each; more come in one


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knew of a model when the registry was read."""

    before: Look | None  # None: never seen
    moves: list[Move]  # newest first
    is_first_poll: bool
    held: frozenset[str] = frozenset()  # moves that aren't made until an admin lifts the hold

    @property
    def is_baseline(self) -> bool:
        """Tell whether the model was there before us, so that nothing about it is new."""
        return self.before is None and self.is_first_poll

    @property
    def is_beginning(self) -> bool:
        """Tell whether the history of Production begins with what is found now, whatever waits already."""
        return self.is_baseline and _last_of_production(self.moves) is None

    @property
    def is_busy(self) -> bool:
        """Tell whether a move of ours is under way: what is seen now may be half of it.

        One that waits and hasn't begun, or that is held, changes nothing now.
        """
        return any(
            move.state is MoveState.EXECUTING or (move.state in UNFINISHED and move.began_at is not None)
            for move in self.moves
            if move.id not in self.held
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A model as the registry tells it now."""

    model: ModelInfo
    versions: Sequence[VersionInfo]

    def identities(self) -> dict[int, Identity]:
        """Return what each version is."""
        return {one.version: one.identity(self.model.created_at) for one in self.versions}


class Watch:
    """Finds what changed in the registry: new versions, and what nobody asked us for."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def poll(self) -> int:
        """Compare every model with how it looked last; return for how many there was something to write down.

        One registry request for a page of models, and one more for each model that changed.
        """
        models = self._it.registry.models()
        with self._it.ledger.read() as reading:
            known = reading.looks()
        is_first = BASELINE not in known
        if is_migrated := drift.have_moved(known, models):
            self._report_migration(known, models)
        changed = [model for model in models if not _is_as_known(known.get(model.name), model, is_migrated=is_migrated)]
        found = is_migrated + sum(self._look_quietly(model, is_first_poll=is_first) for model in changed)
        there = {model.name for model in models} | {BASELINE}
        found += sum(self._forget(look) for name, look in known.items() if name not in there)
        if is_first:
            with self._it.ledger.write() as tx:
                tx.save_look(Look(model=BASELINE, at=self._it.clock.now()))
        return found

    def _report_migration(self, known: Mapping[str, Look], models: Sequence[ModelInfo]) -> None:
        """Hold what waits, and report once that every source has changed: an admin accepts that, or doesn't."""
        moved = [model for model in models if (look := known.get(model.name)) and look.has_moved(model)]
        line = drift.migrated(moved)
        key = f"sources:{moved[0].name}:{next(iter(moved[0].identities.values())).mark}"
        with self._it.ledger.write() as tx:
            hold = tx.hold()
            if hold is None or key not in hold.keys:
                begin_hold(
                    tx,
                    self._it,
                    HoldKind.REGISTRY_MIGRATED,
                    [Trace(key=key, kind=HoldKind.REGISTRY_MIGRATED, line=line)],
                )

    def look_at(self, name: str) -> bool:
        """Look at one model now, as somebody said that it changed; nothing is believed but the registry's own answer.

        Raises Unreachable. A model that is not there, or is a prompt, is passed over.
        """
        try:
            model = self._it.registry.model(name)
        except UnknownModel:
            return False
        with self._it.ledger.read() as reading:
            is_first = reading.look(BASELINE) is None
        return self._look_quietly(model, is_first_poll=is_first)

    def _look_quietly(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        """Look at one model; one that the registry refuses to tell of does not hide the others."""
        try:
            return self._look(model, is_first_poll=is_first_poll)
        except Unreachable:
            raise
        except RegistrarError as error:
            log.warning("%s cannot be looked at: %s", model.name, error)
            return False

    def _look(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        with self._it.ledger.read() as reading:
            hold = reading.hold()
            held = frozenset(move.id for move in reading.held().moves) if hold else frozenset()
            known = _Known(reading.look(model.name), reading.moves(model.name), is_first_poll, held)
        if known.is_busy and not known.is_baseline:
            return False  # seen at the next poll, since nothing of this one is written down
        versions = self._it.registry.versions(model.name)
        if not known.is_baseline and self._is_registering(known.before, versions):
            return False  # the registration tells of it when it is whole, with its semver and who asked
        newest = next((move.id for move in known.moves if move.state not in UNFINISHED), None)
        now = drift.seen(model, versions, self._it.clock.now(), newest)
        is_migrating = hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED
        if is_migrating and known.before and drift.are_elsewhere(known.before.marks or {}, now.marks or {}):
            return False  # reported for the whole registry, and looked at once that is accepted
        if known.is_busy:
            return self._begin(known, now)
        return self._record(known, now, _Found(model, versions))

    def _is_registering(self, before: Look | None, versions: Sequence[VersionInfo]) -> bool:
        """Tell whether a version that was not there before is one that we are registering at this moment."""
        new = [one for one in versions if before is None or one.version not in before.stages]
        asks = {ask for one in new if (ask := one.tags.get(ASK_TAG))}
        with self._it.ledger.read() as reading:
            for ask in asks:
                with suppress(KeyError):  # another Registrar's, or somebody copied the tag
                    if reading.ask(ask).state is AskState.WAITING:
                        return True
        return False

    def _begin(self, known: _Known, now: Look) -> bool:
        """Take a model that is being moved at the very first poll as it is, so that it does not pass for a new one."""
        with self._it.ledger.write() as tx:
            tx.lock(f"look:{now.model}")
            if tx.look(now.model) == known.before:
                tx.save_look(now)
        return False

    def _record(self, known: _Known, now: Look, there: _Found) -> bool:
        """Write the look down with what was found, unless we moved the model ourselves while we looked."""
        before = known.before or Look(model=now.model, at=now.at)
        if known.is_baseline:
            before = now
        ours = drift.expected(before, drift.since(known.moves, before), self._it.aliases)
        identities = there.identities()
        with self._it.ledger.write() as tx:
            tx.lock(f"look:{now.model}")  # two that look at the same time find it once
            if tx.moves(now.model) != known.moves or tx.look(now.model) != known.before:
                return False
            if known.before is None or known.before.marks is None:  # an older Registrar kept no identities
                tx.trust(now.model, identities, now.at)
            observed = self._observe(tx, known, now, identities)
            tx.save_look(replace(now, after=observed.id) if observed and not known.is_beginning else now)
            found = self._announce(tx, drift.new_versions(before, now), there.versions)
            findings = self._tell(tx, known, before, ours, now)
            if observed:
                moved(tx, self._it, observed, findings[0].id if findings else "")
        return bool(found or findings or observed)

    def _observe(self, tx: Writing, known: _Known, now: Look, identities: Mapping[int, Identity]) -> Move | None:
        """Write a change of Production into the history; return what was written, of several moves the last.

        Of a model without a holder so far, every version in Production is written down, since each of them serves; last
        the one that the alias names, else the highest. Another version under the holder's number is a change as well.
        What the first poll finds was there before all that waits.
        """
        last, holders = _last_of_production(tx.moves(now.model)), now.holders(Stage.PRODUCTION)
        holder = last.version if last and last.target is Stage.PRODUCTION else None
        if holder is None and not holders:
            return None
        if holder in holders:
            was, found = (last.identity if last else None), identities.get(holder or 0)
            if was is None or found is None or was.is_same(found):
                return None
            holders = [holder] if holder else []
        if not holders:
            assert holder is not None
            left = [(holder, Stage.PRODUCTION, now.stages.get(holder, Stage.NONE))]
        else:
            named = now.aliases.get(self._it.champion)
            holders = sorted(holders, key=lambda one: (one == named, one)) if holder is None else holders[:1]
            left = [(version, Stage.NONE, Stage.PRODUCTION) for version in holders]
        why = BEFORE_US if known.is_baseline else ""
        moves = [
            replace(self._move(now.model, *each, known=holder, why=why), identity=identities.get(each[0]))
            for each in left
        ]
        return self._write(tx, moves, is_first=known.is_beginning)

    def _write(self, tx: Writing, moves: list[Move], *, is_first: bool) -> Move:
        """Write down what was found (oldest first), before all that is there or behind it; return the last."""
        if is_first:
            tx.add_earlier(moves)
        for move in moves:
            if not is_first:
                tx.add_move(move)
            self._append(tx, move)
        return moves[-1]

    def _append(self, tx: Writing, move: Move) -> None:
        tx.append(
            Event(
                at=move.intended_at,
                actor=POLL,
                tag=Tag.OBSERVED,
                subject=move.id,
                model=move.model,
                before=_v(move.expected_incumbent),
                after=_v(move.version),
                origin="job",
                why=move.why,
                evidence={"stage": move.target.value},
            )
        )

    def _move(self, model: str, version: int, was: Stage, now_in: Stage, *, known: int | None, why: str) -> Move:
        now = self._it.clock.now()
        return Move(
            id=f"observed:{self._it.new_id()}",
            kind=MoveKind.OBSERVED,
            model=model,
            version=version,
            from_stage=was,
            target=now_in,
            expected_incumbent=known,
            actor=POLL,
            intended_at=now,
            finished_at=now,
            state=MoveState.DONE,
            why=why,
        )

    def _announce(self, tx: Writing, new: tuple[int, ...], versions: Sequence[VersionInfo]) -> bool:
        there = {one.version: one for one in versions}
        batches = [(number,) for number in reversed(new)] if len(new) <= ONE_BY_ONE else [new]
        return sum(announce(tx, self._it, there[batch[0]], batch, by=None) for batch in batches) > 0

    def _tell(self, tx: Writing, known: _Known, before: Look, ours: Look, now: Look) -> list[Finding]:
        """Put into the outbox what nobody asked us for, and what contradicts itself now and did not before."""
        kept = drift.kept_holders(reversed(known.moves))
        lines = drift.changes(before, ours, now, self._it.aliases) if known.before else []
        news = [
            one
            for one in drift.disorders(now, kept, self._it.aliases)
            if known.before is None or one not in drift.disorders(before, kept, self._it.aliases)
        ]
        if not lines and not news:
            return []
        findings = [self._finding(now, [*lines, news[0].line], news[0]) if news else self._finding(now, lines, None)]
        findings += [self._finding(now, [one.line], one) for one in news[1:]]
        for finding in findings:
            self._save(tx, finding)
        return findings

    def _finding(self, now: Look, lines: list[Say], disorder: drift.Disorder | None) -> Finding:
        return Finding(
            id=self._it.new_id(),
            kind=FindingKind.CHANGED,
            model=now.model,
            at=now.at,
            lines=tuple(lines),
            mend=disorder.holder if disorder else None,
            stage=disorder.stage if disorder else Stage.PRODUCTION,
        )

    def _save(self, tx: Writing, finding: Finding) -> None:
        tx.add_finding(finding)
        tx.add_note(notice_note(finding, "found", self._it.policy.channel_for(finding.model)))
        what = [str(line) for line in finding.lines]
        tx.append(
            Event(
                at=finding.at,
                actor=POLL,
                tag=Tag.FOUND,
                subject=finding.id,
                model=finding.model,
                origin="job",
                why=" ".join(what),
                evidence={"lines": what, "mend": finding.mend},
            )
        )

    def _forget(self, look: Look) -> bool:
        """Tell of a model that is gone, and forget how it looked."""
        now = Look(model=look.model, at=self._it.clock.now())
        with self._it.ledger.write() as tx:
            tx.lock(f"look:{look.model}")
            if tx.look(look.model) != look:
                return False
            observed = self._observe(tx, _Known(look, [], is_first_poll=False), now, {})
            tx.forget_look(look.model)
            finding = self._finding(now, [drift.gone(look.model)], None)
            self._save(tx, finding)
            if observed:
                moved(tx, self._it, observed, finding.id)
        return True


def _last_of_production(moves: list[Move]) -> Move | None:
    """Return the last finished move (given newest first) into or out of Production."""
    done = (move for move in moves if move.state is MoveState.DONE)
    return next((move for move in done if Stage.PRODUCTION in {move.target, move.from_stage}), None)


def _v(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _is_as_known(look: Look | None, model: ModelInfo, *, is_migrated: bool) -> bool:
    """Tell whether there is nothing new to look at; a registry that was migrated gets one report for all its models."""
    return look is not None and (look.is_as(model) or (is_migrated and bool(look.has_moved(model))))
