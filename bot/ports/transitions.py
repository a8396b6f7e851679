"""The part of the ledger about transitions, rollback blocks, and serving checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import Transition, TransitionState


class TransitionReader(Protocol):
    """Reads transitions, rollback blocks, and serving checks."""

    def transition(self, transition_id: str) -> Transition:
        """Return the move. Raises KeyError."""
        ...

    def transitions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before_id: str | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[Transition]:
        """Return the finished and unfinished moves of a model, newest first; only those into or out of `stage`.

        Those before the move with the id `before`. With `until` those up to that time, and some that followed.
        """
        ...

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        """Return the first move that put a version of the model into the stage."""
        ...

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished moves that put this version into Production, newest first: the last 100."""
        ...

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        """Return the models that have moves in these states."""
        ...

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        """Return the models that have a move to be made whose request expired before anything was moved."""
        ...

    def rollbacks(self, since: datetime) -> list[Transition]:
        """Return the rollbacks that were intended since then, newest first; those that came to nothing included."""
        ...

    def rollback_blocks(self, model: str) -> list[RollbackBlock]:
        """Return the bars of a model that nobody has cleared, oldest first."""
        ...

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return what the serving side was asked after a move."""
        ...

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return what the serving side of a model was asked last."""
        ...

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the questions to the serving side that are to be asked (again) now."""
        ...


class TransitionWriter(TransitionReader, Protocol):
    """Changes transitions, rollback blocks, and serving checks."""

    def add_transition(self, transition: Transition) -> bool:
        """Insert it; return False where a move with this id is there already."""
        ...

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert moves (oldest first) that come before every move that is there."""
        ...

    def claim_transition(self, model: str, owner: str, now: datetime, until: datetime) -> Transition | None:
        """Take the model's oldest move that is intended and due, or executing with an owner whose lease is over.

        None that is held. Return it as executing, or None where there is none or the model is held by another owner.
        """
        ...

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed move is about to write to the registry; the first such time is kept.

        Return False where it was taken over since `move` was claimed: then nothing was changed.
        """
        ...

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Give a claimed move back as intended, to be tried again at `not_before`. `began_at` is kept.

        Return False where it was taken over since `move` was claimed: then nothing was changed.
        """
        ...

    def finish_transition(self, transition: Transition) -> None:
        """Write its end state and let go of the model; `began_at` is kept as `begin_move` wrote it.

        Raises AlreadyDecided where it was taken over or has ended.
        """
        ...

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in what a model's versions are, where an older Registrar's moves and open requests don't tell.

        Moves are marked as taken on trust. A version that was created after the row was written is another one.
        """
        ...

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Let the model's requests and moves name where the files of their versions are now."""
        ...

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write its present state."""
        ...

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        ...

    def claim_serving_check(self, check: ServingCheck, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        ...
