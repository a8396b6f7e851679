"""What people read about held work: in the channel, in answers, and in the terminal."""

from __future__ import annotations

from bot.domain.core.actors import Actor, shown
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Say, joined, say
from bot.domain.transitions.restores import Hold, HoldKind

SHOWN = 5  # findings in one message; of more, the rest is counted

ACCEPT = Code("registrar db accept --reason …")
DROP = Code("registrar db drop-pending --reason …")

_FOUND = {
    HoldKind.LEDGER_RESTORED: "The ledger is older than MLflow: it looks restored from a backup.",
    HoldKind.REGISTRY_RESTORED: "MLflow is older than the ledger: it looks restored from a backup.",
    HoldKind.UNEXPLAINED: "MLflow and the ledger disagree: one of them may have been restored from a backup.",
    HoldKind.REGISTRY_MIGRATED: "Every version's source changed at once: the registry looks migrated.",
}


def found(hold: Hold) -> Say:
    """Return in one sentence what happened."""
    return say(_FOUND[hold.kind])


def what_next() -> Say:
    """Return the two ways on."""
    return say(
        "An admin runs {accept} on the bot's machine to carry out what was waiting, or {drop} to end it.",
        accept=ACCEPT,
        drop=DROP,
    )


def held(hold: Hold) -> Say:
    """Return the channel's message: what was found, what that stops, and what to do."""
    lines = [say("• {line}", line=line) for line in hold.lines[:SHOWN]]
    if (more := len(hold.keys) - len(lines)) > 0:
        lines.append(say("• {more} more in the audit log", more=more))
    head = say("⚠️ {found} Nothing that was waiting is executed, and automation is stopped.", found=found(hold))
    return joined([head, *lines, what_next()], "\n")


def summary(hold: Hold) -> Say:
    """Return the same in two sentences, for Home and the terminal."""
    return say("{found} Work from before {at} is held. {next}", found=found(hold), at=hold.at, next=what_next())


def stops_automation() -> Say:
    """Return why no automation acts."""
    return say("Registrar and MLflow disagree, so nothing moves automatically until an admin accepts it.")


def undecidable() -> Say:
    """Return why a request from before the hold can't be decided."""
    return say(
        "This request is held: ledger and MLflow disagree, and it may have been decided before. {next}",
        next=what_next(),
    )


def nothing_held() -> Say:
    """Return the refusal where no hold is active."""
    return say("Nothing is held, so nothing was changed.")


def accepted(hold: Hold, by: Actor, reason: str, waiting: str) -> Say:
    """Return what the channel hears of `db accept`."""
    return say(
        "{who} accepted the difference between MLflow and the ledger: {reason}\nCarrying out what was waiting: "
        "{waiting}.",
        who=shown(by),
        reason=reason,
        waiting=waiting,
    )


def dropped(hold: Hold, by: Actor, reason: str, waiting: str) -> Say:
    """Return what the channel hears of `db drop-pending`."""
    return say(
        "{who} ended what was waiting: {reason}\nEnded: {waiting}.", who=shown(by), reason=reason, waiting=waiting
    )


def why_dropped(reason: str) -> Say:
    """Return why a request, a move or an ask was ended."""
    return say("Ended by an admin after a restore: {reason}", reason=reason)


def amounts(moves: int, asks: int, requests: int, copies: int) -> str:
    """Return how much waits, in words."""
    parts = [
        counted(moves, "transition"),
        counted(asks, "command"),
        counted(requests, "request"),
        counted(copies, "tag update"),
    ]
    some = [part for part, number in zip(parts, (moves, asks, requests, copies), strict=True) if number]
    return ", ".join(some) or "nothing"
