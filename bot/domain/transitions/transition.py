"""A move: a version taking a stage, whoever or whatever caused it. One record, one executor (services/moves.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.promotions.request import Request, Vote
from bot.domain.registry.model import TARGET_STAGES, ModelInfo, Stage, VersionIdentity, VersionInfo, is_legal_transition
from bot.domain.registry.version_identity import identity_change_reason


class TransitionKind(Enum):
    """What caused a move. Later features add causes, never executors."""

    PROMOTION = "promotion"  # a request was approved
    ARCHIVE = "archive"  # somebody took a version aside
    BREAK_GLASS = "break_glass"  # an admin moved it without approvals, in an emergency
    ROLLBACK = "rollback"  # the version before it again: somebody said so, or a monitor did
    REPAIR = "mend"  # somebody pressed the button that gives a stage its one holder back
    IMPORTED = "imported"  # from before Registrar, out of a file that an admin imported
    OBSERVED = "observed"  # made in MLflow, behind our back, and found by the poll


class TransitionState(Enum):
    """A move's life: intended → executing → done, stale or failed."""

    INTENDED = "intended"  # written down with the decision; nothing was done yet
    EXECUTING = "executing"  # somebody holds the model and talks to the registry
    DONE = "done"  # read back from the registry
    STALE = "stale"  # the registry had changed since the decision: nothing was done
    FAILED = "failed"  # the registry refused


UNFINISHED_STATES = (TransitionState.INTENDED, TransitionState.EXECUTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One version into one stage. `expected_incumbent` is who must hold the stage when it is made."""

    id: str
    kind: TransitionKind
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
    state: TransitionState = TransitionState.INTENDED
    attempts: int = 0
    finished_at: datetime | None = None
    why: str = ""
    reason: str = ""  # what the person said who caused it
    incident: str | None = None  # that an automatic rollback answers
    is_forced: bool = False  # the person knew that the version may not load, and said why
    identity: VersionIdentity | None = None  # what the version is; None where an older Registrar wrote the move
    trusted_at: datetime | None = None  # when `identity` was filled in afterward, taken on trust
    began_at: datetime | None = None  # right before the first write to the registry; None: nothing was moved yet

    def is_about(self, version: VersionInfo) -> bool:
        """Tell whether it moved this version, and not another one that had the same number."""
        if self.version != version.version:
            return False
        return self.identity is None or self.identity.is_same(version.identity())

    @property
    def has_alias(self) -> bool:
        """Tell whether the registry's alias for the stage goes along."""
        return self.target in TARGET_STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionFacts:
    """What the registry says right before a move: all versions of the model, or those that a rollback is about.

    `model` is None where it wasn't read.
    """

    versions: tuple[VersionInfo, ...]
    model: ModelInfo | None = None

    def version(self, number: int) -> VersionInfo | None:
        """Return that version, or None where it is gone."""
        return next((one for one in self.versions if one.version == number), None)

    def identity(self, number: int | None) -> VersionIdentity | None:
        """Return what that version is, or None where it is gone."""
        found = None if number is None else self.version(number)
        return None if found is None else found.identity(self.model.created_at if self.model else None)

    def holders(self, stage: Stage) -> list[int]:
        """Return the versions that hold `stage`, newest first."""
        return sorted((one.version for one in self.versions if one.stage is stage), reverse=True)


class TransitionStep(Enum):
    """What is left to do for a move."""

    SET_STAGE_AND_ALIAS = auto()  # the stage, then the alias
    SET_ALIAS = auto()  # the stage is right already (an earlier try got so far); set the alias and read back
    NOTHING = auto()  # it can no longer be made


@dataclass(frozen=True, slots=True)
class TransitionPlan:
    """What to do, and where nothing can be done, why."""

    step: TransitionStep
    reason: Sentence | None = None


def transition_time(transition: Transition) -> datetime:
    """Return when a move was made."""
    return transition.finished_at or transition.intended_at


def promotion_transition(request: Request, last_vote: Vote, now: datetime) -> Transition:
    """Return the move that a request means which is approved `now`; `last` is the vote that completed it.

    Its id makes a second one for the same request impossible.
    """
    return Transition(
        id=f"promotion:{request.id}",
        kind=TransitionKind.PROMOTION,
        model=request.model,
        version=request.version,
        from_stage=request.from_stage,
        target=request.target,
        expected_incumbent=request.incumbent,
        actor=last_vote.voter,
        intended_at=now,
        request=request.id,
        keep_existing=request.keep_existing,
        identity=request.identity,
    )


def break_glass_transition(request: Request, now: datetime) -> Transition:
    """Return the move of a request that an admin approved alone, breaking the glass."""
    return Transition(
        id=f"break_glass:{request.id}",
        kind=TransitionKind.BREAK_GLASS,
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


def archive_transition(
    transition_id: str, version: VersionInfo, actor: Actor, now: datetime, reason: str
) -> Transition:
    """Return the move that takes a version aside. Raises what `check_can_be_archived` does."""
    check_archivable(version)
    return Transition(
        id=transition_id,
        kind=TransitionKind.ARCHIVE,
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


def check_archivable(version: VersionInfo) -> None:
    """Return if a version can be taken aside. Raises Refused for the one in Production, BadInput for no change."""
    if version.stage is Stage.PRODUCTION:
        raise Refused(in_production_refusal(version))
    if version.stage is Stage.ARCHIVED:
        raise BadInput(say("v{v} of {model} is archived already.", v=version.version, model=Name(version.model)))


def repair_transition(
    transition_id: str, model: str, version: int, stage: Stage, actor: Actor, now: datetime, notice_id: str
) -> Transition:
    """Return the move that makes the version the one holder of the stage in which it is, with the stage's alias.

    Who else holds it is read when it is made.
    """
    return Transition(
        id=transition_id,
        kind=TransitionKind.REPAIR,
        model=model,
        version=version,
        from_stage=stage,
        target=stage,
        expected_incumbent=None,
        actor=actor,
        intended_at=now,
        finding=notice_id,
    )


def check_promotable(version: VersionInfo, target: Stage) -> None:
    """Return if somebody may ask that this version move to `target`. Raises BadInput and Refused with the reason."""
    if not is_legal_transition(version.stage, target):
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


def plan_transition(transition: Transition, facts: TransitionFacts) -> TransitionPlan:
    """Compare what was decided with what is true now, and return what is left to do."""
    if another := identity_change_reason(
        transition.model, transition.version, transition.identity, facts.identity(transition.version)
    ):
        return TransitionPlan(TransitionStep.NOTHING, another)
    if transition.kind is TransitionKind.ROLLBACK:
        return _plan_rollback(transition, facts)
    candidate = facts.version(transition.version)
    assert candidate is not None
    holders = facts.holders(transition.target)
    if transition.kind is TransitionKind.ARCHIVE and candidate.stage is Stage.PRODUCTION:
        return TransitionPlan(TransitionStep.NOTHING, in_production_refusal(candidate))
    if candidate.stage is transition.target and (
        transition.keep_existing or not transition.has_alias or holders == [transition.version]
    ):
        # With a first try nobody of ours has moved it: then somebody else did, and the outcome is what was asked.
        return TransitionPlan(TransitionStep.SET_ALIAS)
    if candidate.stage is not transition.from_stage and candidate.stage is not transition.target:
        return TransitionPlan(
            TransitionStep.NOTHING, _stage_changed_reason(transition.version, transition.from_stage, candidate.stage)
        )
    if not transition.has_alias or transition.kind is TransitionKind.REPAIR:
        return TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)
    return _plan_for_changed_incumbent(transition, holders) or TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)


def _plan_rollback(transition: Transition, facts: TransitionFacts) -> TransitionPlan:
    """Return what is left of a rollback. While the incumbent serves, nothing else need be known."""
    holders = facts.holders(transition.target)
    expected = transition.expected_incumbent
    if expected in holders or (expected is None and not holders):
        return TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)
    if transition.version in holders:  # an earlier try got so far, or somebody else did the same
        return TransitionPlan(TransitionStep.SET_ALIAS)
    return TransitionPlan(
        TransitionStep.NOTHING, _incumbent_changed_reason(transition.target, expected, next(iter(holders), None))
    )


def stage_incumbent(facts: TransitionFacts, stage: Stage) -> int | None:
    """Return who holds `stage`; of several, which nobody should have made, the newest."""
    return next(iter(facts.holders(stage)), None)


def is_in_place(transition: Transition, versions: Iterable[VersionInfo]) -> bool:
    """Tell whether what was read back is what was meant: the version holds the stage, and nobody else does."""
    holders = TransitionFacts(versions=tuple(versions)).holders(transition.target)
    return (
        transition.version in holders
        if transition.keep_existing or not transition.has_alias
        else holders == [transition.version]
    )


def is_in_place_by_summary(transition: Transition, model: ModelInfo, alias: str | None) -> bool:
    """Tell the same from the registry's summary of the model, which one request brings.

    The summary names the highest version in a stage and no other: a second, older holder shows in the look at the
    model that follows every move. With None as `alias` only the stage is asked.
    """
    return model.latest.get(transition.target) == transition.version and (
        alias is None or model.aliases.get(alias) == transition.version
    )


def empties_staging(transition: Transition, facts: TransitionFacts) -> bool:
    """Tell whether a promotion takes the only version out of Staging."""
    leaves = (
        transition.request is not None
        and transition.from_stage is Stage.STAGING
        and transition.target is Stage.PRODUCTION
    )
    return leaves and not set(facts.holders(Stage.STAGING)) - {transition.version}


def in_production_refusal(version: VersionInfo) -> Sentence:
    """Return why the version in Production is not taken aside."""
    return say(
        "v{v} of {model} serves in Production, so it stays. Promote another version first; that archives this one.",
        v=version.version,
        model=Name(version.model),
    )


def incumbent_replaced_reason(request: Request, facts: TransitionFacts) -> Sentence | None:
    """Return how the incumbent isn't the one that people compared with, though it has the same number; else None."""
    if request.incumbent is None or request.incumbent_identity is None:
        return None
    return identity_change_reason(
        request.model, request.incumbent, request.incumbent_identity, facts.identity(request.incumbent)
    )


def _plan_for_changed_incumbent(transition: Transition, holders: list[int]) -> TransitionPlan | None:
    others = [one for one in holders if one != transition.version]
    if transition.expected_incumbent == next(iter(others), None):
        return None
    return TransitionPlan(
        TransitionStep.NOTHING,
        _incumbent_changed_reason(transition.target, transition.expected_incumbent, next(iter(others), None)),
    )


def superseded(request: Request, facts: TransitionFacts) -> Sentence | None:
    """Return what is different in the registry since the request was opened, or None: stage and incumbent."""
    candidate = facts.version(request.version)
    if candidate is None:
        return identity_change_reason(request.model, request.version, request.identity, None)
    if candidate.stage is not request.from_stage:
        return _stage_changed_reason(request.version, request.from_stage, candidate.stage)
    now = stage_incumbent(facts, request.target)
    return None if now == request.incumbent else _incumbent_changed_reason(request.target, request.incumbent, now)


def _stage_changed_reason(version: int, old: Stage, new: Stage) -> Sentence:
    return say(
        "v{v} was {was} when this was asked and is {now} now.", v=version, was=_stage_label(old), now=_stage_label(new)
    )


def _incumbent_changed_reason(stage: Stage, old: int | None, new: int | None) -> Sentence:
    return say(
        "{stage} held {was} when this was asked and holds {now} now.",
        stage=stage,
        was=_version_label(old),
        now=_version_label(new),
    )


def _stage_label(stage: Stage) -> str:
    return "without a stage" if stage is Stage.NONE else f"in {stage}"


def _version_label(version: int | None) -> Code | str:
    return "no version" if version is None else Code(f"v{version}")
