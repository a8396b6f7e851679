"""Looking at the registry from time to time: MLflow keeps no history, and others change things too."""

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
from bot.services.registry.announcements import announce_versions
from bot.services.transitions.restores import open_hold
from bot.services.transitions.serving_checks import schedule_serving_check

log = logging.getLogger(__name__)

POLL_ACTOR = Automation("registry-poll")
MAX_SINGLE_ANNOUNCEMENTS = 3  # new versions of one model that get a message each; more come in one


@dataclass(frozen=True, slots=True)
class _KnownState:
    """What the ledger knew of a model when the registry was read."""

    last_snapshot: RegistrySnapshot | None  # None: never seen
    transitions: list[Transition]  # newest first
    is_first_poll: bool
    held_ids: frozenset[str] = frozenset()  # moves that aren't made until an admin lifts the hold

    @property
    def is_baseline(self) -> bool:
        """Tell whether the model was there before us, so that nothing about it is new."""
        return self.last_snapshot is None and self.is_first_poll

    @property
    def is_start_of_history(self) -> bool:
        """Tell whether the history of Production begins with what is found now, whatever waits already."""
        return self.is_baseline and _last_production_transition(self.transitions) is None

    @property
    def has_transition_in_progress(self) -> bool:
        """Tell whether a move of ours is under way: what is seen now may be half of it.

        One that waits and hasn't begun, or that is held, changes nothing now.
        """
        return any(
            move.state is TransitionState.EXECUTING or (move.state in UNFINISHED_STATES and move.began_at is not None)
            for move in self.transitions
            if move.id not in self.held_ids
        )


@dataclass(frozen=True, slots=True)
class _RegistryState:
    """A model as the registry tells it now."""

    model: ModelInfo
    versions: Sequence[VersionInfo]

    def identities(self) -> dict[int, VersionIdentity]:
        """Return what each version is."""
        return {one.version: one.identity(self.model.created_at) for one in self.versions}


class DriftDetector:
    """Finds what changed in the registry: new versions, and what nobody asked us for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def poll(self) -> int:
        """Compare every model with how it looked last; return for how many there was something to write down.

        One registry request for a page of models, and one more for each model that changed.
        """
        models = self._context.registry.models()
        with self._context.ledger.read() as reading:
            known = reading.registry_snapshots()
        is_first = REGISTRY_SEEN_KEY not in known
        if is_migrated := drift.is_registry_migrated(known, models):
            self._report_migration(known, models)
        changed = [
            model for model in models if not _is_unchanged(known.get(model.name), model, is_migrated=is_migrated)
        ]
        found = is_migrated + sum(self._check_and_log(model, is_first_poll=is_first) for model in changed)
        there = {model.name for model in models} | {REGISTRY_SEEN_KEY}
        found += sum(self._report_deleted(look) for name, look in known.items() if name not in there)
        if is_first:
            with self._context.ledger.write() as tx:
                tx.save_registry_snapshot(RegistrySnapshot(model=REGISTRY_SEEN_KEY, at=self._context.clock.now()))
        return found

    def _report_migration(self, known: Mapping[str, RegistrySnapshot], models: Sequence[ModelInfo]) -> None:
        """Hold what waits, and report once that every source has changed: an admin accepts that, or doesn't."""
        moved = [model for model in models if (look := known.get(model.name)) and look.has_moved_files(model)]
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
        with self._context.ledger.read() as reading:
            is_first = reading.registry_snapshot(REGISTRY_SEEN_KEY) is None
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
        with self._context.ledger.read() as reading:
            hold = reading.active_hold()
            held = frozenset(move.id for move in reading.held_work().transitions) if hold else frozenset()
            known = _KnownState(
                reading.registry_snapshot(model.name), reading.transitions(model.name), is_first_poll, held
            )
        if known.has_transition_in_progress and not known.is_baseline:
            return False  # seen at the next poll, since nothing of this one is written down
        versions = self._context.registry.versions(model.name)
        if not known.is_baseline and self._is_registering(known.last_snapshot, versions):
            return False  # the registration tells of it when it is whole, with its semver and who asked
        newest = next((move.id for move in known.transitions if move.state not in UNFINISHED_STATES), None)
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
        new = [one for one in versions if previous is None or one.version not in previous.stages]
        asks = {ask for one in new if (ask := one.tags.get(COMMAND_TAG))}
        with self._context.ledger.read() as reading:
            for ask in asks:
                with suppress(KeyError):  # another Registrar's, or somebody copied the tag
                    if reading.queued_command(ask).state is QueuedCommandState.WAITING:
                        return True
        return False

    def _save_first_snapshot(self, known_state: _KnownState, snapshot: RegistrySnapshot) -> bool:
        """Take a model that is being moved at the very first poll as it is, so that it does not pass for a new one."""
        with self._context.ledger.write() as tx:
            tx.lock(f"look:{snapshot.model}")
            if tx.registry_snapshot(snapshot.model) == known_state.last_snapshot:
                tx.save_registry_snapshot(snapshot)
        return False

    def _record(self, known_state: _KnownState, snapshot: RegistrySnapshot, registry_state: _RegistryState) -> bool:
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
            observed = self._record_observed(tx, known_state, snapshot, identities)
            tx.save_registry_snapshot(
                replace(snapshot, after=observed.id) if observed and not known_state.is_start_of_history else snapshot
            )
            found = self._announce_versions(tx, drift.new_versions(before, snapshot), registry_state.versions)
            findings = self._save_notices(tx, known_state, before, ours, snapshot)
            if observed:
                schedule_serving_check(tx, self._context, observed, findings[0].id if findings else "")
        return bool(found or findings or observed)

    def _record_observed(
        self,
        tx: LedgerTransaction,
        known_state: _KnownState,
        snapshot: RegistrySnapshot,
        identities: Mapping[int, VersionIdentity],
    ) -> Transition | None:
        """Write a change of Production into the history; return what was written, of several moves the last.

        Of a model without a holder so far, every version in Production is written down, since each of them serves; last
        the one that the alias names, else the highest. Another version under the holder's number is a change as well.
        What the first poll finds was there before all that waits.
        """
        last, holders = _last_production_transition(tx.transitions(snapshot.model)), snapshot.holders(Stage.PRODUCTION)
        holder = last.version if last and last.target is Stage.PRODUCTION else None
        if holder is None and not holders:
            return None
        if holder in holders:
            was, found = (last.identity if last else None), identities.get(holder or 0)
            if was is None or found is None or was.is_same(found):
                return None
            holders = [holder] if holder else []
        if not holders:
            assert holder is not None
            left = [(holder, Stage.PRODUCTION, snapshot.stages.get(holder, Stage.NONE))]
        else:
            named = snapshot.aliases.get(self._context.champion)
            holders = sorted(holders, key=lambda one: (one == named, one)) if holder is None else holders[:1]
            left = [(version, Stage.NONE, Stage.PRODUCTION) for version in holders]
        why = BEFORE_REGISTRAR if known_state.is_baseline else ""
        moves = [
            replace(
                self._observed_transition(snapshot.model, *each, incumbent=holder, why=why),
                identity=identities.get(each[0]),
            )
            for each in left
        ]
        return self._save_observed(tx, moves, is_first=known_state.is_start_of_history)

    def _save_observed(self, tx: LedgerTransaction, transitions: list[Transition], *, is_first: bool) -> Transition:
        """Write down what was found (oldest first), before all that is there or behind it; return the last."""
        if is_first:
            tx.prepend_transitions(transitions)
        for move in transitions:
            if not is_first:
                tx.add_transition(move)
            self._audit_observed(tx, move)
        return transitions[-1]

    def _audit_observed(self, tx: LedgerTransaction, transition: Transition) -> None:
        tx.add_audit_event(
            Event(
                at=transition.intended_at,
                actor=POLL_ACTOR,
                tag=EventTag.TRANSITION_OBSERVED,
                subject=transition.id,
                model=transition.model,
                before=_version_label(transition.expected_incumbent),
                after=_version_label(transition.version),
                origin="job",
                why=transition.why,
                evidence={"stage": transition.target.value},
            )
        )

    def _observed_transition(
        self, model: str, version: int, from_stage: Stage, to_stage: Stage, *, incumbent: int | None, why: str
    ) -> Transition:
        now = self._context.clock.now()
        return Transition(
            id=f"observed:{self._context.new_id()}",
            kind=TransitionKind.OBSERVED,
            model=model,
            version=version,
            from_stage=from_stage,
            target=to_stage,
            expected_incumbent=incumbent,
            actor=POLL_ACTOR,
            intended_at=now,
            finished_at=now,
            state=TransitionState.DONE,
            why=why,
        )

    def _announce_versions(self, tx: LedgerTransaction, new: tuple[int, ...], versions: Sequence[VersionInfo]) -> bool:
        there = {one.version: one for one in versions}
        batches = [(number,) for number in reversed(new)] if len(new) <= MAX_SINGLE_ANNOUNCEMENTS else [new]
        return (
            sum(announce_versions(tx, self._context, there[batch[0]], batch, registered_by=None) for batch in batches)
            > 0
        )

    def _save_notices(
        self,
        tx: LedgerTransaction,
        known_state: _KnownState,
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
        findings = [
            self._new_notice(snapshot, [*lines, news[0].sentence], news[0])
            if news
            else self._new_notice(snapshot, lines, None)
        ]
        findings += [self._new_notice(snapshot, [one.sentence], one) for one in news[1:]]
        for finding in findings:
            self._save_notice(tx, finding)
        return findings

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
            observed = self._record_observed(tx, _KnownState(snapshot, [], is_first_poll=False), now, {})
            tx.delete_registry_snapshot(snapshot.model)
            finding = self._new_notice(now, [drift.model_gone_message(snapshot.model)], None)
            self._save_notice(tx, finding)
            if observed:
                schedule_serving_check(tx, self._context, observed, finding.id)
        return True


def _last_production_transition(transitions: list[Transition]) -> Transition | None:
    """Return the last finished move (given newest first) into or out of Production."""
    done = (move for move in transitions if move.state is TransitionState.DONE)
    return next((move for move in done if Stage.PRODUCTION in {move.target, move.from_stage}), None)


def _version_label(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _is_unchanged(snapshot: RegistrySnapshot | None, model: ModelInfo, *, is_migrated: bool) -> bool:
    """Tell whether there is nothing new to look at; a registry that was migrated gets one report for all its models."""
    return snapshot is not None and (
        snapshot.matches_summary(model) or (is_migrated and bool(snapshot.has_moved_files(model)))
    )
