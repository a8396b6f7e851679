"""Poll the registry for changes by others, since MLflow keeps no history."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.errors import RegistrarError, UnknownModel, Unreachable
from bot.domain.core.sentence import Sentence
from bot.domain.registry.model import COMMAND_TAG, ModelInfo, Stage, VersionIdentity, VersionInfo
from bot.domain.transitions import drift
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, DriftNotice, DriftNoticeKind, RegistrySnapshot
from bot.domain.transitions.restores import Discrepancy, HoldKind
from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ports import LedgerTransaction, QueuedCommandState
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_message
from bot.services.registry.announcements import announce_versions
from bot.services.transitions.observed_transitions import POLL_ACTOR, KnownState, ObservedTransitions
from bot.services.transitions.restores import open_hold
from bot.services.transitions.serving_checks import schedule_serving_check

log = logging.getLogger(__name__)

MAX_SINGLE_ANNOUNCEMENTS = 3  # new versions of a model with a message each; more share one message


@dataclass(frozen=True, slots=True)
class _RegistryState:
    """A model and its versions in the registry now."""

    model: ModelInfo
    versions: Sequence[VersionInfo]

    def identities(self) -> dict[int, VersionIdentity]:
        """Return the identity of each version."""
        return {version.version: version.identity(self.model.created_at) for version in self.versions}


class DriftDetector:
    """Finds new versions, and changes that didn't come from Registrar."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._observed = ObservedTransitions(context)

    def poll(self) -> int:
        """Compare every model with its last snapshot; return how many had something to record.

        Takes one registry request per page of models, and one for each model that changed.
        """
        models = self._context.registry.models()
        with self._context.ledger.read() as reader:
            snapshots = reader.registry_snapshots()
        is_first = REGISTRY_SEEN_KEY not in snapshots
        if is_migrated := drift.is_registry_migrated(snapshots, models):
            self._report_migration(snapshots, models)
        changed = [
            model for model in models if not _is_unchanged(snapshots.get(model.name), model, is_migrated=is_migrated)
        ]
        count = is_migrated + sum(self._check_and_log(model, is_first_poll=is_first) for model in changed)
        names = {model.name for model in models} | {REGISTRY_SEEN_KEY}
        count += sum(self._report_deleted(snapshot) for name, snapshot in snapshots.items() if name not in names)
        if is_first:
            with self._context.ledger.write() as tx:
                tx.save_registry_snapshot(RegistrySnapshot(model=REGISTRY_SEEN_KEY, at=self._context.clock.now()))
        return count

    def _report_migration(self, known: Mapping[str, RegistrySnapshot], models: Sequence[ModelInfo]) -> None:
        """Hold waiting work, and report once that all sources have changed; an admin decides whether to accept that."""
        moved = [model for model in models if (snapshot := known.get(model.name)) and snapshot.has_moved_files(model)]
        line = drift.registry_migrated_line(moved)
        key = f"sources:{moved[0].name}:{next(iter(moved[0].identities.values())).fingerprint}"
        with self._context.ledger.write() as tx:
            hold = tx.active_hold()
            if hold is None or key not in hold.keys:
                open_hold(
                    tx,
                    self._context,
                    HoldKind.REGISTRY_MIGRATED,
                    [Discrepancy(key=key, kind=HoldKind.REGISTRY_MIGRATED, sentence=line)],
                )

    def check_model(self, name: str) -> bool:
        """Check one model now, for example after a webhook; only the registry's answer counts. Return if it had news.

        Unknown models and prompts are skipped. Raises Unreachable.
        """
        try:
            model = self._context.registry.model(name)
        except UnknownModel:
            return False
        with self._context.ledger.read() as reader:
            is_first = reader.registry_snapshot(REGISTRY_SEEN_KEY) is None
        return self._check_and_log(model, is_first_poll=is_first)

    def _check_and_log(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        """Check one model; if the registry refuses to return it, log that and continue with the others."""
        try:
            return self._check(model, is_first_poll=is_first_poll)
        except Unreachable:
            raise
        except RegistrarError as error:
            log.warning("%s cannot be looked at: %s", model.name, error)
            return False

    def _check(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        with self._context.ledger.read() as reader:
            hold = reader.active_hold()
            held_ids = (
                frozenset(transition.id for transition in reader.held_work().transitions) if hold else frozenset()
            )
            known_state = KnownState(
                reader.registry_snapshot(model.name), reader.transitions(model.name), is_first_poll, held_ids
            )
        if known_state.has_transition_in_progress and not known_state.is_baseline:
            return False  # the next poll will find it, since nothing is recorded now
        versions = self._context.registry.versions(model.name)
        if not known_state.is_baseline and self._is_registering(known_state.last_snapshot, versions):
            return False  # the registration announces it once it's complete
        newest_id = next(
            (transition.id for transition in known_state.transitions if transition.state not in UNFINISHED_STATES), None
        )
        snapshot = drift.take_snapshot(model, versions, self._context.clock.now(), newest_id)
        is_migrating = hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED
        if (
            is_migrating
            and known_state.last_snapshot
            and drift.are_files_moved(known_state.last_snapshot.marks or {}, snapshot.marks or {})
        ):
            return False  # reported for the whole registry, and checked once that is accepted
        if known_state.has_transition_in_progress:
            return self._save_first_snapshot(known_state, snapshot)
        return self._record(known_state, snapshot, _RegistryState(model, versions))

    def _is_registering(self, previous: RegistrySnapshot | None, versions: Sequence[VersionInfo]) -> bool:
        """Tell whether one of the new versions is being registered by Registrar right now."""
        new = [version for version in versions if previous is None or version.version not in previous.stages]
        command_ids = {command_id for version in new if (command_id := version.tags.get(COMMAND_TAG))}
        with self._context.ledger.read() as reader:
            for command_id in command_ids:
                with suppress(KeyError):  # from another Registrar, or the tag was copied
                    if reader.queued_command(command_id).state is QueuedCommandState.WAITING:
                        return True
        return False

    def _save_first_snapshot(self, known_state: KnownState, snapshot: RegistrySnapshot) -> bool:
        """Save the snapshot of a model in transition at the very first poll, so that it isn't new later."""
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) == known_state.last_snapshot:
                tx.save_registry_snapshot(snapshot)
        return False

    def _record(self, known_state: KnownState, snapshot: RegistrySnapshot, registry_state: _RegistryState) -> bool:
        """Record the snapshot and what has changed, unless Registrar itself changed the model in the meantime."""
        before = known_state.last_snapshot or RegistrySnapshot(model=snapshot.model, at=snapshot.at)
        if known_state.is_baseline:
            before = snapshot
        expected = drift.expected_snapshot(
            before, drift.transitions_since(known_state.transitions, before), self._context.aliases
        )
        identities = registry_state.identities()
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")  # two processes that poll at the same time record it once
            if (
                tx.transitions(snapshot.model) != known_state.transitions
                or tx.registry_snapshot(snapshot.model) != known_state.last_snapshot
            ):
                return False
            if (
                known_state.last_snapshot is None or known_state.last_snapshot.marks is None
            ):  # an older Registrar kept no identities
                tx.backfill_identities(snapshot.model, identities, snapshot.at)
            observed = self._observed.record(tx, known_state, snapshot, identities)
            tx.save_registry_snapshot(
                replace(snapshot, after=observed.id) if observed and not known_state.is_start_of_history else snapshot
            )
            is_announced = self._announce_versions(tx, drift.new_versions(before, snapshot), registry_state.versions)
            notices = self._save_notices(tx, known_state, before, expected, snapshot)
            if observed:
                schedule_serving_check(tx, self._context, observed, notices[0].id if notices else "")
        return bool(is_announced or notices or observed)

    def _announce_versions(self, tx: LedgerTransaction, new: tuple[int, ...], versions: Sequence[VersionInfo]) -> bool:
        by_number = {version.version: version for version in versions}
        batches = [(number,) for number in reversed(new)] if len(new) <= MAX_SINGLE_ANNOUNCEMENTS else [new]
        return (
            sum(
                announce_versions(tx, self._context, by_number[batch[0]], batch, registered_by=None)
                for batch in batches
            )
            > 0
        )

    def _save_notices(
        self,
        tx: LedgerTransaction,
        known_state: KnownState,
        previous: RegistrySnapshot,
        expected: RegistrySnapshot,
        snapshot: RegistrySnapshot,
    ) -> list[DriftNotice]:
        """Report changes that didn't come from Registrar, and new conflicts between stages and aliases."""
        kept_holders = drift.kept_holders(reversed(known_state.transitions))
        lines = (
            drift.drift_lines(previous, expected, snapshot, self._context.aliases) if known_state.last_snapshot else []
        )
        conflicts = [
            conflict
            for conflict in drift.stage_conflicts(snapshot, kept_holders, self._context.aliases)
            if known_state.last_snapshot is None
            or conflict not in drift.stage_conflicts(previous, kept_holders, self._context.aliases)
        ]
        if not lines and not conflicts:
            return []
        notices = [
            self._new_notice(snapshot, [*lines, conflicts[0].sentence], conflicts[0])
            if conflicts
            else self._new_notice(snapshot, lines, None)
        ]
        notices += [self._new_notice(snapshot, [conflict.sentence], conflict) for conflict in conflicts[1:]]
        for notice in notices:
            self._save_notice(tx, notice)
        return notices

    def _new_notice(
        self, snapshot: RegistrySnapshot, lines: list[Sentence], disorder: drift.StageConflict | None
    ) -> DriftNotice:
        return DriftNotice(
            id=self._context.new_id(),
            kind=DriftNoticeKind.CHANGED,
            model=snapshot.model,
            at=snapshot.at,
            lines=tuple(lines),
            mend=disorder.holder if disorder else None,
            stage=disorder.stage if disorder else Stage.PRODUCTION,
        )

    def _save_notice(self, tx: LedgerTransaction, notice: DriftNotice) -> None:
        tx.add_drift_notice(notice)
        tx.add_message(notice_message(notice, "found", self._context.policy.channel_for(notice.model)))
        texts = [str(line) for line in notice.lines]
        tx.add_audit_event(
            Event(
                at=notice.at,
                actor=POLL_ACTOR,
                tag=EventTag.DRIFT_FOUND,
                subject=notice.id,
                model=notice.model,
                origin="job",
                why=" ".join(texts),
                evidence={"lines": texts, "mend": notice.mend},
            )
        )

    def _report_deleted(self, snapshot: RegistrySnapshot) -> bool:
        """Report a deleted model, and delete its snapshot."""
        empty_snapshot = RegistrySnapshot(model=snapshot.model, at=self._context.clock.now())
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) != snapshot:
                return False
            observed = self._observed.record(tx, KnownState(snapshot, [], is_first_poll=False), empty_snapshot, {})
            tx.delete_registry_snapshot(snapshot.model)
            notice = self._new_notice(empty_snapshot, [drift.model_gone_message(snapshot.model)], None)
            self._save_notice(tx, notice)
            if observed:
                schedule_serving_check(tx, self._context, observed, notice.id)
        return True


def _is_unchanged(snapshot: RegistrySnapshot | None, model: ModelInfo, *, is_migrated: bool) -> bool:
    """Tell whether nothing is new; moved files don't count in a migrated registry, which gets one report."""
    return snapshot is not None and (
        snapshot.matches_summary(model) or (is_migrated and bool(snapshot.has_moved_files(model)))
    )
