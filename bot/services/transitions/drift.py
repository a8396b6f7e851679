"""Poll the registry for changes by others, since MLflow keeps no history."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError, UnknownModel, Unreachable
from bot.domain.core.sentence import Sentence
from bot.domain.registry.model import COMMAND_TAG, ModelInfo, Stage, VersionIdentity, VersionInfo
from bot.domain.rollbacks.rollback import BEFORE_REGISTRAR
from bot.domain.transitions import drift
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, DriftNotice, DriftNoticeKind, RegistrySnapshot
from bot.domain.transitions.restores import Discrepancy, HoldKind
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition, TransitionKind, TransitionState
from bot.ports import LedgerTransaction, QueuedCommandState
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_message
from bot.services.registry.announcements import announce_versions, describe_metrics
from bot.services.transitions.restores import open_hold
from bot.services.transitions.serving_checks import schedule_serving_check

log = logging.getLogger(__name__)

POLL_ACTOR = Automation("registry-poll")
MAX_SINGLE_ANNOUNCEMENTS = 3  # up to this many new versions of a model get a message each; more share one


@dataclass(frozen=True, slots=True)
class KnownState:
    """What the ledger knew about a model when the registry was read."""

    last_snapshot: RegistrySnapshot | None  # None: never seen
    transitions: list[Transition]  # newest first
    is_first_poll: bool
    held_ids: frozenset[str] = frozenset()  # transitions that wait until an admin lifts the hold

    @property
    def is_baseline(self) -> bool:
        """Return whether the model existed before Registrar, so that nothing about it is new."""
        return self.last_snapshot is None and self.is_first_poll

    @property
    def is_start_of_history(self) -> bool:
        """Return whether the history of Production begins with this poll, regardless of pending work."""
        return self.is_baseline and _last_production_transition(self.transitions) is None

    @property
    def has_transition_in_progress(self) -> bool:
        """Return whether one of our transitions is in progress, so the registry may show only part of it.

        Transitions that haven't begun, or are held, don't count.
        """
        return any(
            transition.state is TransitionState.EXECUTING
            or (transition.state in UNFINISHED_STATES and transition.began_at is not None)
            for transition in self.transitions
            if transition.id not in self.held_ids
        )

    def before(self, snapshot: RegistrySnapshot) -> RegistrySnapshot:
        """Return the snapshot to compare with: the last one, or an empty one for a model that's new."""
        if self.is_baseline:
            return snapshot
        return self.last_snapshot or RegistrySnapshot(model=snapshot.model, at=snapshot.at)

    def announcement_batches(self, snapshot: RegistrySnapshot) -> list[tuple[int, ...]]:
        """Return the new versions, newest first, that are announced in one message each."""
        new = tuple(sorted(set(snapshot.stages) - set(self.before(snapshot).stages), reverse=True))
        return [(number,) for number in reversed(new)] if len(new) <= MAX_SINGLE_ANNOUNCEMENTS else [new]


class DriftDetector:
    """Finds new versions, and changes that didn't come from Registrar."""

    def __init__(self, context: Context) -> None:
        self._context = context

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
        """Hold pending work, and report once that all sources have changed; an admin decides whether to accept that."""
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
        """Check one model now, for example after a webhook, and return whether it changed.

        Only the registry's answer counts. Unknown models and prompts are skipped. Raises Unreachable.
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
            log.warning("can't check %s: %s", model.name, error)
            return False

    def _check(self, model: ModelInfo, *, is_first_poll: bool) -> bool:
        with self._context.ledger.read() as reader:
            hold = reader.active_hold()
            held_ids = {transition.id for transition in reader.held_work().transitions} if hold else set()
            last, transitions = reader.registry_snapshot(model.name), reader.transitions(model.name)
        known = KnownState(last, transitions, is_first_poll, frozenset(held_ids))
        if known.has_transition_in_progress and not known.is_baseline:
            return False  # the next poll will find it, since nothing is recorded now
        versions = self._context.registry.versions(model.name)
        if not known.is_baseline and self._is_registering(last, versions):
            return False  # the registration announces it once it's complete
        ended = (transition.id for transition in transitions if transition.state not in UNFINISHED_STATES)
        snapshot = drift.take_snapshot(model, versions, self._context.clock.now(), next(ended, None))
        if (
            hold is not None
            and hold.kind is HoldKind.REGISTRY_MIGRATED
            and last
            and drift.are_files_moved(last.marks or {}, snapshot.marks or {})
        ):
            return False  # reported for the whole registry, and checked once that is accepted
        by_number = {version.version: version for version in versions}
        batches = known.announcement_batches(snapshot)
        metrics = describe_metrics(self._context, [by_number[batch[0]] for batch in batches], versions)
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{model.name}")  # two processes that poll at the same time record it once
            if tx.registry_snapshot(model.name) != last:
                return False
            if known.has_transition_in_progress:  # at the very first poll; saved so that the model isn't new later
                tx.save_registry_snapshot(snapshot)
                return False
            if tx.transitions(model.name) != transitions:  # Registrar itself changed the model in the meantime
                return False
            announced = [
                announce_versions(
                    tx, self._context, by_number[batch[0]], batch, registered_by=None, metrics=metrics.get(batch[0])
                )
                for batch in batches
            ]
            has_news = self._record(tx, known, snapshot, model, versions)
            return any(announced) or has_news

    def _is_registering(self, previous: RegistrySnapshot | None, versions: Sequence[VersionInfo]) -> bool:
        """Return whether Registrar is currently registering one of the new versions."""
        new = [version for version in versions if previous is None or version.version not in previous.stages]
        command_ids = {command_id for version in new if (command_id := version.tags.get(COMMAND_TAG))}
        with self._context.ledger.read() as reader:
            for command_id in command_ids:
                with suppress(KeyError):  # from another Registrar installation, or the tag was copied
                    if reader.queued_command(command_id).state is QueuedCommandState.WAITING:
                        return True
        return False

    def _record(
        self,
        tx: LedgerTransaction,
        known: KnownState,
        snapshot: RegistrySnapshot,
        model: ModelInfo,
        versions: Sequence[VersionInfo],
    ) -> bool:
        """Record the snapshot and what has changed; return whether there was news."""
        last, before = known.last_snapshot, known.before(snapshot)
        identities = {version.version: version.identity(model.created_at) for version in versions}
        if last is None or last.marks is None:  # older versions of Registrar didn't store identities
            tx.backfill_identities(snapshot.model, identities, snapshot.at)
        observed = self._record_observed(tx, known, snapshot, identities)
        tx.save_registry_snapshot(
            replace(snapshot, after=observed.id) if observed and not known.is_start_of_history else snapshot
        )
        notices = self._save_notices(tx, known, before, snapshot)
        if observed:
            schedule_serving_check(tx, self._context, observed, notices[0].id if notices else "")
        return bool(notices or observed)

    def _record_observed(
        self,
        tx: LedgerTransaction,
        known: KnownState,
        snapshot: RegistrySnapshot,
        identities: Mapping[int, VersionIdentity],
    ) -> Transition | None:
        """Add a change to Production to the history; return the transition, or the last one of several.

        If the model had no holder so far, all versions in Production are added, since they all serve; the version with
        the alias, or else the highest, comes last. A different version under the holder's number is a change as well.
        What the first poll finds comes before all pending work.
        """
        last, holders = _last_production_transition(tx.transitions(snapshot.model)), snapshot.holders(Stage.PRODUCTION)
        holder = last.version if last and last.target is Stage.PRODUCTION else None
        if holder is None and not holders:
            return None
        if holder in holders:
            before, identity = (last.identity if last else None), identities.get(holder or 0)
            if before is None or identity is None or before.is_same(identity):
                return None
            holders = [holder] if holder else []
        if not holders:
            assert holder is not None
            changes = [(holder, Stage.PRODUCTION, snapshot.stages.get(holder, Stage.NONE))]
        else:
            alias_version = snapshot.aliases.get(self._context.champion)
            by_alias = sorted(holders, key=lambda number: (number == alias_version, number))
            serving = by_alias if holder is None else holders[:1]
            changes = [(version, Stage.NONE, Stage.PRODUCTION) for version in serving]
        now, why = self._context.clock.now(), BEFORE_REGISTRAR if known.is_baseline else ""
        transitions = [
            Transition(
                id=f"observed:{self._context.new_id()}",
                kind=TransitionKind.OBSERVED,
                model=snapshot.model,
                version=version,
                from_stage=from_stage,
                target=target,
                expected_incumbent=holder,
                actor=POLL_ACTOR,
                intended_at=now,
                finished_at=now,
                state=TransitionState.DONE,
                why=why,
                identity=identities.get(version),
            )
            for version, from_stage, target in changes
        ]
        if known.is_start_of_history:
            tx.prepend_transitions(transitions)
        for transition in transitions:
            if not known.is_start_of_history:
                tx.add_transition(transition)
            tx.add_audit_event(
                Event(
                    at=now,
                    actor=POLL_ACTOR,
                    tag=EventTag.TRANSITION_OBSERVED,
                    subject=transition.id,
                    model=transition.model,
                    before=None if holder is None else f"v{holder}",
                    after=f"v{transition.version}",
                    origin="job",
                    why=why,
                    evidence={"stage": transition.target.value},
                )
            )
        return transitions[-1]

    def _save_notices(
        self, tx: LedgerTransaction, known: KnownState, previous: RegistrySnapshot, snapshot: RegistrySnapshot
    ) -> list[DriftNotice]:
        """Report changes that didn't come from Registrar, and new conflicts between stages and aliases."""
        aliases, kept_holders = self._context.aliases, drift.kept_holders(reversed(known.transitions))
        lines: list[Sentence] = []
        facts: dict[str, object] = {}
        conflicts = drift.stage_conflicts(snapshot, kept_holders, aliases)
        if known.last_snapshot is not None:
            expected = drift.expected_snapshot(previous, drift.transitions_since(known.transitions, previous), aliases)
            lines = drift.drift_lines(previous, expected, snapshot, aliases)
            facts = drift.production_alias_change(expected, snapshot, aliases)
            earlier = drift.stage_conflicts(previous, kept_holders, aliases)
            conflicts = [conflict for conflict in conflicts if conflict not in earlier]
        if not conflicts:
            return [self._save_notice(tx, snapshot, lines, facts=facts)] if lines else []
        return [
            self._save_notice(
                tx,
                snapshot,
                [*(lines if conflict is conflicts[0] else ()), conflict.sentence],
                conflict,
                facts=facts if conflict is conflicts[0] else None,
            )
            for conflict in conflicts
        ]

    def _save_notice(
        self,
        tx: LedgerTransaction,
        snapshot: RegistrySnapshot,
        lines: Sequence[Sentence],
        conflict: drift.StageConflict | None = None,
        *,
        facts: Mapping[str, object] | None = None,
    ) -> DriftNotice:
        """Add a notice about what a snapshot shows; a click can repair `conflict`. The audit log gets the facts."""
        notice = DriftNotice(
            id=self._context.new_id(),
            kind=DriftNoticeKind.CHANGED,
            model=snapshot.model,
            at=snapshot.at,
            lines=tuple(lines),
            mend=conflict.holder if conflict else None,
            stage=conflict.stage if conflict else Stage.PRODUCTION,
        )
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
                evidence={"lines": texts, "mend": notice.mend, **(facts or {})},
            )
        )
        return notice

    def _report_deleted(self, snapshot: RegistrySnapshot) -> bool:
        """Report a deleted model, and delete its snapshot."""
        empty_snapshot = RegistrySnapshot(model=snapshot.model, at=self._context.clock.now())
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) != snapshot:
                return False
            observed = self._record_observed(tx, KnownState(snapshot, [], is_first_poll=False), empty_snapshot, {})
            tx.delete_registry_snapshot(snapshot.model)
            notice = self._save_notice(tx, empty_snapshot, [drift.model_gone_message(snapshot.model)])
            if observed:
                schedule_serving_check(tx, self._context, observed, notice.id)
        return True


def _is_unchanged(snapshot: RegistrySnapshot | None, model: ModelInfo, *, is_migrated: bool) -> bool:
    """Return whether nothing is new; moved files don't count in a migrated registry, which gets one report."""
    return snapshot is not None and (
        snapshot.matches_summary(model) or (is_migrated and bool(snapshot.has_moved_files(model)))
    )


def _last_production_transition(transitions: list[Transition]) -> Transition | None:
    """Return the last finished transition into or out of Production; they are given newest first."""
    return next(
        (
            transition
            for transition in transitions
            if transition.state is TransitionState.DONE
            and Stage.PRODUCTION in {transition.target, transition.from_stage}
        ),
        None,
    )
