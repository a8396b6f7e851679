"""What a version's tags in the registry say of a request: a copy of the ledger, for whoever only sees MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from bot.domain.core.actors import Actor, Automation, Person, resolve_operator
from bot.domain.core.sentence import truncate
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.promotions.request import counting_approvals as counted
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition

STATUS_TAG = "approval_status"
MAX_VALUE_LENGTH = 1000  # characters; a tag is for a glance, the ledger has the whole
MAX_DESCRIPTION_LENGTH = 5000  # characters that MLflow holds on PostgreSQL

# Tags that Registrar writes itself, from the ledger: a person's hand in them would tell a lie.
RESERVED_TAGS = frozenset(
    {
        STATUS_TAG,
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

# Those whose values come from the ledger alone: a registry without stages keeps them in `stage`, programs set `semver`.
LEDGER_TAGS = RESERVED_TAGS - {"semver", "stage"}

TagChanges = Mapping[str, str | None]  # None takes a tag away


def ledger_tags(tags: TagChanges) -> dict[str, str]:
    """Return the tags that only Registrar sets, from the ledger."""
    return {key: value for key, value in tags.items() if key in LEDGER_TAGS and value is not None}


def tag_fingerprints(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a short hash of each tag's key and value, by key."""
    return {key: hashlib.sha256(f"{key}\n{value}".encode()).hexdigest()[:12] for key, value in tags.items()}


def tag_digest(tags: TagChanges) -> str:
    """Return the fingerprints of a version's tags that only Registrar sets, separated by spaces; empty for none."""
    return " ".join(sorted(tag_fingerprints(ledger_tags(tags)).values()))


def opened_tags(request: Request) -> TagChanges:
    """Return the tags of a version for which a request was opened."""
    who = actor_name(request.requester)
    tags: dict[str, str | None] = {
        STATUS_TAG: f"{_stage_word(request)}_requested",
        "requester": who,
        "request_reason": truncate(request.reason, MAX_VALUE_LENGTH) or None,
        "request_date": _format_time(request.opened_at),
    }
    if request.seen is not None:
        tags |= {f"validation_{metric}": f"{value:g}" for metric, value in request.seen.validation.items()}
    return tags | ({"production_requester": who} if request.target is Stage.PRODUCTION else {})


def ended_tags(request: Request, votes: Iterable[Vote], at: datetime) -> TagChanges:
    """Return the tags of a version whose request has ended.

    One that moved nothing puts back what was there before; a rejection stays to be seen.
    """
    if request.state is RequestState.REJECTED:
        return {STATUS_TAG: "rejected"}
    if request.state is not RequestState.DONE:
        return _former_tags(request)
    by = _decider_names(request, votes)
    decided = _format_time(request.decided_at or at)
    tags: dict[str, str | None] = {
        STATUS_TAG: f"approved_{_stage_word(request)}",
        "approver": by,
        "approval_date": decided,
        "promoted_by": by,
        "promotion_date": _format_time(at),
    }
    if request.target is Stage.PRODUCTION:
        tags |= {"production_approver": by, "production_date": _format_time(at)}
    return tags


def replaced_tags(request: Request, tags: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those of a version's tags that the opening of a request replaces; None for one that isn't there."""
    return {key: tags.get(key) for key in opened_tags(request)}


def reverted_tags(request: Request, other_requests: Iterable[Request], overwritten: Collection[str]) -> TagChanges:
    """Return the tags that a request, which ended without a move, puts back; none that was `overwritten` since.

    `others` are the version's requests, newest first. What the request found there may come from one that has ended
    the same way since: then what that one found is put back.
    """
    tags = dict(_former_tags(request))
    for other in other_requests:
        is_under = other.id != request.id and other.opened_at <= request.opened_at
        if is_under and reverts_tags(other) and other.decided_at and other.decided_at >= request.opened_at:
            wrote, found = opened_tags(other), _former_tags(other)
            tags |= {key: found[key] for key, value in tags.items() if key in found and value == wrote.get(key)}
    return {key: value for key, value in tags.items() if key not in overwritten}


def reverts_tags(request: Request) -> bool:
    """Tell whether a request has ended in a way that puts the version's tags back."""
    return not request.state.is_open and request.state not in {RequestState.DONE, RequestState.REJECTED}


def _former_tags(request: Request) -> TagChanges:
    """Return the tags that its opening replaced; of one that an older Registrar opened, the status alone is known."""
    return {**(request.seen.former if request.seen else {}), STATUS_TAG: request.former_status}


def promotion_line(request: Request, votes: Iterable[Vote], at: datetime) -> str:
    """Return the line that a promotion adds to the version's description."""
    by = _decider_names(request, votes).replace(",", ", ")
    return f"Promoted to {request.target} by {by} on {at:%Y-%m-%d} (request {request.id})"


def rolled_back_tags(transition: Transition, at: datetime) -> TagChanges:
    """Return the tags of the version that a rollback took out of Production."""
    return {
        "rollback_reason": truncate(transition.reason, MAX_VALUE_LENGTH) or None,
        "rolled_back_by": actor_name(transition.actor),
        "rollback_date": _format_time(at),
    }


def restored_tags(transition: Transition, at: datetime) -> TagChanges:
    """Return the tags of the version that a rollback put back."""
    return {
        "restored_to_production": "true",
        "restoration_date": _format_time(at),
        "restored_by": actor_name(transition.actor),
    }


def approver_names(votes: Iterable[Vote]) -> str:
    """Return who approved, comma-joined, in the order in which they did."""
    return ",".join(actor_name(vote.voter) for vote in counted(votes))


def _decider_names(request: Request, votes: Iterable[Vote]) -> str:
    """Return who approved; of what was moved without approvals, who broke the glass."""
    return actor_name(request.requester) if request.breaks_glass else approver_names(votes)


def append_line(description: str, line: str) -> str | None:
    """Return the description with the line at its end; None where it is there already or has no room."""
    if line in description.splitlines():
        return None
    longer = f"{description.rstrip()}\n{line}" if description.strip() else line
    return longer if len(longer) <= MAX_DESCRIPTION_LENGTH else None


def actor_name(actor: Actor) -> str:
    """Return an actor as a tag names them: a Slack user id, or the name of what is no person."""
    known = resolve_operator(actor)
    if isinstance(known, Person):
        return known.user
    return "automated-monitor" if isinstance(known, Automation) else known.name


def _stage_word(request: Request) -> str:
    return request.target.value.lower()


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
