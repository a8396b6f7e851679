"""Rolling back at a person's word: which version, whether it may load, and unblocking one that was rolled back."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.audit.events import Event, Tag
from bot.domain.commands.changes import Rollback, Unblock
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, FilesUnreachable, Refused, Unreachable
from bot.domain.core.sentence import Code, Name, Say, say, short
from bot.domain.policy.authorization import Act, standing
from bot.domain.registry.model import Stage, VersionInfo, VersionRef
from bot.domain.rollbacks import messages as words
from bot.domain.rollbacks.rollback import Served, rolling_back, stretches, targets
from bot.domain.transitions.drift import Look
from bot.domain.transitions.transition import UNFINISHED, Move, MoveKind
from bot.ports import Ask, Reading
from bot.services.core.access import Gatekeeper
from bot.services.core.command_queue import end
from bot.services.core.commands import Done
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note
from bot.services.promotions.requests import Requests
from bot.services.registry.queries import Lookups
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import Fitness

MOVES = 400  # of Production, that are looked through for the way back


class Rollbacks:
    """Writes rollbacks down; the one executor makes them."""

    def __init__(
        self, context: Context, lookups: Lookups, gatekeeper: Gatekeeper, fitness: Fitness, requests: Requests
    ) -> None:
        self._it = context
        self._requests = requests
        self._lookups = lookups
        self._gatekeeper = gatekeeper
        self._fitness = fitness

    def roll_back(self, ask: Ask, command: Rollback) -> Done:
        """Write down the move that puts a version back; the executor makes it. See `Hand`.

        Raises Refused where there is nothing to go back to, where the named version never served or is blocked, or
        where it may not load and nobody forces it; BadInput where it serves already.
        """
        if not command.reason:
            raise BadInput("A rollback needs a reason: whoever made the version gets to read it.")
        with self._it.ledger.read() as reading:
            served = self.served(reading, command.model)
            barred = {bar.version for bar in reading.bars(command.model)}
            look = reading.look(command.model)
        incumbent = self._incumbent(command.model, served)
        target = self._target(command, served, barred, look)
        if target == incumbent:
            raise BadInput(say("v{v} of {model} serves in Production already.", v=target, model=Name(command.model)))
        self._check_target(command.model, target)
        with self._it.ledger.read() as reading:
            identity = rollback_records.served_as(reading, command.model, target)
        reasons = self._against(command, target, incumbent)
        if reasons and not command.force:
            raise Refused(words.unfit(command.model, target, reasons))
        move = rolling_back(
            f"rollback:{ask.id}",
            command.model,
            target=target,
            incumbent=incumbent,
            actor=ask.caller,
            now=self._it.clock.now(),
            reason=command.reason,
            identity=identity,
        )
        move = replace(move, is_forced=bool(reasons))
        with self._it.ledger.write() as tx:
            if end(tx, ask):
                rollback_records.begin(tx, self._it, move)
                if reasons:
                    tx.append(self._forced(move, reasons))
        return Done(move=move.id, model=command.model)

    def check(self, command: Rollback) -> None:
        """Return if the named version can be a target, before anyone is asked for a reason. Raises Refused.

        Only the ledger is read, so whatever it can't tell (another way to name a version, a model without a history) is
        left to `roll_back`.
        """
        with self._it.ledger.read() as reading:
            is_known = bool(reading.moves(command.model, stage=Stage.PRODUCTION, most=1))
        if is_known and command.version is not None and command.version.kind == "number":
            self._check_target(command.model, int(command.version.value))

    def _check_target(self, model: str, version: int) -> None:
        """Raise Refused for a version that never served or is blocked: no `--force` helps against that."""
        with self._it.ledger.read() as reading:
            no_target = rollback_records.no_target(reading, model, version)
        if no_target is not None:
            raise Refused(no_target)

    def _against(self, command: Rollback, target: int, incumbent: int | None) -> tuple[Say, ...]:
        """Return why the target may not load. Who forces it does not wait for files that cannot be looked at."""
        try:
            return self._fitness.against(command.model, target, incumbent)
        except Unreachable as error:
            if isinstance(error, FilesUnreachable) and not command.force:  # else it would wait for them, unseen
                raise Refused(words.not_looked_at(command.model, target, error.sentence)) from error
            if not command.force:
                raise
            return (say("its run and files could not be looked at ({why})", why=error.sentence),)

    def answer(self, caller: Caller, incident_id: str, *, origin: str) -> str:
        """Write down the rollback that an incident asks about; return the model whose move is to be made.

        Raises UnknownRequest, Refused (kept in the audit where it is for who asks) and LedgerUnavailable.
        """
        with self._it.ledger.read() as reading:
            incident = reading.incident(incident_id)
        self._gatekeeper.admit(caller, Act.ROLL_BACK, model=incident.model, target=Stage.PRODUCTION, origin=origin)
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            incident = tx.incident(incident_id)
            moves = tx.moves(incident.model, stage=Stage.PRODUCTION, most=MOVES)
            if any(move.kind is MoveKind.ROLLBACK and move.state in UNFINISHED for move in moves):
                raise Refused("A rollback is under way already; the thread tells how it goes.")
            served = stretches(moves)
            if not incident.is_open or incident.target is None or not served or served[0].began.id != incident.move:
                raise Refused(
                    say(
                        "Production has moved since, so nothing was done. Look at it again: {show}",
                        show=Code(f"/model show {incident.model}"),
                    )
                )
            if (no_target := rollback_records.no_target(tx, incident.model, incident.target)) is not None:
                raise Refused(no_target)
            against = self._fitness.known(incident.model, incident.target, incident.version)
            if against:  # a click does not wait for the registry; the executor looks
                raise Refused(words.unfit(incident.model, incident.target, against))
            reason = short("; ".join(str(line) for line in incident.lines), 500)
            move = rolling_back(
                f"rollback:{incident.id}:{self._it.new_id()}",
                incident.model,
                target=incident.target,
                incumbent=incident.version,
                actor=actor_of(caller),
                now=now,
                reason=reason,
                identity=rollback_records.served_as(tx, incident.model, incident.target),
            )
            move = replace(move, incident=incident.id)
            rollback_records.begin(tx, self._it, move)
            tx.save_incident(replace(incident, rollback=move.id))
        return incident.model

    def unblock(self, caller: Caller, command: Unblock, *, origin: str) -> Say:
        """Unblock a version, and return the answer. It needs the ledger, and asks Slack about earlier approvals.

        Moves may be due after this: of requests that waited for nothing else.

        Raises Refused (kept in the audit), BadInput for a version that isn't blocked, and LedgerUnavailable.
        """
        if not command.reason:
            raise BadInput("Unblocking needs a reason: someone rolled that version back as bad.")
        self._gatekeeper.admit(caller, Act.CLEAR, model=command.model, origin=origin)
        version, now, by = self._number(command.model, command.version), self._it.clock.now(), actor_of(caller)
        profiles = self._requests.before_unblocking(command.model, version)
        with self._it.ledger.write() as tx:
            mine = [bar for bar in tx.bars(command.model) if bar.version == version]
            for one in mine:
                tx.save_bar(replace(one, cleared_at=now, cleared_by=by, clear_reason=command.reason))
            if mine:
                self._requests.unblock(tx, command.model, version, mine[-1].id, profiles)
                said = words.cleared(command.model, version, by, command.reason)
                channel = self._it.policy.channel_for(command.model)
                tx.add_note(said_note(f"cleared:{mine[0].id}", channel, said))
                tx.append(
                    Event(
                        at=now,
                        actor=by,
                        tag=Tag.CLEARED,
                        subject=f"{command.model} v{version}",
                        model=command.model,
                        why=command.reason,
                        origin=origin,
                        evidence={"by": standing(caller, self._it.policy)},
                    )
                )
        if not mine:
            raise BadInput(words.not_barred(command.model, version))
        return say("Unblocked {v} of {model}, and told the channel.", v=Code(f"v{version}"), model=Name(command.model))

    def served(self, reading: Reading, model: str) -> list[Served]:
        """Return the stretches of a model's Production, newest first."""
        return stretches(reading.moves(model, stage=Stage.PRODUCTION, most=MOVES))

    def _incumbent(self, model: str, served: list[Served]) -> int | None:
        """Return who serves, as the history has it; of a model that we do not know yet, as the registry has it."""
        if served:
            return served[0].version if served[0].until is None else None
        _, versions = self._lookups.model_and_versions(model)
        return next((one.version for one in versions if one.stage is Stage.PRODUCTION), None)

    def _target(self, command: Rollback, served: list[Served], barred: set[int], look: Look | None) -> int:
        if command.version is not None:
            return self._number(command.model, command.version)
        found = targets(served, barred, look)
        if not found:
            raise Refused(words.nothing_before(command.model))
        return found[0]

    def _number(self, model: str, ref: VersionRef) -> int:
        if ref.kind == "number":
            return int(ref.value)
        version: VersionInfo = self._lookups.version(model, ref)
        return version.version

    def _forced(self, move: Move, reasons: tuple[Say, ...]) -> Event:
        return Event(
            at=move.intended_at,
            actor=move.actor,
            tag=Tag.FORCED,
            subject=move.id,
            model=move.model,
            why=move.reason,
            origin="registrar",
            evidence={"version": move.version, "against": [str(one) for one in reasons]},
        )
