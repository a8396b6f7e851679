"""Rolling back: who served in Production, which version to go back to, and which ones are barred. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState, transition_time

TRUSTED_AFTER = timedelta(hours=24)  # until an automation acts on an identity that was taken on trust

BEFORE_REGISTRAR = "in Production before Registrar looked"  # why of the move that the first look writes down


@dataclass(frozen=True, slots=True)
class ServingPeriod:
    """One stretch of Production: the move that began it, and the one that ended it if it has ended."""

    started_by: Transition
    ended_by: Transition | None

    @property
    def version(self) -> int:
        """Who served."""
        return self.started_by.version

    @property
    def since(self) -> datetime:
        """From when on."""
        return transition_time(self.started_by)

    @property
    def until(self) -> datetime | None:
        """Until when; None for whoever serves now."""
        return transition_time(self.ended_by) if self.ended_by else None

    @property
    def predates_registrar(self) -> bool:
        """Tell whether it was there when Registrar first looked, so that nobody knows since when."""
        return self.started_by.kind is TransitionKind.OBSERVED and self.started_by.why == BEFORE_REGISTRAR

    def duration(self, now: datetime) -> timedelta:
        """Return how long it served, as far as we know."""
        return (self.until or now) - self.since


def serving_periods(transitions: Sequence[Transition]) -> list[ServingPeriod]:
    """Return the stretches of Production that the moves (newest first) tell of, newest first.

    Mending leaves the version that serves where it is, and begins no stretch of its own.
    """
    found: list[ServingPeriod] = []
    ended: Transition | None = None
    for move in (one for one in transitions if one.state is TransitionState.DONE):
        if move.target is Stage.PRODUCTION:
            if ended and ended.kind is TransitionKind.REPAIR and ended.version == move.version:
                found[-1] = replace(found[-1], started_by=move)
            else:
                found.append(ServingPeriod(move, ended))
            ended = move
        elif move.from_stage is Stage.PRODUCTION:
            ended = move
    return found


def period_at(periods: Sequence[ServingPeriod], at: datetime) -> ServingPeriod | None:
    """Return who served at a moment; None for nobody, or where nobody knows."""
    return next((one for one in periods if one.since <= at and (one.until is None or at < one.until)), None)


def rollback_path(periods: Sequence[ServingPeriod]) -> list[ServingPeriod]:
    """Return the stretches (given newest first) that can be gone back to, the nearest first; the present one is none.

    A rollback takes what lay above its target away, so that the next one goes further back and never forward again.
    """
    stack: list[ServingPeriod] = []
    for one in reversed(periods):
        if one.started_by.kind is TransitionKind.ROLLBACK:
            while stack and one.started_by.version in {each.version for each in stack}:
                if stack.pop().version == one.started_by.version:
                    break
            else:
                if stack and stack[-1].version == one.started_by.expected_incumbent:
                    stack.pop()
        stack.append(one)
    if periods and periods[0].until is None and stack:
        stack.pop()
    return stack[::-1]


class TargetRefusal(Enum):
    """Why no rollback can put a version into Production, whoever asks and however hard."""

    NEVER_SERVED = "never_served"  # no finished move ever put it into Production
    ANOTHER_VERSION = "another_version"  # one with this number served, and was replaced since
    BLOCKED = "blocked"  # it was rolled back as bad, and nobody has unblocked it since


def target_refusal(
    version: int, promotions: Sequence[Transition], blocked_versions: Collection[int], snapshot: RegistrySnapshot | None
) -> TargetRefusal | None:
    """Return why a version isn't a target of a rollback, or None where it is one.

    `entries` are the finished moves that put this version into Production; `barred` are the model's blocked versions;
    `look` is the last look at the model.
    """
    if not promotions:
        return TargetRefusal.NEVER_SERVED
    if not any(is_still_there(entry, snapshot) for entry in promotions):
        return TargetRefusal.ANOTHER_VERSION
    return TargetRefusal.BLOCKED if version in blocked_versions else None


def current_blocks(
    history: Iterable[RollbackBlock],
    entries: Callable[[int], Sequence[Transition]],
    identities: Mapping[int, VersionIdentity | None],
) -> dict[int, RollbackBlock]:
    """Return the newest block of each of these versions that is blocked, by number.

    `bars` are the model's, oldest first; `entries` gives the finished moves that put a number into Production, newest
    first, and is asked for blocked numbers only. A block is about the version that was rolled back: another one under
    its number isn't blocked. Where nobody knows what one of the two is, the number counts.
    """
    return {
        bar.version: bar
        for bar in history
        if bar.version in identities and _is_block_about(bar, entries(bar.version), identities[bar.version])
    }


def _is_block_about(block: RollbackBlock, entries: Sequence[Transition], identity: VersionIdentity | None) -> bool:
    out = next((entry.identity for entry in entries if transition_time(entry) <= block.at), None)
    return out is None or identity is None or out.is_same_ignoring_source(identity)


def is_still_there(entry: Transition, snapshot: RegistrySnapshot | None) -> bool:
    """Tell whether the version that a move put into Production is still under its number, as the last look has it.

    Where nobody has looked since, or an older Registrar did, nothing says that it isn't: the executor compares again.
    """
    return (
        snapshot is None
        or snapshot.at < transition_time(entry)
        or not snapshot.holds_other_version(entry.version, entry.identity)
    )


def identity_in_production(entries: Sequence[Transition], snapshot: RegistrySnapshot | None) -> VersionIdentity | None:
    """Return what a version was when it last came into Production and still is; None where nobody knows."""
    return next((entry.identity for entry in entries if is_still_there(entry, snapshot)), None)


def rollback_targets(
    periods: Sequence[ServingPeriod], blocked_versions: Collection[int], snapshot: RegistrySnapshot | None = None
) -> list[int]:
    """Return the versions to roll back to, the best first: those that served before, without the barred ones.

    A version that isn't what served any more, as the last look has it, is no target.
    """
    now = periods[0].version if periods and periods[0].until is None else None
    back = (one for one in rollback_path(periods) if is_still_there(one.started_by, snapshot))
    return list(
        dict.fromkeys(one.version for one in back if one.version not in blocked_versions and one.version != now)
    )


def last_good_version(
    periods: Sequence[ServingPeriod],
    blocked_versions: Collection[int],
    now: datetime,
    min_served: timedelta,
    snapshot: RegistrySnapshot | None = None,
) -> int | None:
    """Return the version that an automation can roll back to: of `targets` the first that has served for long enough.

    One that was there before Registrar looked has served for longer than anybody here knows, and is long enough. What a
    version is, where that was taken on trust, counts after a day.
    """
    for version in rollback_targets(periods, blocked_versions, snapshot):
        mine = [one for one in periods if one.version == version and _is_proven(one.started_by, now)]
        served = sum((one.duration(now) for one in mine), timedelta())
        if mine and (served >= min_served or any(one.predates_registrar for one in mine)):
            return version
    return None


def _is_proven(transition: Transition, now: datetime) -> bool:
    if transition.identity is None:
        return False
    return transition.trusted_at is None or now - transition.trusted_at >= TRUSTED_AFTER


def rollback_transition(
    transition_id: str,
    model: str,
    *,
    target: int,
    incumbent: int | None,
    actor: Actor,
    now: datetime,
    reason: str,
    identity: VersionIdentity | None = None,
) -> Transition:
    """Return the move that puts `target` into Production in place of `incumbent`, whoever caused it.

    `identity` is what the target was when it served: only that is moved.
    """
    return Transition(
        id=transition_id,
        kind=TransitionKind.ROLLBACK,
        model=model,
        version=target,
        from_stage=Stage.ARCHIVED,
        target=Stage.PRODUCTION,
        expected_incumbent=incumbent,
        actor=actor,
        intended_at=now,
        reason=reason,
        identity=identity,
    )


def automatic_rollback_id(model: str, started_by: str) -> str:
    """Return the id of the automatic rollback of the term that a move began: one, however many monitors fail."""
    return f"rollback:{model}:{started_by}"


def block_after_rollback(transition: Transition, block_id: str, at: datetime) -> RollbackBlock | None:
    """Return the bar that a finished rollback puts on the version it took out; None where it took out none."""
    if transition.expected_incumbent is None:
        return None
    return RollbackBlock(
        id=block_id,
        model=transition.model,
        version=transition.expected_incumbent,
        move=transition.id,
        at=at,
        by=transition.actor,
        reason=transition.reason,
    )
