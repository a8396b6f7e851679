"""Which passports are valid, based on what happened after their transitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from bot.domain.audit.events import canonical_time
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.transition import Transition, TransitionKind, transition_time

PASSPORT_KINDS = (TransitionKind.PROMOTION, TransitionKind.BREAK_GLASS, TransitionKind.ROLLBACK)
STATUS_TYPE = "urn:registrar:passport-status:v1"
STATUS_PAYLOAD_TYPE = "application/vnd.registrar.status+json"


class PassportState(Enum):
    """Whether a passport is valid, or why it isn't."""

    VALID = "valid"
    REPLACED = "replaced"  # another version was moved into the stage, or this one was moved out
    ROLLED_BACK = "rolled_back"  # a rollback replaced the version
    BLOCKED = "blocked"  # the version was blocked after the transition
    UNREVIEWED = "unreviewed"  # a break-glass promotion whose review is overdue
    FILES_CHANGED = "files_changed"  # the files differ from those that were recorded
    MOVED_OUTSIDE = "moved_outside"  # the stage was changed in the registry directly
    EXPIRED = "expired"
    REISSUED = "reissued"  # the transition has a newer passport


Verdict = tuple[PassportState, datetime | None]  # since when; None for a valid passport
VALID: Verdict = (PassportState.VALID, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportStatus:
    """A passport's state, and when it became invalid."""

    passport: Passport
    state: PassportState
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What can invalidate passports besides later transitions.

    `blocks` are the blocks that no one has cleared. `overdue` has the due dates of overdue reviews, by request.
    `changed` has the times at which changed files were found, by model, version, and the manifest's digest.
    """

    blocks: Sequence[RollbackBlock] = ()
    overdue: Mapping[str, datetime] = field(default_factory=dict)
    changed: Mapping[tuple[str, int, str], datetime | None] = field(default_factory=dict)


def stage_verdicts(changes: Iterable[Transition], stage: Stage) -> dict[str, Verdict]:
    """Return the verdict on each transition that can have a passport, based on later transitions, by ID.

    `changes` are one model's finished transitions, in ledger order; only those into or out of `stage` count. If a
    repair keeps the version, the verdict is valid again despite earlier changes made directly in the registry.
    """
    verdicts: dict[str, Verdict] = {}
    holder: Transition | None = None
    for change in changes:
        is_same = holder is not None and _is_same_version(change, holder)
        if change.target is not stage and not (change.from_stage is stage and is_same):
            continue
        if holder and (verdict := _verdict_after(change, holder, is_same=is_same, before=verdicts[holder.id])):
            verdicts[holder.id] = verdict
        if change.target is stage and change.kind in PASSPORT_KINDS:
            holder, verdicts[change.id] = change, VALID
        elif change.kind is not TransitionKind.OBSERVED and not (is_same and change.target is stage):
            holder = None
    return verdicts


def _is_same_version(change: Transition, holder: Transition) -> bool:
    """Return whether both are about the same version, not a different one that got its number."""
    one, other = change.identity, holder.identity
    return change.version == holder.version and (one is None or other is None or one.is_same(other))


def _verdict_after(change: Transition, holder: Transition, *, is_same: bool, before: Verdict) -> Verdict | None:
    """Return the new verdict on the stage's holder after this change to the stage, or None if it stays the same."""
    if change.kind is TransitionKind.REPAIR and is_same:
        return VALID
    if before != VALID:
        return None
    if change.kind is TransitionKind.OBSERVED:
        return PassportState.MOVED_OUTSIDE, transition_time(change)
    is_rollback = change.kind is TransitionKind.ROLLBACK and not is_same
    return (PassportState.ROLLED_BACK if is_rollback else PassportState.REPLACED), transition_time(change)


def current_transition(changes: Iterable[Transition], stage: Stage) -> Transition | None:
    """Return the transition that put a model's current version into the stage, or None if no passport can be valid."""
    by_id = {change.id: change for change in changes}
    verdicts = stage_verdicts(by_id.values(), stage)
    return next((by_id[move] for move, verdict in verdicts.items() if verdict == VALID), None)


def passport_statuses(
    passports: Sequence[Passport], changes: Iterable[Transition], facts: StatusFacts, now: datetime
) -> list[PassportStatus]:
    """Return the status of each passport.

    `passports` are all unexpired passports of some models, oldest first. `changes` are these models' finished
    transitions in ledger order, starting with each model's first transition that has one of the passports.
    """
    by_model: dict[str, list[Transition]] = {}
    for change in changes:
        by_model.setdefault(change.model, []).append(change)
    places = {(passport.model, passport.stage) for passport in passports}
    verdicts = {
        move: verdict
        for model, stage in places
        for move, verdict in stage_verdicts(by_model.get(model, []), stage).items()
    }
    moves = {change.id: change for each in by_model.values() for change in each}
    newest = {passport.move: passport for passport in passports}
    return [
        _status(passport, moves[passport.move], verdicts[passport.move], newest[passport.move], facts, now)
        for passport in passports
    ]


def _status(
    passport: Passport, move: Transition, verdict: Verdict, newest: Passport, facts: StatusFacts, now: datetime
) -> PassportStatus:
    """Return a passport's status: the first reason that it's invalid, or valid if there isn't one."""
    place = (passport.model, passport.version)
    blocked = [
        block.at for block in facts.blocks if (block.model, block.version) == place and block.at > transition_time(move)
    ]
    if verdict != VALID:
        state, since = verdict
    elif newest.id != passport.id:
        state, since = PassportState.REISSUED, newest.issued_at
    elif now >= passport.expires_at:
        state, since = PassportState.EXPIRED, passport.expires_at
    elif blocked:
        state, since = PassportState.BLOCKED, min(blocked)
    elif move.request and move.request in facts.overdue:
        state, since = PassportState.UNREVIEWED, facts.overdue[move.request]
    elif (*place, passport.digest) in facts.changed:
        state, since = PassportState.FILES_CHANGED, facts.changed[*place, passport.digest]
    else:
        state, since = VALID
    return PassportStatus(passport=passport, state=state, since=since)


def status_list(statuses: Iterable[PassportStatus], issued: datetime, expires: datetime) -> dict[str, Any]:
    """Return the status list, which the caller signs."""
    return {
        "type": STATUS_TYPE,
        "issued": canonical_time(issued),
        "expires": canonical_time(expires),
        "passports": [
            {
                "id": status.passport.id,
                "model": status.passport.model,
                "version": status.passport.version,
                "stage": status.passport.stage.value,
                "status": status.state.value,
                "since": status.since and canonical_time(status.since),
            }
            for status in statuses
        ],
    }
