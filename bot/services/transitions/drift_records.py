"""Record in the ledger what has changed in the registry since its last snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.sentence import Sentence
from bot.domain.registry.model import COMMAND_TAG, ModelInfo, Stage, VersionIdentity, VersionInfo
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from bot.domain.transitions import drift
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind, RegistrySnapshot
from bot.domain.transitions.restores import Hold, HoldKind
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition, TransitionKind, TransitionState
from bot.ports import LedgerTransaction, OutboxMessage, QueuedCommandState
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_message
from bot.services.registry.announcements import announce_versions, describe_metrics
from bot.services.transitions.serving_checks import schedule_serving_check

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
        """Whether the model existed before Registrar, so nothing about it counts as new."""
        return self.last_snapshot is None and self.is_first_poll

    @property
    def is_start_of_history(self) -> bool:
        """Whether Production history begins with this poll, regardless of pending work."""
        return self.is_baseline and _last_production_transition(self.transitions) is None

    @property
    def has_transition_in_progress(self) -> bool:
        """Whether one of Registrar's transitions is in progress, so the registry might show only part of it.

        Transitions that haven't begun or are held don't count.
        """
        return any(
            transition.state is TransitionState.EXECUTING
            or (transition.state in UNFINISHED_STATES and transition.began_at is not None)
            for transition in self.transitions
            if transition.id not in self.held_ids
        )

    def before(self, snapshot: RegistrySnapshot) -> RegistrySnapshot:
        """Return the snapshot to compare with: the last one, or an empty one for a new model.

        For a model that existed before Registrar, it's `snapshot` itself.
        """
        if self.is_baseline:
            return snapshot
        return self.last_snapshot or RegistrySnapshot(model=snapshot.model, at=snapshot.at)

    def has_new_versions(self, model: ModelInfo) -> bool:
        """Return whether the model's summary has versions that count as new."""
        numbers = self.last_snapshot.stages.keys() if self.last_snapshot else set()
        return not self.is_baseline and not model.identities.keys() <= numbers

    def announcement_batches(self, snapshot: RegistrySnapshot) -> list[tuple[int, ...]]:
        """Return the new versions in batches, each to be announced in one message.

        Up to MAX_SINGLE_ANNOUNCEMENTS versions get a batch each, oldest first; more share one, newest first.
        """
        new = tuple(sorted(set(snapshot.stages) - set(self.before(snapshot).stages), reverse=True))
        return [(number,) for number in reversed(new)] if len(new) <= MAX_SINGLE_ANNOUNCEMENTS else [new]

    def has_moved_files(self, snapshot: RegistrySnapshot) -> bool:
        """Return whether every version in both this snapshot and the last one differs, and only in its source."""
        last = self.last_snapshot
        return last is not None and bool(drift.are_files_moved(last.marks or {}, snapshot.marks or {}))


@dataclass(frozen=True, slots=True)
class ModelReading:
    """A model and its versions, read from the registry after `known` was read from the ledger."""

    known: KnownState
    model: ModelInfo
    versions: Sequence[VersionInfo]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name


class DriftRecorder:
    """Records what model readings show."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def known_states(self, models: Sequence[str], *, is_first_poll: bool) -> tuple[dict[str, KnownState], Hold | None]:
        """Return what the ledger knows about these models, and the active hold, if any."""
        with self._context.ledger.read() as reader:
            hold = reader.active_hold()
            held_ids = frozenset(each.id for each in reader.held_work().transitions) if hold else frozenset()
            snapshots, with_history = reader.registry_snapshots(models), reader.models_with_history(models)
            transitions = {name: reader.transitions(name) for name in with_history}
        states = {
            name: KnownState(snapshots.get(name), transitions.get(name, []), is_first_poll, held_ids) for name in models
        }
        return states, hold

    def record(
        self, readings: Sequence[ModelReading], hold: Hold | None, shared: Mapping[str, OutboxMessage]
    ) -> dict[str, bool]:
        """Record these readings in one transaction; return, for each recorded model, whether there was news.

        Models that are missing from the result are being changed, so they have to be reread. `shared` has the messages
        that announce many models' versions together, by channel.
        """
        drafts = sorted(
            (draft for reading in readings if (draft := self._draft(reading, hold, shared))),
            key=lambda draft: draft.reading.name,
        )
        names = [draft.reading.name for draft in drafts]
        saved: list[RegistrySnapshot] = []
        news: dict[str, bool] = {}
        with self._context.ledger.write() as tx:
            for name in names:
                tx.lock(f"look:{name}")  # two processes that poll at the same time record it once
            snapshots, with_history = tx.registry_snapshots(names), tx.models_with_history(names)
            for name, draft in zip(names, drafts, strict=True):
                known, snapshot = draft.reading.known, draft.snapshot
                if snapshots.get(name) != known.last_snapshot:
                    continue
                news[name] = False
                if not known.has_transition_in_progress:
                    if (tx.transitions(name) if name in with_history else []) != known.transitions:
                        del news[name]  # Registrar itself changed the model in the meantime
                        continue
                    is_announced = self._announce(tx, draft)
                    snapshot, has_news = self._record(tx, draft.reading, snapshot, has_history=name in with_history)
                    news[name] = is_announced or has_news
                # Otherwise, it's the very first poll; the snapshot is saved so that the model isn't new later.
                saved.append(snapshot)
            tx.save_registry_snapshot(*saved)
        return news

    def _draft(self, reading: ModelReading, hold: Hold | None, shared: Mapping[str, OutboxMessage]) -> _Draft | None:
        """Return what to record about a model, or None if it can't be recorded now."""
        known, versions = reading.known, reading.versions
        if not known.is_baseline and self._is_registering(known.last_snapshot, versions):
            return None  # the registration announces it once it's complete
        ended = (each.id for each in known.transitions if each.state not in UNFINISHED_STATES)
        snapshot = drift.take_snapshot(reading.model, versions, self._context.clock.now(), next(ended, None))
        if hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED and known.has_moved_files(snapshot):
            return None  # reported for the whole registry, and checked once that is accepted
        by_number = {version.version: version for version in versions}
        batches = known.announcement_batches(snapshot)
        message = shared.get(self._context.policy.channel_for(reading.name)) if batches else None
        newest = [] if message else [by_number[batch[0]] for batch in batches]
        metrics = describe_metrics(self._context, newest, versions) if newest else {}
        return _Draft(reading, snapshot, [(by_number[batch[0]], batch) for batch in batches], metrics, message)

    def _announce(self, tx: LedgerTransaction, draft: _Draft) -> bool:
        """Announce the new versions; return whether any of them hadn't been announced before."""
        announced = [
            announce_versions(
                tx,
                self._context,
                newest,
                batch,
                registered_by=None,
                metrics=draft.metrics.get(newest.version),
                shared=draft.shared,
            )
            for newest, batch in draft.batches
        ]
        return any(announced)

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
        self, tx: LedgerTransaction, reading: ModelReading, snapshot: RegistrySnapshot, *, has_history: bool
    ) -> tuple[RegistrySnapshot, bool]:
        """Record what has changed; return the snapshot to save, and whether there was news."""
        known = reading.known
        last, before = known.last_snapshot, known.before(snapshot)
        identities = {version.version: version.identity(reading.model.created_at) for version in reading.versions}
        if has_history and (last is None or last.marks is None):  # older versions of Registrar didn't store identities
            tx.backfill_identities(snapshot.model, identities, snapshot.at)
        observed = self._record_observed(tx, known, snapshot, identities)
        if observed and not known.is_start_of_history:
            snapshot = replace(snapshot, after=observed.id)
        notices = self._save_notices(tx, known, before, snapshot)
        if observed:
            schedule_serving_check(tx, self._context, observed, notices[0].id if notices else "")
        return snapshot, bool(notices or observed)

    def _record_observed(
        self,
        tx: LedgerTransaction,
        known: KnownState,
        snapshot: RegistrySnapshot,
        identities: Mapping[int, VersionIdentity],
    ) -> Transition | None:
        """Add a change in Production to the history; return its transition (the last, if several), or None.

        If the model had no version in Production before, all versions there are added, since they all serve; the
        version with the alias, or else the highest, comes last. A different version with the same number as the last
        one in Production also counts as a change. What the first poll finds comes before all pending work.
        """
        last, holders = _last_production_transition(known.transitions), snapshot.holders(Stage.PRODUCTION)
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
        """Add a notice about what a snapshot shows, and audit it with `facts`. A click can repair `conflict`."""
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

    def record_deleted(self, snapshot: RegistrySnapshot) -> bool:
        """Report a deleted model, and delete its snapshot; return False if another process changed it first."""
        empty_snapshot = RegistrySnapshot(model=snapshot.model, at=self._context.clock.now())
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) != snapshot:
                return False
            known = KnownState(snapshot, tx.transitions(snapshot.model), is_first_poll=False)
            observed = self._record_observed(tx, known, empty_snapshot, {})
            tx.delete_registry_snapshot(snapshot.model)
            notice = self._save_notice(tx, empty_snapshot, [drift.model_gone_message(snapshot.model)])
            if observed:
                schedule_serving_check(tx, self._context, observed, notice.id)
        return True


def _last_production_transition(transitions: list[Transition]) -> Transition | None:
    """Return the last finished transition into or out of Production, or None; `transitions` is newest first."""
    return next(
        (
            transition
            for transition in transitions
            if transition.state is TransitionState.DONE
            and Stage.PRODUCTION in {transition.target, transition.from_stage}
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """What to record about a model: its snapshot, and its new versions, in batches that share a message."""

    reading: ModelReading
    snapshot: RegistrySnapshot
    batches: Sequence[tuple[VersionInfo, tuple[int, ...]]]
    metrics: Mapping[int, Sentence]
    shared: OutboxMessage | None
