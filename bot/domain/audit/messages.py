"""What an audit event says to a person, in one line: the same in Slack and in the terminal."""

from __future__ import annotations

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Automation, shown
from bot.domain.core.sentence import Code, Name, Say, say, short

WHY_MOST = 300  # characters of a reason in one line; the export has the whole

_DID: dict[Tag, str] = {
    Tag.ASKED: "asked to promote {what}",
    Tag.ASK_REFUSED: "was refused: to promote {what}",
    Tag.OPENED: "opened request {subject}: {what}",
    Tag.VOTED: "voted {choice} on {subject}: {what}",
    Tag.WITHDRAWN: "took back a vote on {subject}: {what}",
    Tag.LAPSED: "no longer counts an approval of {subject}: {what}",
    Tag.VOTE_REFUSED: "was refused: to {act} {subject}: {what}",
    Tag.OVERRIDDEN: "let failed gates of {subject} pass: {what}",
    Tag.BROKE_GLASS: "broke the glass on {subject}: {what}",
    Tag.REVIEWED: "reviewed the broken glass of {subject}: {what}",
    Tag.REVIEW_OVERDUE: "found the review of {subject} overdue: {what}",
    Tag.REMINDED: "reminded of {subject}: {what}",
    Tag.APPROVED: "completed the approvals of {subject}: {what}",
    Tag.REJECTED: "rejected {subject}: {what}",
    Tag.CANCELLED: "cancelled {subject}: {what}",
    Tag.EXPIRED: "ended {subject}, its time is over: {what}",
    Tag.STALE: "ended {subject} as out of date: {what}",
    Tag.FAILED: "could not move {what}",
    Tag.COMMANDED: "asked for {verb}",
    Tag.COMMAND_REFUSED: "was refused: {verb}",
    Tag.REGISTERED: "registered {after}",
    Tag.DESCRIBED: "described {subject}",
    Tag.TAGGED: "tagged {subject}",
    Tag.ARCHIVED: "archived {after}",
    Tag.MENDED: "mended {after}",
    Tag.ROLLED_BACK: "rolled back {model} {before} → {after} in Production, read back",
    Tag.FORCED: "went back to v{version} although it may not load",
    Tag.HISTORY_IMPORTED: "imported {rows} earlier terms of {model} into the history",
    Tag.CLEARED: "unblocked {subject}",
    Tag.NOT_MOVED: "did not move {after}",
    Tag.FOUND: "found a change in MLflow",
    Tag.MOVED: "moved {what}, read back",
    Tag.OBSERVED: "found in MLflow: {model} {change}",
    Tag.MONITOR_FAILED: "{subject} failed on {after}",
    Tag.MONITOR_BLIND: "{subject} knows nothing of {after}",
    Tag.MONITOR_WELL: "{subject} is well again on {after}",
    Tag.INCIDENT_RESOLVED: "ended incident {subject}",
    Tag.BREAKER_TRIPPED: "stopped automatic rollbacks of {what}",
    Tag.BASELINE_RAISED: "now compares {subject} with the version's own, better days: {after} is usual",
    Tag.MONITORS_TAKEN: "took up from the policy file: {subject}",
    Tag.CALLED_OFF: "called off: to promote {what}",
    Tag.API_REFUSED: "was refused at the HTTP API",
    Tag.METRICS_REFUSED: "was refused: to push readings",
    Tag.REFUSED: "was refused: to {act}",
    Tag.FROZEN: "froze Production",
    Tag.UNFROZEN: "lifted a freeze of Production",
    Tag.MONITOR_ADDED: "added the monitor {subject}",
    Tag.MONITOR_EDITED: "changed the monitor {subject}",
    Tag.MONITOR_PAUSED: "paused the monitor {subject}",
    Tag.MONITOR_RESUMED: "resumed the monitor {subject}",
    Tag.MONITOR_REMOVED: "removed the monitor {subject}",
    Tag.MONITOR_SILENCED: "silenced the monitor {subject}",
    Tag.MONITOR_UNSILENCED: "let the monitor {subject} post and act again",
    Tag.MONITOR_ARMED: "armed the monitor {subject}",
    Tag.BREAKER_RESET: "let automatic rollbacks of {subject} go on",
    Tag.INCIDENT_ACKNOWLEDGED: "looks after the incident {subject}",
    Tag.POLICY_TAKEN: "took up the policy {after}",
    Tag.POLICY_BROKEN: "refused an edited policy",
    Tag.SERVING_CONFIRMED: "found {model} {after} serving",
    Tag.SERVING_DENIED: "did not find {model} {after} serving",
    Tag.NOT_TOLD: "could not tell {subject} of {model} {after}",
    Tag.HELD: "held what was waiting",
    Tag.BARRED: "blocked {subject}",
    Tag.HOLD_ACCEPTED: "accepted the difference between MLflow and the ledger",
    Tag.HOLD_DROPPED: "ended what was held",
    Tag.ANCHORED: "anchored the audit up to number {after}",
}


def line(event: Event, *, names: bool = True) -> Say:
    """Return who did what, and why; with `names` also what people saw in place of the id at that time."""
    did = say(_DID[event.tag], **_values(event))
    name = str((event.evidence.get("by") or {}).get("name") or "") if names else ""
    who = say("{who} ({name})", who=shown(event.actor), name=name) if name else _actor(event)
    if not event.why:
        return say("{who} {did}", who=who, did=did)
    return say("{who} {did}: {why}", who=who, did=did, why=short(event.why, WHY_MOST))


def _actor(event: Event) -> object:
    return "Registrar" if isinstance(event.actor, Automation) else shown(event.actor)


def _values(event: Event) -> dict[str, object]:
    facts = event.evidence
    version, target = facts.get("version"), facts.get("target") or facts.get("to")
    model = Name(event.model or "every model")
    what: object = model
    if version is not None and target:
        known = isinstance(version, int)
        what = say(
            "{model} {v} to {target}",
            model=model,
            v=Code(f"v{version}" if known else str(version)),
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
        "what": what,
        "model": model,
        "subject": Code(event.subject),
        "choice": str(facts.get("choice", "")),
        "rows": str(facts.get("rows", "")),
        "act": str(facts.get("act", "it")).replace("_", " "),
        "verb": Code(str(facts.get("verb", "a change"))),
        "before": Code(event.before or "nothing"),
        "after": after,
    }
