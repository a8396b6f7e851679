"""Version tags that copy a request's state from the ledger, for people who only see MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from bot.domain.core.actors import Actor, Automation, Person, resolve_operator
from bot.domain.core.sentence import truncate
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition

STATUS_TAG = "approval_status"
PASSPORT_TAG = "registrar.passport"
MAX_PASSPORT_LENGTH = 4500  # characters; MLflow stores up to 5,000
MAX_VALUE_LENGTH = 1000  # characters; the ledger has the full text
MAX_DESCRIPTION_LENGTH = 5000  # characters that MLflow stores on PostgreSQL

# Tags that only Registrar writes, from the ledger: people can't set them, so they stay accurate.
RESERVED_TAGS = frozenset(
    {
        STATUS_TAG,
        PASSPORT_TAG,
        "approver",
        "approval_date",
        "requester",
        "request_reason",
        "request_date",
        "production_requester",
        "production_approver",
        "production_date",
        "promoted_by",
        "promotion_date",
        "rollback_reason",
        "rolled_back_by",
        "rollback_date",
        "restored_to_production",
        "restoration_date",
        "restored_by",
        "semver",
        "stage",
    }
)

# Only those with values from the ledger: a registry without stages uses `stage`, and programs set `semver`.
LEDGER_TAGS = RESERVED_TAGS - {"semver", "stage"}

TagChanges = Mapping[str, str | None]  # None removes a tag


def ledger_tags(tags: TagChanges) -> dict[str, str]:
    """Return those of `tags` that only Registrar sets, from the ledger; removals are left out."""
    return {key: value for key, value in tags.items() if key in LEDGER_TAGS and value is not None}


def tag_fingerprints(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a short hash of each tag's key and value, by key."""
    return {key: hashlib.sha256(f"{key}\n{value}".encode()).hexdigest()[:12] for key, value in tags.items()}


def tag_digest(tags: TagChanges) -> str:
    """Return the fingerprints of a version's tags that only Registrar sets, separated by spaces; empty if none."""
    return " ".join(sorted(tag_fingerprints(ledger_tags(tags)).values()))


def opened_tags(request: Request) -> TagChanges:
    """Return the tags for a version with a new request."""
    requester = actor_name(request.requester)
    tags: dict[str, str | None] = {
        STATUS_TAG: f"{request.target.value.lower()}_requested",
        "requester": requester,
        "request_reason": truncate(request.reason, MAX_VALUE_LENGTH) or None,
        "request_date": _format_time(request.opened_at),
    }
    if request.seen is not None:
        tags |= {f"validation_{metric}": f"{value:g}" for metric, value in request.seen.validation.items()}
    return tags | ({"production_requester": requester} if request.target is Stage.PRODUCTION else {})


def ended_tags(request: Request, votes: Iterable[Vote], at: datetime) -> TagChanges:
    """Return the tags for a version whose request has ended.

    If the request ended without a transition, the former tags are restored, but a rejection stays visible.
    """
    if request.state is RequestState.REJECTED:
        return {STATUS_TAG: "rejected"}
    if request.state is not RequestState.DONE:
        return _former_tags(request)
    by = _decider_names(request, votes)
    decided = _format_time(request.decided_at or at)
    tags: dict[str, str | None] = {
        STATUS_TAG: f"approved_{request.target.value.lower()}",
        "approver": by,
        "approval_date": decided,
    }
    if request.target is Stage.PRODUCTION:
        # Only for Production: to scripts, an archived version with a promotion date was once in Production.
        tags |= dict.fromkeys(("promoted_by", "production_approver"), by)
        tags |= dict.fromkeys(("promotion_date", "production_date"), _format_time(at))
    return tags


def reverted_tags(request: Request, other_requests: Iterable[Request], overwritten: Collection[str]) -> TagChanges:
    """Return the tags to restore after a request ended without a transition, except those `overwritten` since.

    `other_requests` are the version's requests, newest first. If another one wrote the tags that this request replaced,
    and has since ended the same way, the tags from before that other request are restored.
    """
    tags = dict(_former_tags(request))
    for other_request in other_requests:
        is_under = other_request.id != request.id and other_request.opened_at <= request.opened_at
        if (
            is_under
            and reverts_tags(other_request)
            and other_request.decided_at
            and other_request.decided_at >= request.opened_at
        ):
            wrote, former = opened_tags(other_request), _former_tags(other_request)
            tags |= {key: former[key] for key, value in tags.items() if key in former and value == wrote.get(key)}
    return {key: value for key, value in tags.items() if key not in overwritten}


def reverts_tags(request: Request) -> bool:
    """Return whether a request ended in a way that restores the version's tags."""
    return not request.state.is_open and request.state not in {RequestState.DONE, RequestState.REJECTED}


def _former_tags(request: Request) -> TagChanges:
    """Return the tags that the request replaced when it was opened; older releases recorded only the status."""
    return {**(request.seen.former if request.seen else {}), STATUS_TAG: request.former_status}


def promotion_line(request: Request, votes: Iterable[Vote], at: datetime) -> str:
    """Return the line that a promotion adds to the version's description."""
    by = _decider_names(request, votes).replace(",", ", ")
    return f"Promoted to {request.target} by {by} on {at:%Y-%m-%d} (request {request.id})"


def rolled_back_tags(transition: Transition, at: datetime) -> TagChanges:
    """Return the tags for the version that a rollback took out of Production."""
    return {
        "rollback_reason": truncate(transition.reason, MAX_VALUE_LENGTH) or None,
        "rolled_back_by": actor_name(transition.actor),
        "rollback_date": _format_time(at),
    }


def restored_tags(transition: Transition, at: datetime) -> TagChanges:
    """Return the tags for the version that a rollback restored."""
    return {
        "restored_to_production": "true",
        "restoration_date": _format_time(at),
        "restored_by": actor_name(transition.actor),
    }


def passport_tags(envelope: str) -> TagChanges:
    """Return the tag for a version with a passport: the envelope, or its SHA-256 if it's too long for MLflow."""
    is_short = len(envelope) <= MAX_PASSPORT_LENGTH
    return {PASSPORT_TAG: envelope if is_short else f"sha256:{hashlib.sha256(envelope.encode()).hexdigest()}"}


def approver_names(votes: Iterable[Vote]) -> str:
    """Return the approvers' names, in order, separated by commas."""
    return ",".join(actor_name(vote.voter) for vote in counting_approvals(votes))


def _decider_names(request: Request, votes: Iterable[Vote]) -> str:
    """Return the names of the approvers, or of the person who broke glass."""
    return actor_name(request.requester) if request.breaks_glass else approver_names(votes)


def append_line(description: str, line: str) -> str | None:
    """Return the description with the line appended; None if it's already there or doesn't fit."""
    if line in description.splitlines():
        return None
    longer = f"{description.rstrip()}\n{line}" if description.strip() else line
    return longer if len(longer) <= MAX_DESCRIPTION_LENGTH else None


def actor_name(actor: Actor) -> str:
    """Return an actor's name for a tag: a Slack user ID, a client's or operator's name, or `automated-monitor`."""
    resolved = resolve_operator(actor)
    if isinstance(resolved, Person):
        return resolved.user
    return "automated-monitor" if isinstance(resolved, Automation) else resolved.name


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
