"""What a version's tags in the registry say of a request: a copy of the ledger, for whoever only sees MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from bot.domain.core.actors import Actor, Automation, Person, as_person
from bot.domain.core.sentence import short
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.promotions.request import approvals as counted
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Move

STATUS = "approval_status"
VALUE_MOST = 1000  # characters; a tag is for a glance, the ledger has the whole
DESCRIPTION_MOST = 5000  # characters that MLflow holds on PostgreSQL

# Tags that Registrar writes itself, from the ledger: a person's hand in them would tell a lie.
OURS = frozenset(
    {
        STATUS,
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
OURS_ALONE = OURS - {"semver", "stage"}

Tags = Mapping[str, str | None]  # None takes a tag away


def ours(tags: Tags) -> dict[str, str]:
    """Return the tags that only Registrar sets, from the ledger."""
    return {key: value for key, value in tags.items() if key in OURS_ALONE and value is not None}


def fingerprints(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a short hash of each tag's key and value, by key."""
    return {key: hashlib.sha256(f"{key}\n{value}".encode()).hexdigest()[:12] for key, value in tags.items()}


def digest(tags: Tags) -> str:
    """Return the fingerprints of a version's tags that only Registrar sets, separated by spaces; empty for none."""
    return " ".join(sorted(fingerprints(ours(tags)).values()))


def opened(request: Request) -> Tags:
    """Return the tags of a version for which a request was opened."""
    who = named(request.requester)
    tags: dict[str, str | None] = {
        STATUS: f"{_word(request)}_requested",
        "requester": who,
        "request_reason": short(request.reason, VALUE_MOST) or None,
        "request_date": _date(request.opened_at),
    }
    if request.seen is not None:
        tags |= {f"validation_{metric}": f"{value:g}" for metric, value in request.seen.validation.items()}
    return tags | ({"production_requester": who} if request.target is Stage.PRODUCTION else {})


def ended(request: Request, votes: Iterable[Vote], at: datetime) -> Tags:
    """Return the tags of a version whose request has ended.

    One that moved nothing puts back what was there before; a rejection stays to be seen.
    """
    if request.state is RequestState.REJECTED:
        return {STATUS: "rejected"}
    if request.state is not RequestState.DONE:
        return _former(request)
    by = _deciders(request, votes)
    decided = _date(request.decided_at or at)
    tags: dict[str, str | None] = {
        STATUS: f"approved_{_word(request)}",
        "approver": by,
        "approval_date": decided,
        "promoted_by": by,
        "promotion_date": _date(at),
    }
    if request.target is Stage.PRODUCTION:
        tags |= {"production_approver": by, "production_date": _date(at)}
    return tags


def replaced(request: Request, tags: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those of a version's tags that the opening of a request replaces; None for one that isn't there."""
    return {key: tags.get(key) for key in opened(request)}


def reverted(request: Request, others: Iterable[Request], overwritten: Collection[str]) -> Tags:
    """Return the tags that a request, which ended without a move, puts back; none that was `overwritten` since.

    `others` are the version's requests, newest first. What the request found there may come from one that has ended
    the same way since: then what that one found is put back.
    """
    tags = dict(_former(request))
    for other in others:
        is_under = other.id != request.id and other.opened_at <= request.opened_at
        if is_under and has_reverted(other) and other.decided_at and other.decided_at >= request.opened_at:
            wrote, found = opened(other), _former(other)
            tags |= {key: found[key] for key, value in tags.items() if key in found and value == wrote.get(key)}
    return {key: value for key, value in tags.items() if key not in overwritten}


def has_reverted(request: Request) -> bool:
    """Tell whether a request has ended in a way that puts the version's tags back."""
    return not request.state.is_open and request.state not in {RequestState.DONE, RequestState.REJECTED}


def _former(request: Request) -> Tags:
    """Return the tags that its opening replaced; of one that an older Registrar opened, the status alone is known."""
    return {**(request.seen.former if request.seen else {}), STATUS: request.former_status}


def promoted(request: Request, votes: Iterable[Vote], at: datetime) -> str:
    """Return the line that a promotion adds to the version's description."""
    by = _deciders(request, votes).replace(",", ", ")
    return f"Promoted to {request.target} by {by} on {at:%Y-%m-%d} (request {request.id})"


def rolled_back(move: Move, at: datetime) -> Tags:
    """Return the tags of the version that a rollback took out of Production."""
    return {
        "rollback_reason": short(move.reason, VALUE_MOST) or None,
        "rolled_back_by": named(move.actor),
        "rollback_date": _date(at),
    }


def restored(move: Move, at: datetime) -> Tags:
    """Return the tags of the version that a rollback put back."""
    return {"restored_to_production": "true", "restoration_date": _date(at), "restored_by": named(move.actor)}


def approvers(votes: Iterable[Vote]) -> str:
    """Return who approved, comma-joined, in the order in which they did."""
    return ",".join(named(vote.voter) for vote in counted(votes))


def _deciders(request: Request, votes: Iterable[Vote]) -> str:
    """Return who approved; of what was moved without approvals, who broke the glass."""
    return named(request.requester) if request.breaks_glass else approvers(votes)


def with_line(description: str, line: str) -> str | None:
    """Return the description with the line at its end; None where it is there already or has no room."""
    if line in description.splitlines():
        return None
    longer = f"{description.rstrip()}\n{line}" if description.strip() else line
    return longer if len(longer) <= DESCRIPTION_MOST else None


def named(actor: Actor) -> str:
    """Return an actor as a tag names them: a Slack user id, or the name of what is no person."""
    known = as_person(actor)
    if isinstance(known, Person):
        return known.user
    return "automated-monitor" if isinstance(known, Automation) else known.name


def _word(request: Request) -> str:
    return request.target.value.lower()


def _date(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
