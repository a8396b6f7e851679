"""Rolling back: who served in Production, which version to go back to, and which ones are barred. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.registry.model import Identity, Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.drift import Look
from bot.domain.transitions.transition import Move, MoveKind, MoveState, time_of

TRUSTED_AFTER = timedelta(hours=24)  # until an automation acts on an identity that was taken on trust

BEFORE_US = "in Production before Registrar looked"  # why of the move that the first look writes down


@dataclass(frozen=True, slots=True)
class Served:
    """One stretch of Production: the move that began it, and the one that ended it if it has ended."""

    began: Move
    ended: Move | None

    @property
    def version(self) -> int:
        """Who served."""
        return self.began.version

    @property
    def since(self) -> datetime:
        """From when on."""
        return time_of(self.began)

    @property
    def until(self) -> datetime | None:
        """Until when; None for whoever serves now."""
        return time_of(self.ended) if self.ended else None

    @property
    def is_older_than_us(self) -> bool:
        """Tell whether it was there when Registrar first looked, so that nobody knows since when."""
        return self.began.kind is MoveKind.OBSERVED and self.began.why == BEFORE_US

    def lasted(self, now: datetime) -> timedelta:
        """Return how long it served, as far as we know."""
        return (self.until or now) - self.since


def stretches(moves: Sequence[Move]) -> list[Served]:
    """Return the stretches of Production that the moves (newest first) tell of, newest first.

    Mending leaves the version that serves where it is, and begins no stretch of its own.
    """
    found: list[Served] = []
    ended: Move | None = None
    for move in (one for one in moves if one.state is MoveState.DONE):
        if move.target is Stage.PRODUCTION:
            if ended and ended.kind is MoveKind.MEND and ended.version == move.version:
                found[-1] = replace(found[-1], began=move)
            else:
                found.append(Served(move, ended))
            ended = move
        elif move.from_stage is Stage.PRODUCTION:
            ended = move
    return found


def served_at(found: Sequence[Served], at: datetime) -> Served | None:
    """Return who served at a moment; None for nobody, or where nobody knows."""
    return next((one for one in found if one.since <= at and (one.until is None or at < one.until)), None)


def way_back(found: Sequence[Served]) -> list[Served]:
    """Return the stretches (given newest first) that can be gone back to, the nearest first; the present one is none.

    A rollback takes what lay above its target away, so that the next one goes further back and never forward again.
    """
    stack: list[Served] = []
    for one in reversed(found):
        if one.began.kind is MoveKind.ROLLBACK:
            while stack and one.began.version in {each.version for each in stack}:
                if stack.pop().version == one.began.version:
                    break
            else:
                if stack and stack[-1].version == one.began.expected_incumbent:
                    stack.pop()
        stack.append(one)
    if found and found[0].until is None and stack:
        stack.pop()
    return stack[::-1]


class NotATarget(Enum):
    """Why no rollback can put a version into Production, whoever asks and however hard."""

    NEVER_SERVED = "never_served"  # no finished move ever put it into Production
    ANOTHER_VERSION = "another_version"  # one with this number served, and was replaced since
    BLOCKED = "blocked"  # it was rolled back as bad, and nobody has unblocked it since


def refusal(version: int, entries: Sequence[Move], barred: Collection[int], look: Look | None) -> NotATarget | None:
    """Return why a version isn't a target of a rollback, or None where it is one.

    `entries` are the finished moves that put this version into Production; `barred` are the model's blocked versions;
    `look` is the last look at the model.
    """
    if not entries:
        return NotATarget.NEVER_SERVED
    if not any(is_still_there(entry, look) for entry in entries):
        return NotATarget.ANOTHER_VERSION
    return NotATarget.BLOCKED if version in barred else None


def blocks(
    bars: Iterable[Bar], entries: Callable[[int], Sequence[Move]], identities: Mapping[int, Identity | None]
) -> dict[int, Bar]:
    """Return the newest block of each of these versions that is blocked, by number.

    `bars` are the model's, oldest first; `entries` gives the finished moves that put a number into Production, newest
    first, and is asked for blocked numbers only. A block is about the version that was rolled back: another one under
    its number isn't blocked. Where nobody knows what one of the two is, the number counts.
    """
    return {
        bar.version: bar
        for bar in bars
        if bar.version in identities and _is_about(bar, entries(bar.version), identities[bar.version])
    }


def _is_about(block: Bar, entries: Sequence[Move], identity: Identity | None) -> bool:
    out = next((entry.identity for entry in entries if time_of(entry) <= block.at), None)
    return out is None or identity is None or out.is_same_but_moved(identity)


def is_still_there(entry: Move, look: Look | None) -> bool:
    """Tell whether the version that a move put into Production is still under its number, as the last look has it.

    Where nobody has looked since, or an older Registrar did, nothing says that it isn't: the executor compares again.
    """
    return look is None or look.at < time_of(entry) or not look.has_replaced(entry.version, entry.identity)


def served_as(entries: Sequence[Move], look: Look | None) -> Identity | None:
    """Return what a version was when it last came into Production and still is; None where nobody knows."""
    return next((entry.identity for entry in entries if is_still_there(entry, look)), None)


def targets(found: Sequence[Served], barred: Collection[int], look: Look | None = None) -> list[int]:
    """Return the versions to roll back to, the best first: those that served before, without the barred ones.

    A version that isn't what served any more, as the last look has it, is no target.
    """
    now = found[0].version if found and found[0].until is None else None
    back = (one for one in way_back(found) if is_still_there(one.began, look))
    return list(dict.fromkeys(one.version for one in back if one.version not in barred and one.version != now))


def last_good(
    found: Sequence[Served], barred: Collection[int], now: datetime, min_served: timedelta, look: Look | None = None
) -> int | None:
    """Return the version that an automation can roll back to: of `targets` the first that has served for long enough.

    One that was there before Registrar looked has served for longer than anybody here knows, and is long enough. What a
    version is, where that was taken on trust, counts after a day.
    """
    for version in targets(found, barred, look):
        mine = [one for one in found if one.version == version and _is_proven(one.began, now)]
        served = sum((one.lasted(now) for one in mine), timedelta())
        if mine and (served >= min_served or any(one.is_older_than_us for one in mine)):
            return version
    return None


def _is_proven(move: Move, now: datetime) -> bool:
    if move.identity is None:
        return False
    return move.trusted_at is None or now - move.trusted_at >= TRUSTED_AFTER


def rolling_back(
    move_id: str,
    model: str,
    *,
    target: int,
    incumbent: int | None,
    actor: Actor,
    now: datetime,
    reason: str,
    identity: Identity | None = None,
) -> Move:
    """Return the move that puts `target` into Production in place of `incumbent`, whoever caused it.

    `identity` is what the target was when it served: only that is moved.
    """
    return Move(
        id=move_id,
        kind=MoveKind.ROLLBACK,
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


def automatic_id(model: str, judged: str) -> str:
    """Return the id of the automatic rollback of the term that a move began: one, however many monitors fail."""
    return f"rollback:{model}:{judged}"


def bar(move: Move, bar_id: str, at: datetime) -> Bar | None:
    """Return the bar that a finished rollback puts on the version it took out; None where it took out none."""
    if move.expected_incumbent is None:
        return None
    return Bar(
        id=bar_id,
        model=move.model,
        version=move.expected_incumbent,
        move=move.id,
        at=at,
        by=move.actor,
        reason=move.reason,
    )
