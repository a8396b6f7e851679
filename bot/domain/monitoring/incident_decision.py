"""What is done about a failed verdict: roll back, ask, notify, or hold, and why. Pure; nothing here reads a clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.incident import Incident, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.policy.freezes import ActiveFreeze


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInput:
    """What `decide` takes into account, read in the transaction that records the decision."""

    monitor: Monitor
    model: str
    version: int
    transition_id: str  # began the term that the verdict is about
    serving_transition_id: str | None  # began the current term
    last_rollback_at: datetime | None  # by anyone; after a promotion, there's the warm-up
    auto_rollbacks_of_model: int  # automatic rollbacks of this model in the last 24 hours
    auto_rollbacks_of_all: int
    max_auto_rollbacks: int  # of all models
    breaker: TrippedBreaker | None
    freeze: ActiveFreeze | None
    open_request: str | None  # a pending request about this model
    target: int | None
    skipped_target: int | None  # a more recent version that served too briefly
    has_common_cause: bool  # many monitors of the source fail together
    now: datetime
    hold_reason: Sentence | None = None  # why all automation is stopped


@dataclass(frozen=True, slots=True)
class IncidentDecision:
    """What to do, and why no more. With a `trip_reason`, the circuit breaker is tripped as well."""

    status: IncidentStatus
    why: Sentence | None = None
    trip_reason: Sentence | None = None


def decide(inputs: DecisionInput) -> IncidentDecision:
    """Return what to do about a failing monitor.

    It checks, in this order, what makes the verdict void, what stops every action, and the monitor's own action.
    """
    rule, acts = inputs.monitor.rule, inputs.monitor.effective_action
    if inputs.serving_transition_id != inputs.transition_id:
        return IncidentDecision(
            IncidentStatus.SUPERSEDED, say("Production has moved since; this was about v{v}.", v=inputs.version)
        )
    if inputs.has_common_cause:
        return IncidentDecision(
            IncidentStatus.HELD,
            say(
                "Many monitors of the source {source} fail together, so the source is in doubt and nothing is done.",
                source=Code(rule.source),
            ).with_code(Reason.COMMON_CAUSE),
        )
    if acts == "dry_run":
        return IncidentDecision(
            IncidentStatus.LOGGED, say("This monitor only tries itself out: nobody is alerted, nothing is moved.")
        )
    if inputs.monitor.is_silenced(inputs.now):
        return IncidentDecision(
            IncidentStatus.SILENCED, say("It is silenced until {until}.", until=inputs.monitor.silenced_until)
        )
    if acts == "notify":
        return IncidentDecision(IncidentStatus.NOTIFIED, say("This monitor tells and moves nothing."))
    if inputs.hold_reason:
        return IncidentDecision(IncidentStatus.HELD, inputs.hold_reason.with_code(Reason.AUTOMATION_STOPPED))
    if inputs.freeze:
        return IncidentDecision(IncidentStatus.FROZEN, inputs.freeze.description)
    if inputs.target is None:
        why = say(
            "There is no version to go back to that has served for long enough and was not rolled back as bad. "
            "Choose one: {how}",
            how=Code(f'/model rollback {inputs.model} VERSION --reason "…"'),
        )
        return IncidentDecision(IncidentStatus.HELD, why.with_code(Reason.NO_TARGET))
    if acts == "ask":
        unarmed = say(
            "It may not act by itself: nobody has armed it. {how}",
            how=Code(f"/model monitor arm {inputs.model} {inputs.monitor.name}"),
        )
        return IncidentDecision(IncidentStatus.AWAITING_HUMAN, None if rule.action == "ask" else unarmed)
    return _decide_auto(inputs)


def _decide_auto(inputs: DecisionInput) -> IncidentDecision:
    if inputs.open_request:
        return IncidentDecision(
            IncidentStatus.AWAITING_HUMAN,
            say(
                "Request {id} is open, so a person decides; once it is closed, the monitor does.",
                id=Code(inputs.open_request),
            ),
        )
    if inputs.breaker:
        return IncidentDecision(IncidentStatus.TRIPPED, inputs.breaker.why)
    rule = inputs.monitor.rule
    if inputs.auto_rollbacks_of_model >= rule.max_auto:
        why = say(
            "As many automatic rollbacks of {model} as the policy allows within 24 hours: {n}.",
            n=inputs.auto_rollbacks_of_model,
            model=Name(inputs.model),
        )
        return IncidentDecision(IncidentStatus.TRIPPED, why, trip_reason=why)
    if inputs.auto_rollbacks_of_all >= inputs.max_auto_rollbacks:
        why = say(
            "As many automatic rollbacks of all models as the policy allows within 24 hours: {n}.",
            n=inputs.auto_rollbacks_of_all,
        ).with_code(Reason.LIMIT_OF_ALL_REACHED)
        return IncidentDecision(IncidentStatus.TRIPPED, why, trip_reason=why)
    if inputs.last_rollback_at and inputs.now < inputs.last_rollback_at + rule.cooldown:
        return IncidentDecision(
            IncidentStatus.COOLDOWN,
            say(
                "Production was rolled back on {at}; until {until} a person decides.",
                at=inputs.last_rollback_at,
                until=inputs.last_rollback_at + rule.cooldown,
            ),
        )
    return IncidentDecision(IncidentStatus.INTENT)


_ESCALATION_LEVELS = {
    IncidentStatus.NOTIFIED: 1,
    IncidentStatus.HELD: 2,
    IncidentStatus.FROZEN: 2,
    IncidentStatus.COOLDOWN: 2,
    IncidentStatus.TRIPPED: 2,
    IncidentStatus.SUPERSEDED: 2,
    IncidentStatus.AWAITING_HUMAN: 3,
    IncidentStatus.INTENT: 4,
}


def is_escalation(decision: IncidentDecision, old: Incident) -> bool:
    """Tell whether a later decision goes further than what was done before, or has another reason."""
    if decision.status is old.doing:
        return decision.status is IncidentStatus.HELD and reason_of(decision.why) != reason_of(old.why)
    return _ESCALATION_LEVELS.get(decision.status, 0) >= _ESCALATION_LEVELS.get(old.doing, 9)
