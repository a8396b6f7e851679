"""Looking at the registry from time to time: MLflow keeps no history, and others change things too."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.domain import looks
from bot.domain.errors import RegistrarError, UnknownModel, Unreachable
from bot.domain.events import Event, Tag
from bot.domain.looks import BASELINE, Finding, FindingKind, Look
from bot.domain.moves import UNFINISHED, Move, MoveKind, MoveState
from bot.domain.people import Actor, Automation
from bot.domain.registry import ASK_TAG, ModelInfo, Stage, VersionInfo
from bot.domain.rollbacks import BEFORE_US
from bot.domain.text import Say
from bot.ports import AskState, Writing
from bot.services.context import Context
from bot.services.rows import notice_note
from bot.services.serving import moved

log = logging.getLogger(__name__)

POLL = Automation("registry-poll")
ONE_BY_ONE = 3  # new versions of one model that get a message each; more come in one


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knew of a model when the registry was read."""

    before: Look | None  # None: never seen
    moves: list[Move]  # newest first
    is_first_poll: bool

    @property
    def is_baseline(self) -> bool:
        """Tell whether the model was there before us, so that nothing about it is new."""
        return self.before is None and self.is_first_poll

    @property
    def is_busy(self) -> bool:
        """Tell whether a move of ours is under way: what is seen now may be half of it."""
        return any(move.state in UNFINISHED for move in self.moves)


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
        changed = [model for model in models if model.name not in known or not known[model.name].is_as(model)]
        found = sum(self._look_quietly(model, is_first_poll=is_first) for model in changed)
        there = {model.name for model in models} | {BASELINE}
        found += sum(self._forget(look) for name, look in known.items() if name not in there)
        if is_first:
            with self._it.ledger.write() as tx:
                tx.save_look(Look(model=BASELINE, at=self._it.clock.now()))
        return found

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
            known = _Known(reading.look(model.name), reading.moves(model.name), is_first_poll)
        if known.is_busy and not known.is_baseline:
            return False  # seen at the next poll, since nothing of this one is written down
        versions = self._it.registry.versions(model.name)
        if not known.is_baseline and self._is_registering(known.before, versions):
            return False  # the registration tells of it when it is whole, with its semver and who asked
        newest = next((move.id for move in known.moves if move.state not in UNFINISHED), None)
        now = looks.seen(model, versions, self._it.clock.now(), newest)
        return self._begin(known, now) if known.is_busy else self._record(known, now, versions)

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

    def _record(self, known: _Known, now: Look, versions: Sequence[VersionInfo]) -> bool:
        """Write the look down with what was found, unless we moved the model ourselves while we looked."""
        before = known.before or Look(model=now.model, at=now.at)
        if known.is_baseline:
            before = now
        ours = looks.expected(before, _since(known.moves, before.after), self._it.aliases)
        with self._it.ledger.write() as tx:
            tx.lock(f"look:{now.model}")  # two that look at the same time find it once
            if tx.moves(now.model) != known.moves or tx.look(now.model) != known.before:
                return False
            why = BEFORE_US if known.is_baseline else ""
            observed = self._observe(tx, now, known.moves, why)
            tx.save_look(now if observed is None else replace(now, after=observed.id))
            found = self._announce(tx, looks.new_versions(before, now), versions)
            findings = self._tell(tx, known, before, ours, now)
            if observed:
                moved(tx, self._it, observed, findings[0].id if findings else "")
        return bool(found or findings or observed)

    def _observe(self, tx: Writing, now: Look, moves: list[Move], why: str = "") -> Move | None:
        """Write a change of Production into the history; return what was written."""
        holder, holders = _known_holder(moves), now.holders(Stage.PRODUCTION)
        if holder in holders or (holder is None and not holders):
            return None
        if holders:
            move = self._move(now.model, holders[0], Stage.NONE, Stage.PRODUCTION, holder, why)
        else:
            assert holder is not None
            move = self._move(now.model, holder, Stage.PRODUCTION, now.stages.get(holder, Stage.NONE), holder, why)
        tx.add_move(move)
        tx.append(
            Event(at=move.intended_at, actor=POLL, tag=Tag.OBSERVED, subject=move.id, model=move.model,
                  before=_v(move.expected_incumbent), after=_v(move.version), origin="job",
                  why=move.why, evidence={"stage": move.target.value})
        )  # fmt: skip
        return move

    def _move(self, model: str, version: int, was: Stage, now_in: Stage, known: int | None, why: str) -> Move:
        now = self._it.clock.now()
        return Move(
            id=f"observed:{self._it.new_id()}", kind=MoveKind.OBSERVED, model=model, version=version, from_stage=was,
            target=now_in, expected_incumbent=known, actor=POLL, intended_at=now, finished_at=now,
            state=MoveState.DONE, why=why,
        )  # fmt: skip

    def _announce(self, tx: Writing, new: tuple[int, ...], versions: Sequence[VersionInfo]) -> bool:
        there = {one.version: one for one in versions}
        batches = [(number,) for number in reversed(new)] if len(new) <= ONE_BY_ONE else [new]
        return sum(announce(tx, self._it, there[batch[0]], batch, by=None) for batch in batches) > 0

    def _tell(self, tx: Writing, known: _Known, before: Look, ours: Look, now: Look) -> list[Finding]:
        """Put into the outbox what nobody asked us for, and what contradicts itself now and did not before."""
        kept = looks.kept_holders(reversed(known.moves))
        lines = looks.changes(before, ours, now, self._it.aliases) if known.before else []
        news = [one for one in looks.disorders(now, kept, self._it.aliases)
                if known.before is None or one not in looks.disorders(before, kept, self._it.aliases)]  # fmt: skip
        if not lines and not news:
            return []
        findings = [self._finding(now, [*lines, news[0].line], news[0]) if news else self._finding(now, lines, None)]
        findings += [self._finding(now, [one.line], one) for one in news[1:]]
        for finding in findings:
            self._save(tx, finding)
        return findings

    def _finding(self, now: Look, lines: list[Say], disorder: looks.Disorder | None) -> Finding:
        return Finding(
            id=self._it.new_id(), kind=FindingKind.CHANGED, model=now.model, at=now.at, lines=tuple(lines),
            mend=disorder.holder if disorder else None, stage=disorder.stage if disorder else Stage.PRODUCTION,
        )  # fmt: skip

    def _save(self, tx: Writing, finding: Finding) -> None:
        tx.add_finding(finding)
        tx.add_note(notice_note(finding, "found", self._it.policy.channel_for(finding.model)))
        what = [str(line) for line in finding.lines]
        tx.append(
            Event(at=finding.at, actor=POLL, tag=Tag.FOUND, subject=finding.id, model=finding.model, origin="job",
                  why=" ".join(what), evidence={"lines": what, "mend": finding.mend})
        )  # fmt: skip

    def _forget(self, look: Look) -> bool:
        """Tell of a model that is gone, and forget how it looked."""
        now = Look(model=look.model, at=self._it.clock.now())
        with self._it.ledger.write() as tx:
            tx.lock(f"look:{look.model}")
            if tx.look(look.model) != look:
                return False
            moves = tx.moves(look.model)
            observed = self._observe(tx, now, moves)
            tx.forget_look(look.model)
            finding = self._finding(now, [looks.gone(look.model)], None)
            self._save(tx, finding)
            if observed:
                moved(tx, self._it, observed, finding.id)
        return True


def announce(tx: Writing, it: Context, version: VersionInfo, numbers: tuple[int, ...], *, by: Actor | None) -> bool:
    """Let the channel hear of new versions, `version` the newest of them; return False where it has heard already."""
    finding = Finding(
        id=_announcement_id(version), kind=FindingKind.REGISTERED, model=version.model, at=it.clock.now(),
        versions=numbers, by=by, lines=tuple(looks.about(version)),
    )  # fmt: skip
    if not tx.add_finding(finding):
        return False
    tx.add_note(notice_note(finding, "new", it.policy.channel_for(version.model)))
    return True


def _announcement_id(version: VersionInfo) -> str:
    """Return the same id whoever finds the version; another one for one of that number after a deletion."""
    made = version.created_at.isoformat() if version.created_at else ""
    return "n" + hashlib.sha256(f"{version.model}\n{version.version}\n{made}".encode()).hexdigest()[:15]


def _since(moves: list[Move], after: str | None) -> list[Move]:
    """Return the moves (newest first) that came after that one, oldest first; all of them where it is None."""
    fresh: list[Move] = []
    for move in moves:
        if move.id == after:
            break
        fresh.append(move)
    return fresh[::-1]


def _known_holder(moves: list[Move]) -> int | None:
    """Return who was in Production, as the finished moves (newest first) have it."""
    for move in (one for one in moves if one.state is MoveState.DONE):
        if move.target is Stage.PRODUCTION:
            return move.version
        if move.from_stage is Stage.PRODUCTION:
            return None
    return None


def _v(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
