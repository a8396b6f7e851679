"""Ledger ports for transitions, rollback blocks, serving checks, and passports."""

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
    """Reads transitions, rollback blocks, serving checks, and passports."""

    def transition(self, transition_id: str) -> Transition:
        """Return a transition. Raises KeyError if none has this ID."""

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
        ID. `until`: only transitions intended up to this time, and a few later ones for context. `limit`: the maximum
        number to return.
        """

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        """Return the first finished transition that put a version of the model into the stage, or None."""

    def latest_entries(self, stage: Stage, models: Collection[str]) -> dict[str, StageEntry]:
        """Return each model's latest finished transition into a stage, by model name.

        `models`: the models to return; those without a registry snapshot are left out.
        """

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished transitions that put this version into Production, newest first. At most the last 100."""

    def production_transitions(self) -> Iterator[Transition]:
        """Yield every finished transition into Production, or out of it outside Registrar, oldest first.

        They're read as they're consumed, so only a few are in memory at a time.
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
        """Return the model's uncleared rollback blocks, oldest first; those of all models if `model` is None."""

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return the serving check for a transition, or None."""

    def serving_checks(self, transition_ids: Collection[str]) -> dict[str, ServingCheck]:
        """Return the serving checks for these transitions, by transition ID."""

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return the model's latest serving check, or None."""

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the pending serving checks that are due at `now`, longest overdue first."""

    def passport(self, move: str) -> Passport | None:
        """Return the latest passport for the transition with this ID, or None."""

    def passports(self, model: str, version: int) -> list[Passport]:
        """Return all passports for a model's version number, newest first."""

    def unexpired_passports(self, now: datetime, model: str | None = None) -> list[Passport]:
        """Return all passports that haven't expired by `now`, oldest first, with empty envelopes.

        `model`: only this model's passports; None means any.
        """

    def changes_since_passports(self, now: datetime, model: str | None = None) -> list[Transition]:
        """Return each model's finished transitions, starting with the first whose passport is unexpired at `now`.

        They're in ledger order. `model`: only this model's transitions; None means any.
        """

    def transitions_to_certify(self, key: str, issued_since: datetime, valid_until: datetime) -> list[Transition]:
        """Return each model's latest transitions into Staging and Production, if they need a passport.

        A transition needs one if its version's files are recorded, and no passport of the transition both expires after
        `valid_until` and was either signed with `key` or issued at or after `issued_since`. Repairs and changes made
        outside Registrar don't count.
        """


class TransitionWriter(TransitionReader, Protocol):
    """Changes transitions, rollback blocks, serving checks, and passports."""

    def add_transition(self, transition: Transition) -> bool:
        """Insert a transition; return False if its ID already exists."""

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert transitions before every other transition in the ledger. `earlier`: the transitions, oldest first."""

    def claim_transition(self, model: str, claim: Claim) -> Transition | None:
        """Claim the model's next transition and return it as executing, or None.

        The next transition is the oldest one that no hold covers and that's either intended and due, or executing with
        an expired claim. Returns None if there's none, or if a transition of this model is executing under an unexpired
        claim.
        """

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed transition is about to write to the registry.

        The time of the first attempt is kept. Returns False, and changes nothing, if another owner has claimed it
        since.
        """

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Set a claimed transition back to intended, so that it's retried at `not_before`.

        Its `why` says what it's waiting for. The time of the first attempt is kept. Returns False, and changes nothing,
        if another owner has claimed it since.
        """

    def finish_transition(self, transition: Transition) -> None:
        """Write a transition's final state and release its model.

        `began_at` stays as `begin_transition` wrote it. Raises KeyError if the transition doesn't exist, and
        AlreadyDecided if it has ended or another owner has claimed it since.
        """

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in the version identities that an older release didn't record.

        Covers the model's transitions, which are marked as taken on trust at `now`, and its requests. `identities`: the
        current identity of each version, by number. If the version was created after the row was written, it's a
        different one, and the row stays unchanged.
        """

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Update the file locations of the model's versions in its requests and transitions.

        `identities`: the current identity of each version, by number. Changes only the source of an identity, and only
        if the rest of the identity is the same.
        """

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        """Insert a rollback block; return False if its ID already exists."""

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write the block's current state."""

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Insert or update a serving check; return False if it has already ended."""

    def add_passport(self, passport: Passport) -> bool:
        """Insert a passport; return False if its ID already exists."""
