"""The part of the ledger about transitions, rollback blocks, and serving checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import StageEntry, Transition, TransitionState
from bot.ports.records import Claim


class TransitionReader(Protocol):
    """Reads transitions, rollback blocks, and serving checks."""

    def transition(self, transition_id: str) -> Transition:
        """Return a transition. Raises KeyError if none has this id."""

    def transitions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before_id: str | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[Transition]:
        """Return a model's transitions, finished and unfinished, newest first.

        `stage`: only transitions into or out of this stage. `before_id`: only transitions older than the one with this
        id. `until`: only transitions intended up to this time, and a few later ones as context. `limit`:
        how many to return at most.
        """

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        """Return the first finished transition that put a version of the model into the stage, or None."""

    def latest_entries(self, stage: Stage, models: Collection[str]) -> dict[str, StageEntry]:
        """Return each model's latest finished transition into a stage, by model.

        `models`: only these, of those that have a registry snapshot.
        """

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished transitions that put this version into Production, newest first.

        At most the last 100.
        """

    def production_transitions(self) -> Iterator[Transition]:
        """Yield every finished transition into Production, or out of it in the registry directly, oldest first.

        They're read while they're consumed, so only a few are in memory at a time.
        """

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        """Return the names of the models that have transitions in these states, sorted."""

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        """Return the names of the models with an intended transition whose request has expired by `now`, sorted.

        A transition that has begun to write to the registry doesn't count.
        """

    def rollbacks(self, since: datetime) -> list[Transition]:
        """Return the rollbacks that were intended at or after `since`, newest first.

        Includes rollbacks in every state, even failed ones.
        """

    def rollback_blocks(self, model: str | None) -> list[RollbackBlock]:
        """Return the model's rollback blocks that no one has cleared, oldest first; all models' for None."""

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return the serving check for a transition, or None."""

    def serving_checks(self, transition_ids: Collection[str]) -> dict[str, ServingCheck]:
        """Return the serving checks for these transitions, by the transition's id."""

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return the model's latest serving check, or None."""

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the pending serving checks that are due at `now`, the longest overdue first."""

    def passport(self, move: str) -> Passport | None:
        """Return the latest passport for the transition with this id, or None."""

    def passports(self, model: str, version: int) -> list[Passport]:
        """Return all passports under a model's version number, newest first."""

    def unexpired_passports(self, now: datetime, model: str | None = None) -> list[Passport]:
        """Return all passports that haven't expired by `now`, oldest first, with empty envelopes.

        `model`: only this model's.
        """

    def changes_since_passports(self, now: datetime, model: str | None = None) -> list[Transition]:
        """Return the finished transitions of each model from the first one on whose passport hasn't expired by `now`.

        They're in the order of the ledger. `model`: only this model's.
        """

    def transitions_to_certify(self, key: str, issued_since: datetime, valid_until: datetime) -> list[Transition]:
        """Return the transitions that last put a version into Staging or Production and that need a passport.

        The files of the version are recorded, and the transition has no passport that is valid until `valid_until` and
        was signed with `key` or issued at or after `issued_since`. Changes made outside Registrar don't count, and
        neither do repairs.
        """


class TransitionWriter(TransitionReader, Protocol):
    """Changes transitions, rollback blocks, and serving checks."""

    def add_transition(self, transition: Transition) -> bool:
        """Insert a transition; return False if its id is already there."""

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert transitions before every transition in the ledger.

        `earlier`: the transitions, oldest first.
        """

    def claim_transition(self, model: str, claim: Claim) -> Transition | None:
        """Claim the model's next transition and return it as executing, or None.

        The next transition is the oldest one that is intended and due, or executing with a claim that has expired.
        Returns None if there is none, if it's covered by a hold, or if another owner is executing a transition of this
        model.
        """

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed transition is about to write to the registry.

        The time of the first attempt is kept. Returns False, and changes nothing, if another owner has claimed it
        since.
        """

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Return a claimed transition to intended, to be retried at `not_before`.

        Its `why` says what it waits for. The time of the first attempt is kept. Returns False, and changes nothing, if
        another owner has claimed it since.
        """

    def finish_transition(self, transition: Transition) -> None:
        """Write a transition's final state and release its model.

        `began_at` stays as `begin_transition` wrote it. Raises KeyError if the transition doesn't exist, and
        AlreadyDecided if it has ended or another owner has claimed it since.
        """

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in the version identities that an older release didn't record.

        Covers the model's transitions, which are marked as taken on trust at `now`, and its requests. `identities`: the
        current identity of each version. A version created after the row was written is a different one, so the row
        stays unchanged.
        """

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Update where the files of the model's versions are, in its requests and transitions.

        `identities`: the current identity of each version. Only the source of an identity that is otherwise the same
        changes.
        """

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        """Insert a rollback block; return False if its id is already there."""

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write the block's current state."""

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Insert or update a serving check; return False if it has already ended."""

    def add_passport(self, passport: Passport) -> bool:
        """Insert a passport; return False if its id is already there."""
