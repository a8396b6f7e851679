"""The demo's checklist: which steps are done, how they were done, and what can be done next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, format_actor, parse_actor
from bot.domain.core.sentence import Code, Mention, Sentence, say
from bot.domain.monitoring.incident import IncidentStatus
from bot.domain.policy.authorship import slack_user_id
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from handlers.demo.models import BETTER_VERSION, MODEL

_REPLACED = (EventTag.ROLLED_BACK, EventTag.TRANSITION_DONE)


class Step(Enum):
    """The steps of the story, in order."""

    REQUEST = "request"  # request a promotion
    REFUSAL = "refusal"  # try to approve one's own request
    APPROVAL = "approval"  # approve it as someone else
    BREAK = "break"  # make the live accuracy fall
    ROLLBACK = "rollback"  # roll back, or watch Registrar roll back
    HISTORY = "history"  # read what was recorded


@dataclass(frozen=True, slots=True)
class BrokenVersion:
    """A version that someone broke: the version, when, and the person's user ID."""

    version: int
    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFacts:
    """The facts that the checklist is derived from.

    `policy` maps people at the terminal to their Slack users. `events` are the model's audit events, oldest first.
    `request` is the pending request for Production, and `voters` are the user IDs of those who approved it.
    `production` is the version in Production, and `since` is when it entered. `targets` are the versions that can be
    rolled back to, and `blocked` are those that were rolled back. `broken` is the most recently broken version.
    `reader` is the user ID of someone who read the history. `is_monitored`: whether a monitor would notice a broken
    version.
    """

    policy: Policy
    events: Sequence[Event] = ()
    request: Request | None = None
    voters: Sequence[str] = ()
    production: int | None = None
    since: datetime | None = None
    targets: Sequence[int] = ()
    blocked: Sequence[int] = ()
    broken: BrokenVersion | None = None
    reader: str | None = None
    is_monitored: bool = True

    @property
    def broken_now(self) -> BrokenVersion | None:
        """The broken version if it's still in Production; otherwise, None."""
        broken = self.broken
        if broken is None or broken.version != self.production or (self.since and self.since > broken.at):
            return None
        return broken


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoChecklist:
    """The checklist as the channel shows it.

    `done` has a sentence about each finished step; `status` says what's happening now. `next_step` is the step that *Do
    it for me* performs, if there is one. `can_break`: whether to show the button that breaks the version.
    """

    done: Mapping[Step, Sentence] = field(default_factory=dict)
    status: Sentence | None = None
    next_step: Step | None = None
    can_break: bool = False


def build_checklist(facts: DemoFacts) -> DemoChecklist:
    """Return the checklist for these facts."""
    done = dict(_done_steps(facts))
    return DemoChecklist(
        done=done, status=_status(facts), next_step=_next_step(facts, done), can_break=facts.broken_now is None
    )


def obstacle(step: Step, facts: DemoFacts) -> Sentence | None:
    """Return why a step can't be done now and what to do first; None if it can be done."""
    if step is Step.BREAK:
        return _break_obstacle(facts)
    if step in dict(_done_steps(facts)):
        return say("That's already done.")
    if step is Step.REQUEST and facts.production == BETTER_VERSION:
        return say(
            "v{v} is already in Production. Request another version: {command}",
            v=BETTER_VERSION,
            command=Code(f"/model promote {MODEL} {BETTER_VERSION + 1} production"),
        )
    if step in {Step.REFUSAL, Step.APPROVAL} and facts.request is None:
        return say("No request is pending. Request a version first: {command}", command=Code(_promote()))
    if step is Step.REFUSAL and requester_id(facts) is None:
        return say("A program made this request, so no one can approve their own. Approve it as Bob.")
    if step is Step.ROLLBACK and facts.broken_now is None:
        return say("Nothing is broken. Click Break it first.")
    return None


def requester_id(facts: DemoFacts) -> str | None:
    """Return the user ID of the person who made the pending request; None if a program did, or nothing is pending."""
    return slack_user_id(facts.request.requester, facts.policy) if facts.request else None


def _break_obstacle(facts: DemoFacts) -> Sentence | None:
    version = facts.production
    if version is None:
        return say("No version is in Production. Promote one first: {command}", command=Code(_promote()))
    if facts.broken_now:
        return say("v{v} is already broken.", v=version)
    if not facts.is_monitored:
        return say("No monitor checks this model, so no one would notice. Add one to the policy first.")
    if facts.targets:
        return None
    if facts.request:
        return say("There's no version to roll back to yet. Approve request {id} first.", id=Code(facts.request.id))
    if BETTER_VERSION in facts.blocked:
        return say(
            "v{v} is the only good version left. As Bob, unblock v{better} and promote it again: {command}",
            v=version,
            better=BETTER_VERSION,
            command=Code(f'/model unblock {MODEL} {BETTER_VERSION} --reason "fixed"'),
        )
    return say("There's no version to roll back to yet. First promote one: {command}", command=Code(_promote()))


def _promote() -> str:
    return f"/model promote {MODEL} {BETTER_VERSION} production"


def _next_step(facts: DemoFacts, done: Mapping[Step, Sentence]) -> Step | None:
    for step in Step:
        is_missed = step is Step.REFUSAL and facts.request is None and Step.REQUEST in done
        if step not in done and not is_missed:
            return None if step is Step.BREAK else step
    return None


# -- what happened -----------------------------------------------------------------------------------------------------


def _done_steps(facts: DemoFacts) -> Iterator[tuple[Step, Sentence]]:
    """Yield each finished step with a sentence that says what happened."""
    opened = _last(facts.events, EventTag.REQUEST_OPENED)
    approved = _last(facts.events, EventTag.APPROVED)
    refused = next((event for event in reversed(facts.events) if _is_own_approval(event, facts.policy)), None)
    if opened and (facts.request or approved):  # one that ended without an approval has to be opened again
        yield Step.REQUEST, _who_and_version("{who} requested v{v}.", opened)
    if refused:
        sentence = "{who} tried, and Registrar refused: someone else has to decide."
        yield Step.REFUSAL, say(sentence, who=format_actor(refused.actor))
    if approved:
        yield Step.APPROVAL, _who_and_version("{who} approved v{v}.", approved)
    if broken := facts.broken:
        yield Step.BREAK, say("{who} broke v{v}.", who=Mention(broken.by), v=broken.version)
        rollback = _replacement(facts.events, broken, EventTag.ROLLED_BACK)
        if rollback and not facts.broken_now:
            yield Step.ROLLBACK, _who_won(broken, rollback, _alert(facts.events, broken))
    if facts.reader:
        yield Step.HISTORY, say("{who} read the history.", who=Mention(facts.reader))


def _who_and_version(template: str, event: Event) -> Sentence:
    return say(template, who=format_actor(event.actor), v=event.evidence["version"])


def _last(events: Sequence[Event], tag: EventTag) -> Event | None:
    """Return the last event with this tag about a request for Production; None if there isn't one."""
    of_tag = (event for event in reversed(events) if event.tag is tag)
    return next((event for event in of_tag if event.evidence.get("target") == Stage.PRODUCTION.value), None)


def _is_own_approval(event: Event, policy: Policy) -> bool:
    if event.tag is not EventTag.REQUEST_COMMAND_REFUSED or event.evidence.get("act") != "approve":
        return False
    requester = slack_user_id(parse_actor(event.evidence["requester"]), policy)
    return requester is not None and requester == slack_user_id(event.actor, policy)


def _replacement(events: Sequence[Event], broken: BrokenVersion, *tags: EventTag) -> Event | None:
    """Return the event, with one of these tags, that took the broken version out of Production; None if none did."""
    return next(
        (e for e in events if e.at >= broken.at and e.tag in tags and e.before == f"v{broken.version}"),
        None,
    )


def _alert(events: Sequence[Event], broken: BrokenVersion) -> Event | None:
    """Return the first monitor failure since the version was broken; None if there isn't one."""
    return next((e for e in events if e.at >= broken.at and e.tag is EventTag.MONITOR_FAILED), None)


def _who_won(broken: BrokenVersion, rollback: Event, alert: Event | None) -> Sentence:
    """Return a sentence that says who rolled back, and after how many seconds."""
    who, seconds = format_actor(rollback.actor), _seconds(broken, rollback)
    if rollback.actor == MONITOR_AUTOMATION:
        return say("Registrar rolled back to {v} after {n} s.", v=rollback.after, n=seconds)
    if alert is None or alert.at > rollback.at:
        return say("{who} rolled back to {v} after {n} s, before Registrar.", who=who, v=rollback.after, n=seconds)
    return say(
        "Registrar raised the alert after {alert} s, and {who} rolled back to {v} after {n} s.",
        alert=_seconds(broken, alert),
        who=who,
        v=rollback.after,
        n=seconds,
    )


def _seconds(broken: BrokenVersion, event: Event) -> str:
    return f"{(event.at - broken.at).total_seconds():.0f}"


def _status(facts: DemoFacts) -> Sentence | None:
    """Return what has happened because of the broken version, other than a rollback; None if nothing has."""
    broken = facts.broken
    if broken is None:
        return None
    if facts.broken_now is None:
        other = _replacement(facts.events, broken, *_REPLACED)
        if other is None or other.tag is EventTag.ROLLED_BACK:
            return None
        return say(
            "{v} replaced v{broken} after {n} s.", v=other.after, broken=broken.version, n=_seconds(broken, other)
        )
    alert = _alert(facts.events, broken)
    if alert and alert.evidence.get("doing") != IncidentStatus.INTENT.value:
        return say(
            "The monitor failed after {n} s. The alert below says why a person decides.", n=_seconds(broken, alert)
        )
    return say(
        "The live accuracy of v{v} is falling. Registrar usually needs less than half a minute.", v=broken.version
    )
