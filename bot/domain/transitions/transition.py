"""Transitions: a version entering a stage, for any reason. All share one record type and one executor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.promotions.request import Request
from bot.domain.registry.model import (
    TARGET_STAGES,
    ModelInfo,
    Stage,
    VersionIdentity,
    VersionInfo,
    identity_change_reason,
)


class TransitionKind(Enum):
    """What caused a transition."""

    PROMOTION = "promotion"  # a request was approved
    ARCHIVE = "archive"  # someone archived a version
    BREAK_GLASS = "break_glass"  # an admin promoted without approvals, in an emergency
    ROLLBACK = "rollback"  # back to an earlier version, by a person or a monitor
    REPAIR = "mend"  # someone repaired a stage with several versions
    IMPORTED = "imported"  # from before Registrar, in a file that an admin imported
    OBSERVED = "observed"  # made in MLflow directly, and found by the poll


class TransitionState(Enum):
    """The states of a transition: intended → executing → done, stale, or failed."""

    INTENDED = "intended"  # recorded with the decision; not started
    EXECUTING = "executing"  # a process holds the model's lease and is calling the registry
    DONE = "done"  # read back from the registry
    STALE = "stale"  # the registry had changed since the decision: no version was moved
    FAILED = "failed"  # the registry refused


UNFINISHED_STATES = (TransitionState.INTENDED, TransitionState.EXECUTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A transition of one version into one stage.

    A promotion or rollback is executed only while `expected_incumbent` holds the stage; None means that the stage must
    be empty.
    """

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
    finding: str | None = None  # the ID of the drift notice that it repairs
    keep_existing: bool = False
    state: TransitionState = TransitionState.INTENDED
    attempts: int = 0
    finished_at: datetime | None = None
    why: str = ""
    reason: str = ""  # the stated reason
    incident: str | None = None  # the incident of an automatic rollback
    is_forced: bool = False  # a person accepted that the version might not load, and said why
    identity: VersionIdentity | None = None  # the version's identity; None if an older release recorded it
    trusted_at: datetime | None = None  # when `identity` was filled in later, unverified
    began_at: datetime | None = None  # right before the first write to the registry; None: not started

    def is_about(self, version: VersionInfo) -> bool:
        """Return whether the transition is about this version rather than another one with the same number."""
        if self.version != version.version:
            return False
        return self.identity is None or self.identity.is_same(version.identity())

    @property
    def has_alias(self) -> bool:
        """Whether the transition also sets the registry's alias for the stage."""
        return self.target in TARGET_STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """The latest finished transition into a stage, and its version's semver if a request recorded one."""

    transition: Transition
    semver: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionFacts:
    """The registry's state right before a transition: all of the model's versions, or only those a rollback needs.

    `model` is None if it wasn't read.
    """

    versions: tuple[VersionInfo, ...]
    model: ModelInfo | None = None

    def version(self, number: int) -> VersionInfo | None:
        """Return the version with this number, or None if it was deleted."""
        return next((version for version in self.versions if version.version == number), None)

    def identity(self, number: int | None) -> VersionIdentity | None:
        """Return the version's identity, or None if `number` is None or the version was deleted."""
        version = None if number is None else self.version(number)
        return None if version is None else version.identity(self.model.created_at if self.model else None)

    def holders(self, stage: Stage) -> list[int]:
        """Return the versions that hold `stage`, newest first."""
        return sorted((version.version for version in self.versions if version.stage is stage), reverse=True)


class TransitionStep(Enum):
    """What remains to be done for a transition."""

    SET_STAGE_AND_ALIAS = auto()  # the stage, then the alias
    SET_ALIAS = auto()  # an earlier attempt has set the stage; set the alias and read back
    NOTHING = auto()  # it can no longer be executed


@dataclass(frozen=True, slots=True)
class TransitionPlan:
    """The next step, or why there is none."""

    step: TransitionStep
    reason: Sentence | None = None


def transition_time(transition: Transition) -> datetime:
    """Return when a transition finished or, if it hasn't, when it was intended."""
    return transition.finished_at or transition.intended_at


def promotion_id(request: Request) -> str:
    """Return the ID for a request's transition, which might not exist."""
    return f"{_promotion_kind(request).value}:{request.id}"


def _promotion_kind(request: Request) -> TransitionKind:
    return TransitionKind.BREAK_GLASS if request.breaks_glass else TransitionKind.PROMOTION


def promotion_transition(request: Request, actor: Actor, now: datetime) -> Transition:
    """Return the transition for a request that's approved at `now`.

    `actor`: who completed the approvals, or broke glass. The transition's ID prevents a second one for the same
    request.
    """
    return Transition(
        id=promotion_id(request),
        kind=_promotion_kind(request),
        model=request.model,
        version=request.version,
        from_stage=request.from_stage,
        target=request.target,
        expected_incumbent=request.incumbent,
        actor=actor,
        intended_at=now,
        request=request.id,
        keep_existing=request.keep_existing,
        reason=request.reason if request.breaks_glass else "",
        identity=request.identity,
    )


def archive_transition(
    transition_id: str, version: VersionInfo, actor: Actor, now: datetime, reason: str
) -> Transition:
    """Return the transition that archives a version. Raises the same errors as `check_archivable`."""
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
    """Check that a version can be archived. Raises Refused if it's in Production, or BadInput if it's archived."""
    if version.stage is Stage.PRODUCTION:
        raise Refused(in_production_refusal(version))
    if version.stage is Stage.ARCHIVED:
        raise BadInput(say("v{v} of {model} is already archived.", v=version.version, model=Name(version.model)))


def repair_transition(
    transition_id: str, model: str, version: int, stage: Stage, actor: Actor, now: datetime, notice_id: str
) -> Transition:
    """Return the transition that makes the version the only one in its stage when it's executed, with the alias."""
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
    """Check that a promotion of this version to `target` can be requested. Raises BadInput or Refused if it can't."""
    if version.stage is target:
        raise BadInput(
            say("v{v} of {model} is already in {stage}.", v=version.version, model=Name(version.model), stage=target)
        )
    if version.stage is Stage.PRODUCTION:
        raise BadInput(
            say(
                "v{v} of {model} is in Production, and moving it to {stage} would leave Production empty. Promote "
                "another version first.",
                v=version.version,
                model=Name(version.model),
                stage=target,
            )
        )
    if version.status != "READY":
        raise Refused(
            say(
                "v{v} of {model} isn't ready: {product} reports {status}.",
                v=version.version,
                model=Name(version.model),
                status=Code(version.status),
            )
        )


def plan_transition(transition: Transition, facts: TransitionFacts) -> TransitionPlan:
    """Compare the decision with the registry's current state, and return what remains to be done."""
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
        # On the first attempt we haven't moved it yet, so someone else did, with the requested outcome.
        return TransitionPlan(TransitionStep.SET_ALIAS)
    if candidate.stage is not transition.from_stage and candidate.stage is not transition.target:
        return TransitionPlan(
            TransitionStep.NOTHING, _stage_changed_reason(transition.version, transition.from_stage, candidate.stage)
        )
    if not transition.has_alias or transition.kind is TransitionKind.REPAIR:
        return TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)
    incumbent = next((holder for holder in holders if holder != transition.version), None)
    if incumbent == transition.expected_incumbent:
        return TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)
    changed = _incumbent_changed_reason(transition.target, transition.expected_incumbent, incumbent)
    return TransitionPlan(TransitionStep.NOTHING, changed)


def _plan_rollback(transition: Transition, facts: TransitionFacts) -> TransitionPlan:
    """Return what remains to be done for a rollback.

    While the expected incumbent is in the stage, nothing else matters.
    """
    holders = facts.holders(transition.target)
    expected = transition.expected_incumbent
    if expected in holders or (expected is None and not holders):
        return TransitionPlan(TransitionStep.SET_STAGE_AND_ALIAS)
    if transition.version in holders:  # an earlier attempt did that, or someone else
        return TransitionPlan(TransitionStep.SET_ALIAS)
    return TransitionPlan(
        TransitionStep.NOTHING, _incumbent_changed_reason(transition.target, expected, next(iter(holders), None))
    )


def stage_incumbent(facts: TransitionFacts, stage: Stage) -> int | None:
    """Return the version in `stage`, or None; the newest if there are several, which shouldn't happen."""
    return next(iter(facts.holders(stage)), None)


def is_in_place(transition: Transition, versions: Iterable[VersionInfo]) -> bool:
    """Return whether the registry now has the intended state: this version is in the stage.

    No other version can be in it, unless the transition keeps existing ones or its stage has no alias.
    """
    holders = TransitionFacts(versions=tuple(versions)).holders(transition.target)
    return (
        transition.version in holders
        if transition.keep_existing or not transition.has_alias
        else holders == [transition.version]
    )


def is_in_place_by_summary(transition: Transition, model: ModelInfo, alias: str | None) -> bool:
    """Return whether the registry's summary of the model, which takes one call, has the intended state.

    The summary has only the highest version in each stage, so unlike `is_in_place`, this misses a second, older one.
    The snapshot that's taken of the model after every transition shows it. If `alias` is None, only the stage is
    checked.
    """
    return model.latest.get(transition.target) == transition.version and (
        alias is None or model.aliases.get(alias) == transition.version
    )


def empties_staging(transition: Transition, facts: TransitionFacts) -> bool:
    """Return whether a promotion to Production would leave Staging empty."""
    leaves = (
        transition.request is not None
        and transition.from_stage is Stage.STAGING
        and transition.target is Stage.PRODUCTION
    )
    return leaves and not set(facts.holders(Stage.STAGING)) - {transition.version}


def in_production_refusal(version: VersionInfo) -> Sentence:
    """Return why the version in Production can't be archived."""
    return say(
        "v{v} of {model} is in Production, so it can't be archived. Promote another version first; that archives "
        "this one.",
        v=version.version,
        model=Name(version.model),
    )


def incumbent_replaced_reason(request: Request, facts: TransitionFacts) -> Sentence | None:
    """Return how the version under the incumbent's number has changed since the request was opened, or None."""
    if request.incumbent is None or request.incumbent_identity is None:
        return None
    return identity_change_reason(
        request.model, request.incumbent, request.incumbent_identity, facts.identity(request.incumbent)
    )


def superseded(request: Request, facts: TransitionFacts) -> Sentence | None:
    """Return what has changed since the request was opened (the version, its stage, or the incumbent), or None."""
    candidate = facts.version(request.version)
    if candidate is None:
        return identity_change_reason(request.model, request.version, request.identity, None)
    if candidate.stage is not request.from_stage:
        return _stage_changed_reason(request.version, request.from_stage, candidate.stage)
    now = stage_incumbent(facts, request.target)
    return None if now == request.incumbent else _incumbent_changed_reason(request.target, request.incumbent, now)


def _stage_changed_reason(version: int, old: Stage, new: Stage) -> Sentence:
    return say(
        "v{v} was {was} when this was requested, but is now {now}.",
        v=version,
        was=_stage_label(old),
        now=_stage_label(new),
    )


def _incumbent_changed_reason(stage: Stage, old: int | None, new: int | None) -> Sentence:
    return say(
        "{stage} has changed from {was} to {now} since this was requested.",
        stage=stage,
        was=_version_label(old),
        now=_version_label(new),
    )


def _stage_label(stage: Stage) -> str:
    return "without a stage" if stage is Stage.NONE else f"in {stage}"


def _version_label(version: int | None) -> Code | str:
    return "no version" if version is None else Code(f"v{version}")
