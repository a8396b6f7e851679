"""A move: a version taking a stage, whoever or whatever caused it. One record, one executor (services/moves.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.promotions.request import Request, Vote
from bot.domain.registry.model import TARGETS, Identity, ModelInfo, Stage, VersionInfo, is_legal
from bot.domain.registry.version_identity import difference


class MoveKind(Enum):
    """What caused a move. Later features add causes, never executors."""

    PROMOTION = "promotion"  # a request was approved
    ARCHIVE = "archive"  # somebody took a version aside
    BREAK_GLASS = "break_glass"  # an admin moved it without approvals, in an emergency
    ROLLBACK = "rollback"  # the version before it again: somebody said so, or a monitor did
    MEND = "mend"  # somebody pressed the button that gives a stage its one holder back
    IMPORTED = "imported"  # from before Registrar, out of a file that an admin imported
    OBSERVED = "observed"  # made in MLflow, behind our back, and found by the poll


class MoveState(Enum):
    """A move's life: intended → executing → done, stale or failed."""

    INTENDED = "intended"  # written down with the decision; nothing was done yet
    EXECUTING = "executing"  # somebody holds the model and talks to the registry
    DONE = "done"  # read back from the registry
    STALE = "stale"  # the registry had changed since the decision: nothing was done
    FAILED = "failed"  # the registry refused


UNFINISHED = (MoveState.INTENDED, MoveState.EXECUTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One version into one stage. `expected_incumbent` is who must hold the stage when it is made."""

    id: str
    kind: MoveKind
    model: str
    version: int
    from_stage: Stage
    target: Stage
    expected_incumbent: int | None
    actor: Actor
    intended_at: datetime
    request: str | None = None
    finding: str | None = None  # what showed that this was to be mended
    keep_existing: bool = False
    state: MoveState = MoveState.INTENDED
    attempts: int = 0
    finished_at: datetime | None = None
    why: str = ""
    reason: str = ""  # what the person said who caused it
    incident: str | None = None  # that an automatic rollback answers
    is_forced: bool = False  # the person knew that the version may not load, and said why
    identity: Identity | None = None  # what the version is; None where an older Registrar wrote the move
    trusted_at: datetime | None = None  # when `identity` was filled in afterward, taken on trust
    began_at: datetime | None = None  # right before the first write to the registry; None: nothing was moved yet

    def is_of(self, version: VersionInfo) -> bool:
        """Tell whether it moved this version, and not another one that had the same number."""
        if self.version != version.version:
            return False
        return self.identity is None or self.identity.is_same(version.identity())

    @property
    def has_alias(self) -> bool:
        """Tell whether the registry's alias for the stage goes along."""
        return self.target in TARGETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the registry says right before a move: all versions of the model, or those that a rollback is about.

    `model` is None where it wasn't read.
    """

    versions: tuple[VersionInfo, ...]
    model: ModelInfo | None = None

    def version(self, number: int) -> VersionInfo | None:
        """Return that version, or None where it is gone."""
        return next((one for one in self.versions if one.version == number), None)

    def identity(self, number: int | None) -> Identity | None:
        """Return what that version is, or None where it is gone."""
        found = None if number is None else self.version(number)
        return None if found is None else found.identity(self.model.created_at if self.model else None)

    def holders(self, stage: Stage) -> list[int]:
        """Return the versions that hold `stage`, newest first."""
        return sorted((one.version for one in self.versions if one.stage is stage), reverse=True)


class Step(Enum):
    """What is left to do for a move."""

    TRANSITION = auto()  # the stage, then the alias
    ALIAS = auto()  # the stage is right already (an earlier try got so far); set the alias and read back
    NOTHING = auto()  # it can no longer be made


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and where nothing can be done, why."""

    step: Step
    why: Say | None = None


def time_of(move: Move) -> datetime:
    """Return when a move was made."""
    return move.finished_at or move.intended_at


def intended(request: Request, last: Vote, now: datetime) -> Move:
    """Return the move that a request means which is approved `now`; `last` is the vote that completed it.

    Its id makes a second one for the same request impossible.
    """
    return Move(
        id=f"promotion:{request.id}",
        kind=MoveKind.PROMOTION,
        model=request.model,
        version=request.version,
        from_stage=request.from_stage,
        target=request.target,
        expected_incumbent=request.incumbent,
        actor=last.voter,
        intended_at=now,
        request=request.id,
        keep_existing=request.keep_existing,
        identity=request.identity,
    )


def in_an_emergency(request: Request, now: datetime) -> Move:
    """Return the move of a request that an admin approved alone, breaking the glass."""
    return Move(
        id=f"break_glass:{request.id}",
        kind=MoveKind.BREAK_GLASS,
        model=request.model,
        version=request.version,
        from_stage=request.from_stage,
        target=request.target,
        expected_incumbent=request.incumbent,
        actor=request.requester,
        intended_at=now,
        request=request.id,
        keep_existing=request.keep_existing,
        reason=request.reason,
        identity=request.identity,
    )


def archiving(move_id: str, version: VersionInfo, actor: Actor, now: datetime, reason: str) -> Move:
    """Return the move that takes a version aside. Raises what `check_can_be_archived` does."""
    check_can_be_archived(version)
    return Move(
        id=move_id,
        kind=MoveKind.ARCHIVE,
        model=version.model,
        version=version.version,
        from_stage=version.stage,
        target=Stage.ARCHIVED,
        expected_incumbent=None,
        actor=actor,
        intended_at=now,
        reason=reason,
        identity=version.identity(),
    )


def check_can_be_archived(version: VersionInfo) -> None:
    """Return if a version can be taken aside. Raises Refused for the one in Production, BadInput for no change."""
    if version.stage is Stage.PRODUCTION:
        raise Refused(serves(version))
    if version.stage is Stage.ARCHIVED:
        raise BadInput(say("v{v} of {model} is archived already.", v=version.version, model=Name(version.model)))


def mending(move_id: str, model: str, version: int, stage: Stage, actor: Actor, now: datetime, finding: str) -> Move:
    """Return the move that makes the version the one holder of the stage in which it is, with the stage's alias.

    Who else holds it is read when it is made.
    """
    return Move(
        id=move_id,
        kind=MoveKind.MEND,
        model=model,
        version=version,
        from_stage=stage,
        target=stage,
        expected_incumbent=None,
        actor=actor,
        intended_at=now,
        finding=finding,
    )


def check_can_be_asked(version: VersionInfo, target: Stage) -> None:
    """Return if somebody may ask that this version move to `target`. Raises BadInput and Refused with the reason."""
    if not is_legal(version.stage, target):
        raise BadInput(
            say("v{v} of {model} is in {stage} already.", v=version.version, model=Name(version.model), stage=target)
        )
    if version.stage is Stage.PRODUCTION:
        raise BadInput(
            say(
                "v{v} of {model} serves in Production; moving it to {stage} would leave nobody there. "
                "Promote another version first.",
                v=version.version,
                model=Name(version.model),
                stage=target,
            )
        )
    if version.status != "READY":
        raise Refused(
            say(
                "v{v} of {model} is not ready: MLflow says {status}.",
                v=version.version,
                model=Name(version.model),
                status=Code(version.status),
            )
        )


def plan(move: Move, facts: Facts) -> Plan:
    """Compare what was decided with what is true now, and return what is left to do."""
    if another := difference(move.model, move.version, move.identity, facts.identity(move.version)):
        return Plan(Step.NOTHING, another)
    if move.kind is MoveKind.ROLLBACK:
        return _plan_back(move, facts)
    candidate = facts.version(move.version)
    assert candidate is not None
    holders = facts.holders(move.target)
    if move.kind is MoveKind.ARCHIVE and candidate.stage is Stage.PRODUCTION:
        return Plan(Step.NOTHING, serves(candidate))
    if candidate.stage is move.target and (move.keep_existing or not move.has_alias or holders == [move.version]):
        # With a first try nobody of ours has moved it: then somebody else did, and the outcome is what was asked.
        return Plan(Step.ALIAS)
    if candidate.stage is not move.from_stage and candidate.stage is not move.target:
        return Plan(Step.NOTHING, _another_stage(move.version, move.from_stage, candidate.stage))
    if not move.has_alias or move.kind is MoveKind.MEND:
        return Plan(Step.TRANSITION)
    return _incumbent_changed(move, holders) or Plan(Step.TRANSITION)


def _plan_back(move: Move, facts: Facts) -> Plan:
    """Return what is left of a rollback. While the incumbent serves, nothing else need be known."""
    holders = facts.holders(move.target)
    expected = move.expected_incumbent
    if expected in holders or (expected is None and not holders):
        return Plan(Step.TRANSITION)
    if move.version in holders:  # an earlier try got so far, or somebody else did the same
        return Plan(Step.ALIAS)
    return Plan(Step.NOTHING, _another_incumbent(move.target, expected, next(iter(holders), None)))


def incumbent(facts: Facts, stage: Stage) -> int | None:
    """Return who holds `stage`; of several, which nobody should have made, the newest."""
    return next(iter(facts.holders(stage)), None)


def is_settled(move: Move, versions: Iterable[VersionInfo]) -> bool:
    """Tell whether what was read back is what was meant: the version holds the stage, and nobody else does."""
    holders = Facts(versions=tuple(versions)).holders(move.target)
    return move.version in holders if move.keep_existing or not move.has_alias else holders == [move.version]


def looks_settled(move: Move, model: ModelInfo, alias: str | None) -> bool:
    """Tell the same from the registry's summary of the model, which one request brings.

    The summary names the highest version in a stage and no other: a second, older holder shows in the look at the
    model that follows every move. With None as `alias` only the stage is asked.
    """
    return model.latest.get(move.target) == move.version and (alias is None or model.aliases.get(alias) == move.version)


def empties_staging(move: Move, facts: Facts) -> bool:
    """Tell whether a promotion takes the only version out of Staging."""
    leaves = move.request is not None and move.from_stage is Stage.STAGING and move.target is Stage.PRODUCTION
    return leaves and not set(facts.holders(Stage.STAGING)) - {move.version}


def serves(version: VersionInfo) -> Say:
    """Return why the version in Production is not taken aside."""
    return say(
        "v{v} of {model} serves in Production, so it stays. Promote another version first; that archives this one.",
        v=version.version,
        model=Name(version.model),
    )


def incumbent_changed(request: Request, facts: Facts) -> Say | None:
    """Return how the incumbent isn't the one that people compared with, though it has the same number; else None."""
    if request.incumbent is None or request.incumbent_identity is None:
        return None
    return difference(request.model, request.incumbent, request.incumbent_identity, facts.identity(request.incumbent))


def _incumbent_changed(move: Move, holders: list[int]) -> Plan | None:
    others = [one for one in holders if one != move.version]
    if move.expected_incumbent == next(iter(others), None):
        return None
    return Plan(Step.NOTHING, _another_incumbent(move.target, move.expected_incumbent, next(iter(others), None)))


def overtaken(request: Request, facts: Facts) -> Say | None:
    """Return what is different in the registry since the request was opened, or None: stage and incumbent."""
    candidate = facts.version(request.version)
    if candidate is None:
        return difference(request.model, request.version, request.identity, None)
    if candidate.stage is not request.from_stage:
        return _another_stage(request.version, request.from_stage, candidate.stage)
    now = incumbent(facts, request.target)
    return None if now == request.incumbent else _another_incumbent(request.target, request.incumbent, now)


def _another_stage(version: int, was: Stage, now: Stage) -> Say:
    return say(
        "v{v} was {was} when this was asked and is {now} now.", v=version, was=_standing(was), now=_standing(now)
    )


def _another_incumbent(stage: Stage, was: int | None, now: int | None) -> Say:
    return say(
        "{stage} held {was} when this was asked and holds {now} now.",
        stage=stage,
        was=_or_nobody(was),
        now=_or_nobody(now),
    )


def _standing(stage: Stage) -> str:
    return "without a stage" if stage is Stage.NONE else f"in {stage}"


def _or_nobody(version: int | None) -> Code | str:
    return "no version" if version is None else Code(f"v{version}")
