"""Rollbacks: what served in Production, which version to roll back to, and which versions are blocked. Pure."""

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

TRUSTED_AFTER = timedelta(hours=24)  # how long until an automation relies on an unverified identity

BEFORE_REGISTRAR = "in Production before Registrar looked"  # the reason of transitions that the first poll records


@dataclass(frozen=True, slots=True)
class ServingPeriod:
    """A period in Production: the transition that started it, and the one that ended it, if any."""

    started_by: Transition
    ended_by: Transition | None

    @property
    def version(self) -> int:
        """The version that served."""
        return self.started_by.version

    @property
    def since(self) -> datetime:
        """When the period started."""
        return transition_time(self.started_by)

    @property
    def until(self) -> datetime | None:
        """When the period ended; None if the version is still serving."""
        return transition_time(self.ended_by) if self.ended_by else None

    @property
    def predates_registrar(self) -> bool:
        """Whether the version was in Production before Registrar started watching, so the start is unknown."""
        return self.started_by.kind is TransitionKind.OBSERVED and self.started_by.why == BEFORE_REGISTRAR

    def duration(self, now: datetime) -> timedelta:
        """Return how long the version has served, as far as is known."""
        return (self.until or now) - self.since


def serving_periods(transitions: Sequence[Transition]) -> list[ServingPeriod]:
    """Return the serving periods that result from these transitions; both are newest first.

    A repair leaves the serving version in place and doesn't start a period.
    """
    periods: list[ServingPeriod] = []
    ended: Transition | None = None
    for transition in (candidate for candidate in transitions if candidate.state is TransitionState.DONE):
        if transition.target is Stage.PRODUCTION:
            if ended and ended.kind is TransitionKind.REPAIR and ended.version == transition.version:
                periods[-1] = replace(periods[-1], started_by=transition)
            else:
                periods.append(ServingPeriod(transition, ended))
            ended = transition
        elif transition.from_stage is Stage.PRODUCTION:
            ended = transition
    return periods


def period_at(periods: Sequence[ServingPeriod], at: datetime) -> ServingPeriod | None:
    """Return the period at a point in time; None if Production was empty or unknown."""
    return next(
        (period for period in periods if period.since <= at and (period.until is None or at < period.until)), None
    )


def rollback_path(periods: Sequence[ServingPeriod]) -> list[ServingPeriod]:
    """Return the periods to roll back to, most recent first, excluding the current one. `periods` is newest first.

    A rollback drops the periods after its target, so the next rollback goes further back, never forward.
    """
    stack: list[ServingPeriod] = []
    for period in reversed(periods):
        if period.started_by.kind is TransitionKind.ROLLBACK:
            while stack and period.started_by.version in {later.version for later in stack}:
                if stack.pop().version == period.started_by.version:
                    break
            else:
                if stack and stack[-1].version == period.started_by.expected_incumbent:
                    stack.pop()
        stack.append(period)
    if periods and periods[0].until is None and stack:
        stack.pop()
    return stack[::-1]


class TargetRefusal(Enum):
    """Why no rollback, even a forced one, can put a version into Production."""

    NEVER_SERVED = "never_served"  # no finished transition ever put it into Production
    ANOTHER_VERSION = "another_version"  # another version with this number served
    BLOCKED = "blocked"  # it was rolled back and not unblocked since


def target_refusal(
    version: int, promotions: Sequence[Transition], blocked_versions: Collection[int], snapshot: RegistrySnapshot | None
) -> TargetRefusal | None:
    """Return why a version can't be a rollback target, or None if it can.

    `promotions` are the finished transitions that put this version into Production. `blocked_versions` are the model's
    blocked versions, and `snapshot` is its latest snapshot.
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
    """Return the newest block of each blocked version in `identities`, by version number.

    `history` has the model's blocks, oldest first. `entries` returns a version's finished transitions to Production,
    newest first, and is called only for numbers that have a block. A block applies to the version that was rolled back,
    not to another version with the same number. If either identity is unknown, the number alone decides.
    """
    return {
        block.version: block
        for block in history
        if block.version in identities and _is_block_about(block, entries(block.version), identities[block.version])
    }


def _is_block_about(block: RollbackBlock, entries: Sequence[Transition], identity: VersionIdentity | None) -> bool:
    out = next((entry.identity for entry in entries if transition_time(entry) <= block.at), None)
    return out is None or identity is None or out.is_same_ignoring_source(identity)


def is_still_there(entry: Transition, snapshot: RegistrySnapshot | None) -> bool:
    """Return whether the latest snapshot still has the version that a transition put into Production.

    Assume that it does if there's no newer snapshot with fingerprints; the executor compares again.
    """
    return (
        snapshot is None
        or snapshot.at < transition_time(entry)
        or not snapshot.holds_other_version(entry.version, entry.identity)
    )


def identity_in_production(entries: Sequence[Transition], snapshot: RegistrySnapshot | None) -> VersionIdentity | None:
    """Return the identity that a version last entered Production with, if it's still current; None if unknown."""
    return next((entry.identity for entry in entries if is_still_there(entry, snapshot)), None)


def rollback_targets(
    periods: Sequence[ServingPeriod], blocked_versions: Collection[int], snapshot: RegistrySnapshot | None = None
) -> list[int]:
    """Return the rollback targets, best first: the versions that served before and aren't blocked.

    A version that has been replaced since, according to the latest snapshot, isn't a target.
    """
    now = periods[0].version if periods and periods[0].until is None else None
    back = (period for period in rollback_path(periods) if is_still_there(period.started_by, snapshot))
    return list(
        dict.fromkeys(
            period.version for period in back if period.version not in blocked_versions and period.version != now
        )
    )


def last_good_version(
    periods: Sequence[ServingPeriod],
    blocked_versions: Collection[int],
    now: datetime,
    min_served: timedelta,
    snapshot: RegistrySnapshot | None = None,
) -> int | None:
    """Return the version that an automation can roll back to: the first target that served for `min_served`.

    A version that was in Production before Registrar counts as having served that long. An identity filled in later,
    unverified, counts only after `TRUSTED_AFTER`; an unknown one never does. Return None if no target qualifies.
    """
    for version in rollback_targets(periods, blocked_versions, snapshot):
        mine = [period for period in periods if period.version == version and _is_proven(period.started_by, now)]
        served = sum((period.duration(now) for period in mine), timedelta())
        if mine and (served >= min_served or any(period.predates_registrar for period in mine)):
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
    """Return the transition that puts `target` into Production in place of `incumbent`.

    `identity` is the target's identity when it served. A version with a different identity isn't put into Production.
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
    """Return the ID of the automatic rollback that ends the period started by a transition; all monitors share it."""
    return f"rollback:{model}:{started_by}"


def block_after_rollback(transition: Transition, block_id: str, at: datetime) -> RollbackBlock | None:
    """Return the block that a finished rollback puts on the version it removed, or None if Production was empty."""
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
