"""Write changes of Production that were made in MLflow itself into the history, as observed transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.rollbacks.rollback import BEFORE_REGISTRAR
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition, TransitionKind, TransitionState
from bot.ports import LedgerTransaction
from bot.services.core.context import Context

POLL_ACTOR = Automation("registry-poll")


@dataclass(frozen=True, slots=True)
class KnownState:
    """What the ledger knew about a model when the registry was read."""

    last_snapshot: RegistrySnapshot | None  # None: never seen
    transitions: list[Transition]  # newest first
    is_first_poll: bool
    held_ids: frozenset[str] = frozenset()  # transitions that wait until an admin lifts the hold

    @property
    def is_baseline(self) -> bool:
        """Tell whether the model was there before Registrar, so that nothing about it is new."""
        return self.last_snapshot is None and self.is_first_poll

    @property
    def is_start_of_history(self) -> bool:
        """Tell whether the history of Production begins with this poll, whatever is already waiting."""
        return self.is_baseline and _last_production_transition(self.transitions) is None

    @property
    def has_transition_in_progress(self) -> bool:
        """Tell whether one of our transitions is in progress, so that the registry may show half of it.

        Transitions that haven't begun, or are held, don't count.
        """
        return any(
            transition.state is TransitionState.EXECUTING
            or (transition.state in UNFINISHED_STATES and transition.began_at is not None)
            for transition in self.transitions
            if transition.id not in self.held_ids
        )


class ObservedTransitions:
    """Records transitions that Registrar found in the registry and didn't make."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def record(
        self,
        tx: LedgerTransaction,
        known_state: KnownState,
        snapshot: RegistrySnapshot,
        identities: Mapping[int, VersionIdentity],
    ) -> Transition | None:
        """Add a change of Production to the history; return the transition, or the last one of several.

        If the model had no holder so far, all versions in Production are added, since all of them serve; the one with
        the alias, or else the highest, comes last. A different version under the holder's number is a change as well.
        What the first poll finds goes before everything that is waiting.
        """
        last, holders = _last_production_transition(tx.transitions(snapshot.model)), snapshot.holders(Stage.PRODUCTION)
        holder = last.version if last and last.target is Stage.PRODUCTION else None
        if holder is None and not holders:
            return None
        if holder in holders:
            previous_identity, identity = (last.identity if last else None), identities.get(holder or 0)
            if previous_identity is None or identity is None or previous_identity.is_same(identity):
                return None
            holders = [holder] if holder else []
        if not holders:
            assert holder is not None
            changes = [(holder, Stage.PRODUCTION, snapshot.stages.get(holder, Stage.NONE))]
        else:
            alias_version = snapshot.aliases.get(self._context.champion)
            holders = (
                sorted(holders, key=lambda version_number: (version_number == alias_version, version_number))
                if holder is None
                else holders[:1]
            )
            changes = [(version, Stage.NONE, Stage.PRODUCTION) for version in holders]
        why = BEFORE_REGISTRAR if known_state.is_baseline else ""
        transitions = [
            replace(
                self._observed_transition(snapshot.model, *change, incumbent=holder, why=why),
                identity=identities.get(change[0]),
            )
            for change in changes
        ]
        return self._save_observed(tx, transitions, is_first=known_state.is_start_of_history)

    def _save_observed(self, tx: LedgerTransaction, transitions: list[Transition], *, is_first: bool) -> Transition:
        """Add transitions (oldest first) before or after the existing history; return the last one."""
        if is_first:
            tx.prepend_transitions(transitions)
        for transition in transitions:
            if not is_first:
                tx.add_transition(transition)
            self._audit_observed(tx, transition)
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


def _last_production_transition(transitions: list[Transition]) -> Transition | None:
    """Return the last finished transition into or out of Production; they are given newest first."""
    done = (transition for transition in transitions if transition.state is TransitionState.DONE)
    return next(
        (transition for transition in done if Stage.PRODUCTION in {transition.target, transition.from_stage}), None
    )


def _version_label(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
