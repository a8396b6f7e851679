"""What people, monitors, and intruders do in a generated year. For scripts/evidence_year.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.core.actors import MONITOR_AUTOMATION, Actor, Automation, Client, Operator, Person
from bot.domain.core.ci_run import CiRun
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import RequestState, pack_snapshot
from bot.domain.promotions.votes import VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.services.core.outbox_messages import CLOCK_ACTOR
from bot.services.transitions.completion import _transition_event
from bot.services.transitions.drift_records import POLL_ACTOR
from scripts.evidence_world import DAY, HOUR, LEADS, MINUTE, REQUESTERS, Flow, World

ADMIN, OUTSIDER = Person("T1", "U0ADA"), Person("T1", "U9ZED")

# -- ordinary work -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a promotion goes. Values other than the defaults are for violations, or mark the transition."""

    requester: Actor | None = None
    voters: tuple[str, ...] | None = None
    operator: str = ""  # who votes first at the terminal, instead of in Slack
    ci: CiRun | None = None
    overrides: bool = False
    confirms: bool = True
    ends: bool = True
    fails: bool = False
    mark: datetime | None = None


def promotion(world: World, model: str, course: Course = Course()) -> Flow:
    """Request a promotion, approve it, execute it, and confirm it."""
    chance = world.chance
    request = world.open(
        model, course.requester or chance.choice(REQUESTERS), passes=not course.overrides, ci=course.ci
    )
    yield world.now + chance.randrange(5, 90) * MINUTE
    if chance.random() < 0.2:
        world.record(request, EventTag.REMINDED, None, evidence={"people": list(LEADS)})
    if course.overrides:
        gates = pack_snapshot(request.seen)["gates"] if request.seen else []
        evidence = {"gates": gates, "by": {"name": "Ada", "roles": ["admin"], "groups": []}}
        request = replace(request, overridden_by=ADMIN, override_reason="The metric is wrong.")
        world.tx.save_request(request)
        world.record(request, EventTag.GATES_OVERRIDDEN, ADMIN, why=request.override_reason, evidence=evidence)
    chosen = tuple(chance.sample(sorted(LEADS), 2)) if course.voters is None else course.voters
    if course.voters is None and chance.random() < 0.1:  # one of them changes their mind twice
        world.vote(request, chosen[0])
        yield world.now + 5 * MINUTE
        world.tx.delete_vote(request.id, Person("T1", chosen[0]))
        world.record(request, EventTag.VOTE_WITHDRAWN, Person("T1", chosen[0]), evidence={"approvals": 0})
        yield world.now + 5 * MINUTE
    for number, user in enumerate(chosen):
        world.vote(request, user, operator="" if number else course.operator)
        if number < len(chosen) - 1:
            yield world.now + chance.randrange(1, 60) * MINUTE
    transition = world.approve(request, Operator(course.operator) if course.operator else Person("T1", chosen[-1]))
    yield world.now + MINUTE
    if course.fails:
        world.finish(transition, TransitionState.FAILED)
        world.end(request, RequestState.FAILED, EventTag.FAILED, transition.actor, "The registry refused.")
        return
    if not course.ends:
        yield world.now + 8 * DAY
        world.tx.save_request(replace(world.tx.request(request.id), state=RequestState.EXPIRED))  # so others can open
        return
    world.move(request, transition)
    if course.mark:
        world.marked[model, course.mark] = transition.id
    yield world.now + MINUTE
    world.serve(transition, confirms=course.confirms)


def ended_request(world: World, model: str) -> Flow:
    """Request a promotion that's rejected, expires, is canceled, or becomes outdated."""
    request = world.open(model, world.chance.choice(REQUESTERS))
    yield world.now + world.chance.randrange(5, 300) * MINUTE
    state, tag = world.chance.choice(
        [
            (RequestState.REJECTED, EventTag.REJECTED),
            (RequestState.EXPIRED, EventTag.EXPIRED),
            (RequestState.CANCELLED, EventTag.CANCELLED),
            (RequestState.STALE, EventTag.STALE),
        ]
    )
    by: Actor = request.requester if state is RequestState.CANCELLED else CLOCK_ACTOR
    if state is RequestState.REJECTED:
        by = Person("T1", "U4EVE")
        world.vote(request, "U4EVE", VoteChoice.REJECT)
    world.end(request, state, tag, by, "It ended.")


def rollback(world: World, model: str, *, by: Actor | None = None, forced: bool = False) -> Flow:
    """Roll back to the previous version; if there isn't one, promote two versions first."""
    earlier = [version for version in world.history[model] if version != world.holder(model)]
    if not earlier:
        yield from promotion(world, model)
        yield from promotion(world, model)
        earlier = world.history[model][-2:-1]
    transition = Transition(
        id=f"rollback:{next(world.ids)}",
        kind=TransitionKind.ROLLBACK,
        model=model,
        version=earlier[-1],
        from_stage=Stage.ARCHIVED,
        target=Stage.PRODUCTION,
        expected_incumbent=world.holder(model),
        actor=by or Person("T1", world.chance.choice(sorted(LEADS))),
        intended_at=world.now,
        reason="The error rate rose.",
        is_forced=forced,
    )
    world.tx.add_transition(transition)
    if forced:
        world.audit(EventTag.ROLLBACK_FORCED, transition.actor, transition.id, model, why=transition.reason)
    yield world.now + MINUTE
    world.tx.add_audit_event(_transition_event(world.finish(transition)))
    yield world.now + MINUTE
    world.serve(transition)


def automatic_rollback(world: World, model: str) -> Flow:
    """Roll back because a monitor fails; someone acknowledges the incident, and then it's resolved."""
    if len(set(world.history[model])) < 2:
        return
    incident = Incident(
        id=f"incident-{next(world.ids)}",
        kind=IncidentKind.FAILED,
        model=model,
        source="metrics",
        version=world.holder(model),
        move=None,
        monitors=("errors",),
        opened_at=world.now,
        since=world.now,
        lines=(say("errors"),),
        doing=IncidentStatus.ROLLED_BACK,
    )
    world.tx.add_incident(incident)
    world.audit(EventTag.MONITOR_FAILED, MONITOR_AUTOMATION, f"{model} errors", model, evidence={"rule": "threshold"})
    yield from rollback(world, model, by=MONITOR_AUTOMATION)
    yield world.now + world.chance.randrange(1, 40) * MINUTE
    by = Person("T1", world.chance.choice(sorted(LEADS)))
    incident = replace(incident, acknowledged_by=by, acknowledged_at=world.now)
    world.audit(EventTag.INCIDENT_ACKNOWLEDGED, by, incident.id, model)
    yield world.now + world.chance.randrange(10, 90) * MINUTE
    world.tx.save_incident(replace(incident, resolved_at=world.now, ending=IncidentEnding.RECOVERED))
    world.audit(EventTag.MONITOR_RECOVERED, MONITOR_AUTOMATION, f"{model} errors", model)
    world.audit(EventTag.INCIDENT_RESOLVED, MONITOR_AUTOMATION, incident.id, model, evidence={"ending": "recovered"})


def freeze(world: World, model: str) -> Flow:
    """Freeze Production for a while."""
    by = Person("T1", world.chance.choice(sorted(LEADS)))
    frozen = Freeze(id=f"freeze-{next(world.ids)}", model=model, by=by, reason="A release.", at=world.now)
    world.tx.add_freeze(frozen)
    world.audit(EventTag.FROZEN, by, frozen.id, model, why=frozen.reason, origin="slack")
    yield world.now + 3 * HOUR
    world.tx.save_freeze(replace(frozen, lifted_at=world.now, lifted_by=by))
    world.audit(EventTag.UNFROZEN, by, frozen.id, model, origin="slack")


def break_glass(world: World, model: str, *, review_after: timedelta | None = DAY, by: Person | None = None) -> Flow:
    """Promote by breaking glass, with a review after `review_after`, or without one if that's None.

    `by`: the reviewer; by default, an admin other than the requester.
    """
    request = world.open(model, ADMIN, breaks_glass=True, review_due=world.now + 3 * DAY)
    transition = world.approve(request, ADMIN)
    yield world.now + MINUTE
    world.move(request, transition)
    yield world.now + MINUTE
    world.serve(transition)
    world.busy.pop(model, None)
    if review_after:
        yield world.now + review_after
        due, reviewer = request.review_due, by or Person("T1", "U8IDA")
        assert due is not None
        evidence = {
            "due": canonical_time(due),
            "is_late": world.now > due,
            "by": {"name": "", "roles": [], "groups": []},
        }
        done = world.tx.request(request.id)
        world.tx.save_request(replace(done, reviewed_by=reviewer, reviewed_at=world.now, review_reason="Fine."))
        world.record(request, EventTag.REVIEWED, reviewer, why="Fine.", evidence=evidence)


# What happens on ordinary days, and how often.
FLOWS: dict[Callable[..., Flow], int] = {
    promotion: 60,
    ended_request: 15,
    rollback: 4,
    automatic_rollback: 6,
    freeze: 10,
    break_glass: 5,
}


def marked_promotion(at: datetime) -> Callable[[World, str], Flow]:
    """Return an ordinary promotion whose transition is marked, so that its row can be altered later."""
    return lambda world, model: promotion(world, model, Course(mark=at))


# -- violations --------------------------------------------------------------------------------------------------------


def outside(world: World, model: str) -> Flow:
    """Change Production in the registry, outside Registrar; the poll finds the change."""
    world.observe(model)
    facts = {"lines": ["v2 moved."], "mend": None, "production_alias": {"before": None, "after": world.holder(model)}}
    world.audit(EventTag.DRIFT_FOUND, POLL_ACTOR, f"notice-{next(world.ids)}", model, evidence=facts)
    yield world.now + MINUTE


def alias_outside(world: World, model: str) -> Flow:
    """Move the alias in the registry, outside Registrar."""
    facts = {"lines": ["@champion moved."], "mend": None, "production_alias": {"before": None, "after": 998}}
    world.audit(EventTag.DRIFT_FOUND, Automation("registry-poll"), f"notice-{next(world.ids)}", model, evidence=facts)
    yield world.now + MINUTE


def changed_files(world: World, model: str) -> Flow:
    """Promote a version, and change one of its files."""
    yield from promotion(world, model)
    evidence = {"version": world.holder(model), "files": ["model.pkl"], "changed": 1}
    world.audit(EventTag.FILES_CHANGED, Automation("digest"), f"{model} files", model, evidence=evidence)


def self_approval(world: World, model: str) -> Flow:
    """Approve one's own request: in Slack, at the terminal, after starting the CI job, or as break-glass reviewer."""
    bob, run = Person("T1", "U1BOB"), CiRun(repository="acme/ml", run="1", actor="cat-gh", service="github")
    variants: list[Callable[[], Flow]] = [
        lambda: promotion(world, model, Course(requester=bob, voters=("U1BOB", "U4EVE"))),
        lambda: promotion(
            world, model, Course(requester=Person("T1", "U3DAN"), voters=("U3DAN", "U4EVE"), operator="dan")
        ),
        lambda: promotion(world, model, Course(requester=Operator("dan"), voters=("U3DAN", "U1BOB"))),
        lambda: promotion(world, model, Course(requester=Client("ci"), voters=("U2CAT", "U4EVE"), ci=run)),
        lambda: break_glass(world, model, by=ADMIN),
    ]
    yield from world.chance.choice(variants)()


PLANTED: dict[str, Callable[..., Flow]] = {
    "outside_registrar": outside,
    "alias_outside_registrar": alias_outside,
    "files_changed": changed_files,
    "self_approval": self_approval,
    "too_few_approvals": lambda world, model: promotion(world, model, Course(voters=("U1BOB",))),
    "approver_not_named": lambda world, model: promotion(world, model, Course(voters=("U1BOB", OUTSIDER.user))),
    "break_glass_not_reviewed": lambda world, model: break_glass(world, model, review_after=None),
    "break_glass_late_review": lambda world, model: break_glass(world, model, review_after=4 * DAY),
    "gates_overridden": lambda world, model: promotion(world, model, Course(overrides=True)),
    "forced_rollback": lambda world, model: rollback(world, model, forced=True),
    "not_read_back": lambda world, model: promotion(world, model, Course(ends=False)),
    "failed": lambda world, model: promotion(world, model, Course(fails=True)),
    "serving_not_confirmed": lambda world, model: promotion(world, model, Course(confirms=False)),
}
