"""Messages about work on hold after a restore, for the channel, answers, and the terminal."""

from __future__ import annotations

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.transitions.restores import Hold, HoldKind

MAX_LISTED_DISCREPANCIES = 5  # discrepancies in one message; the others are counted

ACCEPT_COMMAND = Code("registrar db accept --reason …")
DROP_COMMAND = Code("registrar db drop-pending --reason …")

_CAUSES = {
    HoldKind.LEDGER_RESTORED: "The ledger is older than {product}. It was probably restored from a backup.",
    HoldKind.REGISTRY_RESTORED: "{product} is older than the ledger. It was probably restored from a backup.",
    HoldKind.UNEXPLAINED: "{product} and the ledger disagree. One of them may have been restored from a backup.",
    HoldKind.REGISTRY_MIGRATED: "Every version's source changed at once. The registry was probably migrated.",
}


def hold_cause(hold: Hold) -> Sentence:
    """Return what was found, and what probably caused it."""
    return say(_CAUSES[hold.kind])


def hold_next_steps() -> Sentence:
    """Return the two possible next steps: resume pending work, or cancel it."""
    return say(
        "On the bot's machine, an admin can run {accept} to resume pending work or {drop} to cancel it.",
        accept=ACCEPT_COMMAND,
        drop=DROP_COMMAND,
    )


def hold_announcement(hold: Hold) -> Sentence:
    """Return the channel message about a hold: what was found, what's on hold, and what to do."""
    lines = [say("• {line}", line=line) for line in hold.lines[:MAX_LISTED_DISCREPANCIES]]
    if (omitted := len(hold.keys) - len(lines)) > 0:
        lines.append(say("• {more} more in the audit log", more=omitted))
    head = say("⚠️ {found} Pending work is on hold, and automation is stopped.", found=hold_cause(hold))
    return join_sentences([head, *lines, hold_next_steps()], "\n")


def hold_summary(hold: Hold) -> Sentence:
    """Return a hold's cause, what's on hold, and what to do, in a few sentences for Home and the terminal."""
    return say(
        "{found} Work from before {at} is on hold. {next}", found=hold_cause(hold), at=hold.at, next=hold_next_steps()
    )


def automation_stopped_reason() -> Sentence:
    """Return why automation is stopped."""
    return say("Registrar and {product} disagree. Automation is stopped until an admin resolves this.")


def held_request_refusal() -> Sentence:
    """Return why a request from before the hold can't be approved."""
    return say(
        "This request is on hold: the ledger and {product} disagree, so it may have already been decided. {next}",
        next=hold_next_steps(),
    )


# The refusal if no hold is active.
NOTHING_HELD = say("Nothing is on hold, so nothing changed.")


def hold_accepted_announcement(hold: Hold, by: Actor, reason: str, pending_work: str) -> Sentence:
    """Return the channel message about `db accept`."""
    return say(
        "{who} accepted the difference between {product} and the ledger: {reason}\nResuming pending work: {waiting}.",
        who=format_actor(by),
        reason=reason,
        waiting=pending_work,
    )


def hold_dropped_announcement(hold: Hold, by: Actor, reason: str, pending_work: str) -> Sentence:
    """Return the channel message about `db drop-pending`."""
    return say(
        "{who} canceled pending work: {reason}\nCanceled: {waiting}.",
        who=format_actor(by),
        reason=reason,
        waiting=pending_work,
    )


def dropped_reason(reason: str) -> Sentence:
    """Return why a request, a transition, or a queued command was dropped."""
    return say("Canceled by an admin after a restore: {reason}", reason=reason)


def count_pending_work(transitions: int, commands: int, requests: int, tag_updates: int) -> str:
    """Return the counts of pending work as text."""
    parts = [
        pluralize(transitions, "transition"),
        pluralize(commands, "command"),
        pluralize(requests, "request"),
        pluralize(tag_updates, "tag update"),
    ]
    some = [part for part, number in zip(parts, (transitions, commands, requests, tag_updates), strict=True) if number]
    return ", ".join(some) or "nothing"
