"""Restored backups: compare ledger and registry at the start, hold what was waiting, and let an admin decide."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.audit.anchors import last_anchor
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, Misconfigured, Refused, RegistryUnreachable
from bot.domain.core.sentence import Say
from bot.domain.policy.authorization import Act, standing
from bot.domain.registry.model import Identity, ModelInfo, VersionInfo
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions import restore_messages as words
from bot.domain.transitions.drift import BASELINE, Look
from bot.domain.transitions.registry_tags import fingerprints, ours
from bot.domain.transitions.restores import (
    CHECKER,
    LINES_MOST,
    Facts,
    Hold,
    HoldKind,
    Trace,
    is_known_bad,
    kind_of,
    news,
    of_anchor,
    traces,
)
from bot.domain.transitions.transition import UNFINISHED, MoveState
from bot.ports import AnchorFile, Copy, Held, Reading, Writing
from bot.services.core.access import Gatekeeper
from bot.services.core.command_queue import Errands
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note
from bot.services.promotions.requests import Requests
from bot.services.transitions.executor import Moves

log = logging.getLogger(__name__)

TRIES = 3  # how often a model is read again that another process changes meanwhile

Bad = tuple[VersionInfo, str]  # a version that was rolled back, and why
Lift = Callable[[Writing, Hold, Say], None]  # what lifting a hold does; the sentence says why


class Restores:
    """Finds out whether ledger or registry was restored from a backup, and holds what was waiting until it's lifted."""

    def __init__(
        self,
        context: Context,
        file: AnchorFile,
        gatekeeper: Gatekeeper,
        moves: Moves,
        errands: Errands,
        requests: Requests,
    ) -> None:
        self._it = context
        self._file = file
        self._gatekeeper = gatekeeper
        self._moves = moves
        self._errands = errands
        self._requests = requests

    # -- finding out ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare the ledger with the registry and the anchor; open a hold where they don't match.

        One registry request for a page of models, and one for each model that has changed since the last look or has
        something waiting. Raises Unreachable where that can't be read.
        """
        facts = self._read()
        found = [trace for each in facts for trace in traces(each, self._it.aliases)]
        found += filter(None, [self._anchored()])
        if not found:
            return
        bad = [
            (one, one.tags.get("rollback_reason", ""))
            for each in facts
            for one in each.versions
            if is_known_bad(one, each.written.get(one.version, ()))
        ]
        with self._it.ledger.write() as tx:
            fresh = news(found, tx.holds(), has_work=_has_work(tx, self._it.clock.now()))
            if fresh:
                hold = begin_hold(tx, self._it, kind_of(fresh), fresh)
                self._bar(tx, bad, hold)

    def _read(self) -> list[Facts]:
        """Return what there's to know of each model that has changed or that something waits for."""
        with self._it.ledger.read() as reading:
            known, waiting = reading.looks(), set(reading.models_waiting())
        there = {model.name: model for model in self._it.registry.models()}  # after the looks: see `_model`
        wanted = [
            look
            for name, look in sorted(known.items())
            if name != BASELINE and (name in waiting or name not in there or not look.is_as(there[name]))
        ]
        return [facts for look in wanted if (facts := self._model(look, there.get(look.model)))]

    def _model(self, look: Look, info: ModelInfo | None) -> Facts | None:
        """Return the facts about one model; None where other processes keep changing it, which are up to date then.

        The registry is read between two readings of the ledger: a move made in between shows in the second one, and
        what was written to the tags has been in the ledger before.
        """
        for _ in range(TRIES):
            with self._it.ledger.read() as reading:
                before = reading.moves(look.model)
            versions = self._it.registry.versions(look.model) if info else []
            with self._it.ledger.read() as reading:
                now, moves, copies = reading.look(look.model), reading.moves(look.model), reading.copies(look.model)
            if now != look:  # another process polls, so it has compared already
                return None
            if moves == before:
                return Facts(look=look, info=info, versions=versions, moves=moves, written=_written(copies))
        return None

    def _anchored(self) -> Trace | None:
        """Return a trace where the anchor file has an event that the ledger lacks. A file that's no use is logged."""
        anchor = self._it.policy.anchor
        if anchor is None or not anchor.file:
            return None
        try:
            text = self._file.read(anchor.file)
            last = None if text is None else last_anchor(text, anchor.file)
        except Misconfigured as error:
            log.warning("the audit isn't compared with its anchor: %s", error)
            return None
        if last is None:
            return None
        with self._it.ledger.read() as reading:
            link = next(iter(reading.links(after=last.number - 1, most=1)), None)
        return of_anchor(last, link.hash if link and link.number == last.number else None)

    def _bar(self, tx: Writing, bad: Sequence[Bad], hold: Hold) -> None:
        """Block versions that were rolled back after the backup, so that no rollback targets them during the hold.

        A version that the ledger already blocks is blocked again: what was approved since the earlier block doesn't
        know about the later one.
        """
        for version, why in bad:
            move = f"hold:{hold.id}"
            if (version.version, move) in {(bar.version, bar.move) for bar in tx.bars(version.model)}:
                continue
            tx.add_bar(
                Bar(
                    id=self._it.new_id(),
                    model=version.model,
                    version=version.version,
                    move=move,
                    at=hold.at,
                    by=CHECKER,
                    reason=why,
                )
            )
            tx.append(
                Event(
                    at=self._it.clock.now(),
                    actor=CHECKER,
                    tag=Tag.BARRED,
                    model=version.model,
                    why=why,
                    subject=f"{version.model} v{version.version}",
                    origin="job",
                    evidence={"hold": hold.id},
                )
            )

    # -- deciding ------------------------------------------------------------------------------------------------------

    def accept(self, caller: Caller, reason: str, *, origin: str) -> Say:
        """Lift the hold: what was waiting is carried out, with all checks at execution. Return the answer.

        Raises Refused where the caller isn't an admin or nothing is held, BadInput, and Unreachable.
        """
        hold = self.active()
        is_migrated = hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED
        sources = self._sources() if is_migrated else []

        def take_over(tx: Writing, _hold: Hold, _why: Say) -> None:
            for look, identities in sources:
                tx.save_look(look)
                tx.take_over_sources(look.model, identities)

        return self._lift(caller, reason, origin, Tag.HOLD_ACCEPTED, take_over)

    def drop(self, caller: Caller, reason: str, *, origin: str) -> Say:
        """End everything that's held, and lift the hold. Return the answer. Raises like `accept`."""
        return self._lift(caller, reason, origin, Tag.HOLD_DROPPED, self._end)

    def active(self) -> Hold | None:
        """Return the active hold."""
        with self._it.ledger.read() as reading:
            return reading.hold()

    def _lift(
        self, caller: Caller, reason: str, origin: str, tag: Tag, act: Callable[[Writing, Hold, Say], None]
    ) -> Say:
        if not reason:
            raise BadInput("This needs a reason: the channel and the audit log show it.")
        self._gatekeeper.admit(caller, Act.LIFT_HOLD, origin=origin)
        if not self._it.gate.is_open() and self.active() is None:  # nobody has compared since the restore
            raise RegistryUnreachable("MLflow isn't responding, so nothing was compared or changed. Try again later.")
        by, now = actor_of(caller), self._it.clock.now()
        with self._it.ledger.write() as tx:
            tx.lock("hold")
            hold = tx.hold()
            if hold is None:
                raise Refused(words.nothing_held())
            waited = tx.held()
            act(tx, hold, words.why_dropped(reason))
            outcome = "accepted" if tag is Tag.HOLD_ACCEPTED else "dropped"
            tx.save_hold(replace(hold, lifted_at=now, lifted_by=by, outcome=outcome))
            for request in waited.requests:  # its version may have been unblocked meanwhile
                self._requests.settle(tx, request.id, {})
            tell = words.accepted if tag is Tag.HOLD_ACCEPTED else words.dropped
            said = tell(hold, by, reason, _amounts(waited))
            tx.add_note(said_note(f"lifted:{hold.id}", self._it.policy.channel, said))
            tx.append(
                Event(
                    at=now,
                    actor=by,
                    tag=tag,
                    subject=f"hold:{hold.id}",
                    why=reason,
                    origin=origin,
                    evidence=_evidence(waited) | {"by": standing(caller, self._it.policy)},
                )
            )
        return said

    def _sources(self) -> list[tuple[Look, dict[int, Identity]]]:
        """Return what the versions are whose files lie elsewhere now, with looks that have seen that."""
        with self._it.ledger.read() as reading:
            known = reading.looks()
        return [
            (look.elsewhere(versions), {one.version: one.identity(model.created_at) for one in versions})
            for model in self._it.registry.models()
            if (look := known.get(model.name))
            and look.has_moved(model)
            and (versions := self._it.registry.versions(model.name))
        ]

    def _end(self, tx: Writing, _: Hold, why: Say) -> None:
        """End everything that the hold covers, each with its event and what people are told."""
        held, now = tx.held(), self._it.clock.now()
        for move in held.moves:
            self._moves.end(tx, replace(move, state=MoveState.STALE, why=str(why), finished_at=now))
        for request in held.requests:
            self._requests.end_as_outdated(tx, request.id, why)
        for ask in held.asks:
            self._errands.end_refused(tx, ask, Refused(why), tell=True)
        tx.drop_copies(str(why))


def begin_hold(tx: Writing, it: Context, kind: HoldKind, found: Sequence[Trace]) -> Hold:
    """Open a hold over everything that waits now, or widen the active one; tell the channel. Return the hold."""
    now, keys, lines = it.clock.now(), tuple(one.key for one in found), tuple(one.line for one in found)
    tx.lock("hold")
    hold = tx.hold()
    if hold is None:
        hold = Hold(id=it.new_id(), kind=kind, at=now, lines=lines[:LINES_MOST], keys=keys)
        tx.add_hold(hold)
    else:
        hold = replace(hold, at=now, lines=(*hold.lines, *lines)[:LINES_MOST], keys=(*hold.keys, *keys))
        tx.save_hold(hold, widen=True)
    tx.add_note(said_note(f"held:{hold.id}:{len(hold.keys)}", it.policy.channel, words.held(hold)))
    tx.append(
        Event(
            at=now,
            actor=CHECKER,
            tag=Tag.HELD,
            subject=f"hold:{hold.id}",
            why=str(words.found(hold)),
            origin="job",
            evidence={"kind": hold.kind.value, "lines": [str(line) for line in lines], **_evidence(tx.held())},
        )
    )
    return hold


def _has_work(reading: Reading, now: datetime) -> bool:
    """Tell whether something waits that is executed without a person."""
    return bool(reading.models_with_moves(UNFINISHED)) or reading.backlog(now).asks.number > 0


def _written(copies: Sequence[Copy]) -> dict[int, Collection[str]]:
    """Return the fingerprints of what was ever to be written to a model's versions, by version."""
    found: dict[int, set[str]] = {}
    for copy in copies:
        found.setdefault(copy.version, set()).update(fingerprints(ours(copy.tags)).values())
    return dict(found)


def _amounts(held: Held) -> str:
    return words.amounts(len(held.moves), len(held.asks), len(held.requests), len(held.copies))


def _evidence(held: Held) -> dict[str, object]:
    """Return what the audit keeps of held work."""
    return {
        "moves": [one.id for one in held.moves],
        "asks": [one.id for one in held.asks],
        "requests": [one.id for one in held.requests],
        "copies": len(held.copies),
    }
