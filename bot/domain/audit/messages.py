"""One-line descriptions of audit events, the same in Slack and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation, format_actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate

MAX_REASON_LENGTH = 300  # characters of a reason in one line; the export contains the full reason
MAX_POLICY_CHANGES = 3  # in one line; the export contains all

_TEMPLATES: dict[EventTag, str] = {
    EventTag.PROMOTION_REQUESTED: "requested promotion of {what}",
    EventTag.PROMOTION_REFUSED: "was refused promotion of {what}",
    EventTag.REQUEST_OPENED: "opened request {subject}: {what}",
    EventTag.VOTED: "voted {choice} on {subject}: {what}",
    EventTag.VOTE_WITHDRAWN: "withdrew a vote on {subject}: {what}",
    EventTag.VOTE_LAPSED: "stopped counting an approval of {subject}: {what}",
    EventTag.REQUEST_COMMAND_REFUSED: "wasn't allowed to {act} {subject}: {what}",
    EventTag.GATES_OVERRIDDEN: "overrode failed gates for {subject}: {what}",
    EventTag.BROKE_GLASS: "used break glass for {subject}: {what}",
    EventTag.REVIEWED: "reviewed the break-glass promotion {subject}: {what}",
    EventTag.REVIEW_OVERDUE: "reported an overdue review of {subject}: {what}",
    EventTag.REMINDED: "reminded approvers of {subject}: {what}",
    EventTag.APPROVED: "completed the approval of {subject}: {what}",
    EventTag.REJECTED: "rejected {subject}: {what}",
    EventTag.CANCELLED: "canceled {subject}: {what}",
    EventTag.EXPIRED: "closed {subject} as expired: {what}",
    EventTag.STALE: "closed {subject} as outdated: {what}",
    EventTag.FAILED: "couldn't move {what}",
    EventTag.REGISTRY_CHANGE_REQUESTED: "requested {verb}",
    EventTag.REGISTRY_CHANGE_REFUSED: "was refused {verb}",
    EventTag.REGISTERED: "registered {after}",
    EventTag.DESCRIBED: "described {subject}",
    EventTag.TAGGED: "tagged {subject}",
    EventTag.ARCHIVED: "archived {after}",
    EventTag.STAGE_REPAIRED: "repaired {after}",
    EventTag.ROLLED_BACK: "rolled back {model} {before} → {after} in Production, verified in {product}",
    EventTag.ROLLBACK_FORCED: "rolled back to v{version} although it might not load",
    EventTag.HISTORY_IMPORTED: "imported {rows} earlier serving periods of {model} into the history",
    EventTag.UNBLOCKED: "unblocked {subject}",
    EventTag.TRANSITION_NOT_MADE: "didn't move {after}",
    EventTag.DRIFT_FOUND: "found a change in {product}",
    EventTag.TRANSITION_DONE: "moved {what}, verified in {product}",
    EventTag.PASSPORT_ISSUED: "issued a passport for {what}",
    EventTag.KEY_CREATED: "created the signing key {subject}",
    EventTag.TRANSITION_OBSERVED: "found in {product}: {model} {change}",
    EventTag.MONITOR_FAILED: "{subject} failed on {after}",
    EventTag.MONITOR_NO_VERDICT: "{subject} has no verdict for {after}",
    EventTag.MONITOR_RECOVERED: "{subject} recovered on {after}",
    EventTag.INCIDENT_RESOLVED: "resolved incident {subject}",
    EventTag.BREAKER_TRIPPED: "stopped automatic rollbacks of {what}",
    EventTag.BASELINE_RATCHETED: "raised the baseline of {subject} to the version's own days: {after} is typical",
    EventTag.POLICY_MONITORS_LOADED: "loaded {subject} from the policy file",
    EventTag.PROMOTION_CANCELLED: "canceled promotion of {what}",
    EventTag.API_REFUSED: "was refused by the HTTP API",
    EventTag.METRICS_REFUSED: "wasn't allowed to push readings",
    EventTag.PERMISSION_REFUSED: "wasn't allowed to {act}",
    EventTag.FROZEN: "froze Production for {model}",
    EventTag.UNFROZEN: "unfroze Production for {model}",
    EventTag.MONITOR_ADDED: "added the monitor {subject}",
    EventTag.MONITOR_PROPOSED: "proposed the monitor {subject}",
    EventTag.MONITOR_DISMISSED: "dismissed the proposed monitor {subject}",
    EventTag.MONITOR_EDITED: "changed the monitor {subject}",
    EventTag.MONITOR_PAUSED: "paused the monitor {subject}",
    EventTag.MONITOR_RESUMED: "resumed the monitor {subject}",
    EventTag.MONITOR_REMOVED: "removed the monitor {subject}",
    EventTag.MONITOR_SILENCED: "silenced the monitor {subject}",
    EventTag.MONITOR_UNSILENCED: "unsilenced the monitor {subject}",
    EventTag.MONITOR_ARMED: "armed the monitor {subject}",
    EventTag.BREAKER_RESET: "allowed automatic rollbacks of {subject} again",
    EventTag.INCIDENT_ACKNOWLEDGED: "acknowledged incident {subject}",
    EventTag.POLICY_LOADED: "loaded policy revision {after}{policy_changes}",
    EventTag.POLICY_INVALID: "rejected an edited policy",
    EventTag.SERVING_CONFIRMED: "confirmed that {model} {after} is serving",
    EventTag.FILES_RECORDED: "recorded the files of {model} {after}",
    EventTag.FILES_CHANGED: "found changed files of {model} {after}",
    EventTag.SERVING_TIMED_OUT: "couldn't confirm that {model} {after} is serving",
    EventTag.WEBHOOK_GIVEN_UP: "couldn't notify {subject} about {model} {after}",
    EventTag.WORK_HELD: "held pending work",
    EventTag.BLOCKED: "blocked {subject}",
    EventTag.HOLD_ACCEPTED: "accepted the difference between {product} and the ledger",
    EventTag.HOLD_DROPPED: "dropped held work",
    EventTag.ANCHORED: "anchored the audit log up to event {after}",
}

# How to show permissions whose stored names don't read as words.
_ACT_WORDS = {
    "ask": "request",
    "mend": "repair",
    "clear": "unblock",
    "arm_untried": "arm without a dry run",
    "edit_monitor": "edit a monitor",
    "reset_breaker": "reset the circuit breaker",
    "break_glass": "use break glass",
    "lift_hold": "release held work",
}


def describe_event(event: Event, *, with_names: bool = True) -> Sentence:
    """Return an event as a sentence: who did what, and why. `with_names` adds the person's display name at the time."""
    did = say(_TEMPLATES[event.tag], **_template_values(event))
    name = str((event.evidence.get("by") or {}).get("name") or "") if with_names else ""
    actor = say("{who} ({name})", who=format_actor(event.actor), name=name) if name else _actor_label(event)
    if not event.why:
        return say("{who} {did}", who=actor, did=did)
    return say("{who} {did}: {why}", who=actor, did=did, why=truncate(event.why, MAX_REASON_LENGTH))


def _actor_label(event: Event) -> object:
    return "Registrar" if isinstance(event.actor, Automation) else format_actor(event.actor)


def _template_values(event: Event) -> dict[str, object]:
    facts = event.evidence
    version, target = facts.get("version"), facts.get("target") or facts.get("to")
    model = Name(event.model or "every model")
    transition: object = model
    if version is not None and target:
        is_number = isinstance(version, int)
        transition = say(
            "{model} {v} to {target}",
            model=model,
            v=Code(f"v{version}" if is_number else str(version)),
            target=str(target).capitalize(),
        )
    after = Code(event.after or "nothing")
    stage = str(facts.get("stage") or "a stage")
    change = (
        say("{before} → {after}", before=Code(event.before), after=after)
        if event.before
        else say("{after} in {stage}", after=after, stage=stage)
    )
    return {
        "version": str(version),
        "change": change,
        "what": transition,
        "model": model,
        "subject": Code(event.subject),
        "choice": str(facts.get("choice", "")),
        "rows": str(facts.get("rows", "")),
        "act": _ACT_WORDS.get(str(facts.get("act")), str(facts.get("act", "do this")).replace("_", " ")),
        "verb": Code(str(facts.get("verb", "a change"))),
        "before": Code(event.before or "nothing"),
        "after": after,
        "policy_changes": _list_policy_changes(facts.get("changes") or ()),
    }


def _list_policy_changes(changes: Sequence[Mapping[str, object]]) -> Sentence:
    """Return the recorded changes from an edit of the policy file; empty if none were recorded."""
    listed = [f"{change['path']}: {change['says']}" for change in changes[:MAX_POLICY_CHANGES]]
    omitted = len(changes) - len(listed)
    more = [pluralize(omitted, "more change")] if omitted > 0 else []
    return say(" ({changes})", changes="; ".join([*listed, *more])) if listed else say("")
