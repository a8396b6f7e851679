"""Looking at the registry from time to time: MLflow keeps no history, and others change things too."""

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
from bot.services.transitions.observed import POLL_ACTOR, KnownState, ObservedTransitions
from bot.services.transitions.restores import open_hold
from bot.services.transitions.serving_checks import schedule_serving_check

log = logging.getLogger(__name__)

MAX_SINGLE_ANNOUNCEMENTS = 3  # new versions of one model that get a message each; more come in one


@dataclass(frozen=True, slots=True)
class _RegistryState:
    """A model as the registry tells it now."""

    model: ModelInfo
    versions: Sequence[VersionInfo]

    def identities(self) -> dict[int, VersionIdentity]:
        """Return what each version is."""
        return {version.version: version.identity(self.model.created_at) for version in self.versions}


class DriftDetector:
    """Finds what changed in the registry: new versions, and what nobody asked us for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._observed = ObservedTransitions(context)

    def poll(self) -> int:
        """Compare every model with how it looked last; return for how many there was something to write down.

        One registry request for a page of models, and one more for each model that changed.
        """
        models = self._context.registry.models()
        with self._context.ledger.read() as reader:
            known = reader.registry_snapshots()
        is_first = REGISTRY_SEEN_KEY not in known
        if is_migrated := drift.is_registry_migrated(known, models):
            self._report_migration(known, models)
        changed = [
            model for model in models if not _is_unchanged(known.get(model.name), model, is_migrated=is_migrated)
        ]
        found = is_migrated + sum(self._check_and_log(model, is_first_poll=is_first) for model in changed)
        there = {model.name for model in models} | {REGISTRY_SEEN_KEY}
        found += sum(self._report_deleted(snapshot) for name, snapshot in known.items() if name not in there)
        if is_first:
            with self._context.ledger.write() as tx:
                tx.save_registry_snapshot(RegistrySnapshot(model=REGISTRY_SEEN_KEY, at=self._context.clock.now()))
        return found

    def _report_migration(self, known: Mapping[str, RegistrySnapshot], models: Sequence[ModelInfo]) -> None:
        """Hold what waits, and report once that every source has changed: an admin accepts that, or doesn't."""
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
        """Look at one model now, as somebody said that it changed; nothing is believed but the registry's own answer.

        Raises Unreachable. A model that is not there, or is a prompt, is passed over.
        """
        try:
            model = self._context.registry.model(name)
        except UnknownModel:
            return False
        with self._context.ledger.read() as reader:
            is_first = reader.registry_snapshot(REGISTRY_SEEN_KEY) is None
        return self._check_and_log(model, is_first_poll=is_first)

    def _check_and_log(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        """Look at one model; one that the registry refuses to tell of does not hide the others."""
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
            held = frozenset(transition.id for transition in reader.held_work().transitions) if hold else frozenset()
            known = KnownState(
                reader.registry_snapshot(model.name), reader.transitions(model.name), is_first_poll, held
            )
        if known.has_transition_in_progress and not known.is_baseline:
            return False  # seen at the next poll, since nothing of this one is written down
        versions = self._context.registry.versions(model.name)
        if not known.is_baseline and self._is_registering(known.last_snapshot, versions):
            return False  # the registration tells of it when it is whole, with its semver and who asked
        newest = next(
            (transition.id for transition in known.transitions if transition.state not in UNFINISHED_STATES), None
        )
        now = drift.take_snapshot(model, versions, self._context.clock.now(), newest)
        is_migrating = hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED
        if (
            is_migrating
            and known.last_snapshot
            and drift.are_files_moved(known.last_snapshot.marks or {}, now.marks or {})
        ):
            return False  # reported for the whole registry, and looked at once that is accepted
        if known.has_transition_in_progress:
            return self._save_first_snapshot(known, now)
        return self._record(known, now, _RegistryState(model, versions))

    def _is_registering(self, previous: RegistrySnapshot | None, versions: Sequence[VersionInfo]) -> bool:
        """Tell whether a version that was not there before is one that we are registering at this moment."""
        new = [version for version in versions if previous is None or version.version not in previous.stages]
        command_ids = {queued for version in new if (queued := version.tags.get(COMMAND_TAG))}
        with self._context.ledger.read() as reader:
            for queued in command_ids:
                with suppress(KeyError):  # another Registrar's, or somebody copied the tag
                    if reader.queued_command(queued).state is QueuedCommandState.WAITING:
                        return True
        return False

    def _save_first_snapshot(self, known_state: KnownState, snapshot: RegistrySnapshot) -> bool:
        """Take a model that is being moved at the very first poll as it is, so that it does not pass for a new one."""
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) == known_state.last_snapshot:
                tx.save_registry_snapshot(snapshot)
        return False

    def _record(self, known_state: KnownState, snapshot: RegistrySnapshot, registry_state: _RegistryState) -> bool:
        """Write the look down with what was found, unless we moved the model ourselves while we looked."""
        before = known_state.last_snapshot or RegistrySnapshot(model=snapshot.model, at=snapshot.at)
        if known_state.is_baseline:
            before = snapshot
        ours = drift.expected_snapshot(
            before, drift.transitions_since(known_state.transitions, before), self._context.aliases
        )
        identities = registry_state.identities()
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")  # two that look at the same time find it once
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
            found = self._announce_versions(tx, drift.new_versions(before, snapshot), registry_state.versions)
            notices = self._save_notices(tx, known_state, before, ours, snapshot)
            if observed:
                schedule_serving_check(tx, self._context, observed, notices[0].id if notices else "")
        return bool(found or notices or observed)

    def _announce_versions(self, tx: LedgerTransaction, new: tuple[int, ...], versions: Sequence[VersionInfo]) -> bool:
        there = {version.version: version for version in versions}
        batches = [(number,) for number in reversed(new)] if len(new) <= MAX_SINGLE_ANNOUNCEMENTS else [new]
        return (
            sum(announce_versions(tx, self._context, there[batch[0]], batch, registered_by=None) for batch in batches)
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
        """Put into the outbox what nobody asked us for, and what contradicts itself now and did not before."""
        kept = drift.kept_holders(reversed(known_state.transitions))
        lines = (
            drift.drift_lines(previous, expected, snapshot, self._context.aliases) if known_state.last_snapshot else []
        )
        news = [
            one
            for one in drift.stage_conflicts(snapshot, kept, self._context.aliases)
            if known_state.last_snapshot is None
            or one not in drift.stage_conflicts(previous, kept, self._context.aliases)
        ]
        if not lines and not news:
            return []
        notices = [
            self._new_notice(snapshot, [*lines, news[0].sentence], news[0])
            if news
            else self._new_notice(snapshot, lines, None)
        ]
        notices += [self._new_notice(snapshot, [one.sentence], one) for one in news[1:]]
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
        what = [str(line) for line in notice.lines]
        tx.add_audit_event(
            Event(
                at=notice.at,
                actor=POLL_ACTOR,
                tag=EventTag.DRIFT_FOUND,
                subject=notice.id,
                model=notice.model,
                origin="job",
                why=" ".join(what),
                evidence={"lines": what, "mend": notice.mend},
            )
        )

    def _report_deleted(self, snapshot: RegistrySnapshot) -> bool:
        """Tell of a model that is gone, and forget how it looked."""
        now = RegistrySnapshot(model=snapshot.model, at=self._context.clock.now())
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) != snapshot:
                return False
            observed = self._observed.record(tx, KnownState(snapshot, [], is_first_poll=False), now, {})
            tx.delete_registry_snapshot(snapshot.model)
            notice = self._new_notice(now, [drift.model_gone_message(snapshot.model)], None)
            self._save_notice(tx, notice)
            if observed:
                schedule_serving_check(tx, self._context, observed, notice.id)
        return True


def _is_unchanged(snapshot: RegistrySnapshot | None, model: ModelInfo, *, is_migrated: bool) -> bool:
    """Tell whether there is nothing new to look at; a registry that was migrated gets one report for all its models."""
    return snapshot is not None and (
        snapshot.matches_summary(model) or (is_migrated and bool(snapshot.has_moved_files(model)))
    )
