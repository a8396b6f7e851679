"""Rolling back: who served in Production, which version to go back to, and which ones are barred. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.people import Actor
from bot.domain.registry import Stage

BEFORE_US = "in Production before Registrar looked"  # why of the move that the first look writes down


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A version was rolled back as bad: nothing goes back to it by itself until a person clears it."""

    id: str
    model: str
    version: int
    move: str  # the rollback's
    at: datetime
    by: Actor
    reason: str
    cleared_at: datetime | None = None
    cleared_by: Actor | None = None
    clear_reason: str = ""


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


def time_of(move: Move) -> datetime:
    """Return when a move was made."""
    return move.finished_at or move.intended_at


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


def targets(found: Sequence[Served], barred: Collection[int]) -> list[int]:
    """Return the versions to go back to, the best first: those that served before, without the barred ones."""
    now = found[0].version if found and found[0].until is None else None
    return list(
        dict.fromkeys(one.version for one in way_back(found) if one.version not in barred and one.version != now)
    )


def last_good(found: Sequence[Served], barred: Collection[int], now: datetime, min_served: timedelta) -> int | None:
    """Return the version that an automation may go back to: of `targets` the first that has served for long enough.

    One that was there before Registrar looked has served for longer than anybody here knows, and is long enough.
    """
    for version in targets(found, barred):
        mine = [one for one in found if one.version == version]
        served = sum((one.lasted(now) for one in mine), timedelta())
        if served >= min_served or any(one.is_older_than_us for one in mine):
            return version
    return None


def rolling_back(
    move_id: str, model: str, *, target: int, incumbent: int | None, actor: Actor, now: datetime, reason: str
) -> Move:
    """Return the move that puts `target` into Production in place of `incumbent`, whoever caused it."""
    return Move(
        id=move_id, kind=MoveKind.ROLLBACK, model=model, version=target, from_stage=Stage.ARCHIVED,
        target=Stage.PRODUCTION, expected_incumbent=incumbent, actor=actor, intended_at=now, reason=reason,
    )  # fmt: skip


def automatic_id(model: str, judged: str) -> str:
    """Return the id of the automatic rollback of the term that a move began: one, however many monitors fail."""
    return f"rollback:{model}:{judged}"


def bar(move: Move, bar_id: str, at: datetime) -> Bar | None:
    """Return the bar that a finished rollback puts on the version it took out; None where it took out none."""
    if move.expected_incumbent is None:
        return None
    return Bar(id=bar_id, model=move.model, version=move.expected_incumbent, move=move.id, at=at, by=move.actor,
               reason=move.reason)  # fmt: skip
