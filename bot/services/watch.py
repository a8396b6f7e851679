"""Looking at the registry from time to time: MLflow keeps no history, and others move things too."""

from __future__ import annotations

import logging

from bot.domain.errors import RegistrarError, Unreachable
from bot.domain.events import Event, Tag
from bot.domain.moves import UNFINISHED, Facts, Move, MoveKind, MoveState
from bot.domain.people import Automation
from bot.domain.registry import ModelInfo, Stage, VersionInfo
from bot.ports import Reading
from bot.services.context import Context

log = logging.getLogger(__name__)

POLL = Automation("registry-poll")


class Watch:
    """Finds what changed in Production behind our back, and writes it into the history."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def poll(self) -> int:
        """Compare every model's Production with our history; return how many moves were found.

        One registry request when nothing changed, and one more for each model that did.
        """
        models = self._it.registry.models()
        return sum(self._look_at(model) for model in [*models, *self._gone({model.name for model in models})])

    def _gone(self, names: set[str]) -> list[ModelInfo]:
        """Return the models that had something in Production once and that the registry knows no more."""
        with self._it.ledger.read() as reading:
            moved = reading.models_with_moves([MoveState.DONE])
        return [ModelInfo(name=name) for name in moved if name not in names]

    def _look_at(self, model: ModelInfo) -> bool:
        """Look at one model; one that the registry refuses to tell of does not hide the others."""
        try:
            return self._look(model)
        except Unreachable:
            raise
        except RegistrarError as error:
            log.warning("%s cannot be looked at: %s", model.name, error)
            return False

    def _look(self, model: ModelInfo) -> bool:
        with self._it.ledger.read() as reading:
            known = _known_holder(reading, model.name)
            if model.latest.get(Stage.PRODUCTION) == known:
                return False
            before = reading.moves(model.name, most=1)
        found = self._found(model.name, known, self._it.registry.versions(model.name))
        return found is not None and self._record(found, before)

    def _found(self, model: str, known: int | None, versions: list[VersionInfo]) -> Move | None:
        facts = Facts(versions=tuple(versions))
        holders = facts.holders(Stage.PRODUCTION)
        if holders:
            return None if known in holders else self._move(model, holders[0], Stage.NONE, Stage.PRODUCTION, known)
        if known is None:
            return None
        left = facts.version(known)
        return self._move(model, known, Stage.PRODUCTION, left.stage if left else Stage.NONE, known)

    def _move(self, model: str, version: int, was: Stage, now_in: Stage, known: int | None) -> Move:
        now = self._it.clock.now()
        return Move(
            id=f"observed:{self._it.new_id()}", kind=MoveKind.OBSERVED, model=model, version=version, from_stage=was,
            target=now_in, expected_incumbent=known, actor=POLL, intended_at=now, finished_at=now,
            state=MoveState.DONE, why="" if known is not None else "in Production before Registrar looked",
        )  # fmt: skip

    def _record(self, found: Move, before: list[Move]) -> bool:
        """Write it down unless we moved the model ourselves while we looked."""
        with self._it.ledger.write() as tx:
            newest = tx.moves(found.model, most=1)
            if newest != before or any(move.state in UNFINISHED for move in newest):
                return False
            tx.add_move(found)
            tx.append(
                Event(at=found.intended_at, actor=POLL, tag=Tag.OBSERVED, subject=found.id, model=found.model,
                      before=_v(found.expected_incumbent), after=_v(found.version), origin="job",
                      why=found.why, evidence={"stage": found.target.value})
            )  # fmt: skip
        return True


def _known_holder(reading: Reading, model: str) -> int | None:
    for move in reading.moves(model, stage=Stage.PRODUCTION):
        if move.state is MoveState.DONE and move.target is Stage.PRODUCTION:
            return move.version
        if move.state is MoveState.DONE and move.from_stage is Stage.PRODUCTION:
            return None
    return None


def _v(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
