"""An audit event in one line for people: the same in Slack and in the terminal."""

from __future__ import annotations

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation, format_actor
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate

MAX_REASON_LENGTH = 300  # characters of a reason in one line; the export has all of it

_TEMPLATES: dict[EventTag, str] = {
    EventTag.PROMOTION_REQUESTED: "asked to promote {what}",
    EventTag.PROMOTION_REFUSED: "was refused: to promote {what}",
    EventTag.REQUEST_OPENED: "opened request {subject}: {what}",
    EventTag.VOTED: "voted {choice} on {subject}: {what}",
    EventTag.VOTE_WITHDRAWN: "took back a vote on {subject}: {what}",
    EventTag.VOTE_LAPSED: "no longer counts an approval of {subject}: {what}",
    EventTag.REQUEST_COMMAND_REFUSED: "was refused: to {act} {subject}: {what}",
    EventTag.GATES_OVERRIDDEN: "let failed gates of {subject} pass: {what}",
    EventTag.BROKE_GLASS: "broke the glass on {subject}: {what}",
    EventTag.REVIEWED: "reviewed the broken glass of {subject}: {what}",
    EventTag.REVIEW_OVERDUE: "found the review of {subject} overdue: {what}",
    EventTag.REMINDED: "reminded of {subject}: {what}",
    EventTag.APPROVED: "completed the approvals of {subject}: {what}",
    EventTag.REJECTED: "rejected {subject}: {what}",
    EventTag.CANCELLED: "cancelled {subject}: {what}",
    EventTag.EXPIRED: "ended {subject}, its time is over: {what}",
    EventTag.STALE: "ended {subject} as out of date: {what}",
    EventTag.FAILED: "could not move {what}",
    EventTag.REGISTRY_CHANGE_REQUESTED: "asked for {verb}",
    EventTag.REGISTRY_CHANGE_REFUSED: "was refused: {verb}",
    EventTag.REGISTERED: "registered {after}",
    EventTag.DESCRIBED: "described {subject}",
    EventTag.TAGGED: "tagged {subject}",
    EventTag.ARCHIVED: "archived {after}",
    EventTag.STAGE_REPAIRED: "mended {after}",
    EventTag.ROLLED_BACK: "rolled back {model} {before} → {after} in Production, read back",
    EventTag.ROLLBACK_FORCED: "went back to v{version} although it may not load",
    EventTag.HISTORY_IMPORTED: "imported {rows} earlier terms of {model} into the history",
    EventTag.UNBLOCKED: "unblocked {subject}",
    EventTag.TRANSITION_NOT_MADE: "did not move {after}",
    EventTag.DRIFT_FOUND: "found a change in {product}",
    EventTag.TRANSITION_DONE: "moved {what}, read back",
    EventTag.TRANSITION_OBSERVED: "found in {product}: {model} {change}",
    EventTag.MONITOR_FAILED: "{subject} failed on {after}",
    EventTag.MONITOR_NO_VERDICT: "{subject} knows nothing of {after}",
    EventTag.MONITOR_RECOVERED: "{subject} is well again on {after}",
    EventTag.INCIDENT_RESOLVED: "ended incident {subject}",
    EventTag.BREAKER_TRIPPED: "stopped automatic rollbacks of {what}",
    EventTag.BASELINE_RATCHETED: "now compares {subject} with the version's own, better days: {after} is usual",
    EventTag.POLICY_MONITORS_LOADED: "took up from the policy file: {subject}",
    EventTag.PROMOTION_CANCELLED: "called off: to promote {what}",
    EventTag.API_REFUSED: "was refused at the HTTP API",
    EventTag.METRICS_REFUSED: "was refused: to push readings",
    EventTag.PERMISSION_REFUSED: "was refused: to {act}",
    EventTag.FROZEN: "froze Production",
    EventTag.UNFROZEN: "lifted a freeze of Production",
    EventTag.MONITOR_ADDED: "added the monitor {subject}",
    EventTag.MONITOR_EDITED: "changed the monitor {subject}",
    EventTag.MONITOR_PAUSED: "paused the monitor {subject}",
    EventTag.MONITOR_RESUMED: "resumed the monitor {subject}",
    EventTag.MONITOR_REMOVED: "removed the monitor {subject}",
    EventTag.MONITOR_SILENCED: "silenced the monitor {subject}",
    EventTag.MONITOR_UNSILENCED: "let the monitor {subject} post and act again",
    EventTag.MONITOR_ARMED: "armed the monitor {subject}",
    EventTag.BREAKER_RESET: "let automatic rollbacks of {subject} go on",
    EventTag.INCIDENT_ACKNOWLEDGED: "looks after the incident {subject}",
    EventTag.POLICY_LOADED: "took up the policy {after}",
    EventTag.POLICY_INVALID: "refused an edited policy",
    EventTag.SERVING_CONFIRMED: "found {model} {after} serving",
    EventTag.SERVING_TIMED_OUT: "did not find {model} {after} serving",
    EventTag.WEBHOOK_GIVEN_UP: "could not tell {subject} of {model} {after}",
    EventTag.WORK_HELD: "held what was waiting",
    EventTag.BLOCKED: "blocked {subject}",
    EventTag.HOLD_ACCEPTED: "accepted the difference between {product} and the ledger",
    EventTag.HOLD_DROPPED: "ended what was held",
    EventTag.ANCHORED: "anchored the audit up to number {after}",
}


def describe_event(event: Event, *, with_names: bool = True) -> Sentence:
    """Return who did what, and why; `with_names` adds the display name at that time."""
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
        "act": str(facts.get("act", "it")).replace("_", " "),
        "verb": Code(str(facts.get("verb", "a change"))),
        "before": Code(event.before or "nothing"),
        "after": after,
    }
