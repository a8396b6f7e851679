"""What a version's tags in the registry say of a request: a copy of the ledger, for whoever only sees MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.moves import Move
from bot.domain.people import Actor, Automation, Person
from bot.domain.registry import Stage
from bot.domain.text import short

STATUS = "approval_status"
VALUE_MOST = 1000  # characters; a tag is for a glance, the ledger has the whole
DESCRIPTION_MOST = 5000  # characters that MLflow holds on PostgreSQL

# Tags that Registrar writes itself, from the ledger: a person's hand in them would tell a lie.
OURS = frozenset(
    {
        STATUS, "approver", "approval_date", "requester", "request_reason", "request_date",
        "production_requester", "production_approver", "production_date", "promoted_by", "promotion_date",
        "rollback_reason", "rolled_back_by", "rollback_date", "restored_to_production", "restoration_date",
        "restored_by", "semver", "stage",
    }
)  # fmt: skip

Tags = Mapping[str, str | None]  # None takes a tag away


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

    One that moved nothing puts the former `approval_status` back; a rejection stays to be seen.
    """
    if request.state is RequestState.REJECTED:
        return {STATUS: "rejected"}
    if request.state is not RequestState.DONE:
        return {STATUS: request.former_status}
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


def promoted(request: Request, votes: Iterable[Vote], at: datetime) -> str:
    """Return the line that a promotion adds to the version's description."""
    by = _deciders(request, votes).replace(",", ", ")
    return f"Promoted to {request.target} by {by} on {at:%Y-%m-%d} (request {request.id})"


def rolled_back(move: Move, at: datetime) -> Tags:
    """Return the tags of the version that a rollback took out of Production."""
    return {"rollback_reason": short(move.reason, VALUE_MOST) or None, "rolled_back_by": named(move.actor),
            "rollback_date": _date(at)}  # fmt: skip


def restored(move: Move, at: datetime) -> Tags:
    """Return the tags of the version that a rollback put back."""
    return {"restored_to_production": "true", "restoration_date": _date(at), "restored_by": named(move.actor)}


def approvers(votes: Iterable[Vote]) -> str:
    """Return who approved, comma-joined, in the order in which they did."""
    return ",".join(named(vote.voter) for vote in votes if vote.choice is Choice.APPROVE)


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
    if isinstance(actor, Person):
        return actor.user
    return "automated-monitor" if isinstance(actor, Automation) else actor.name


def _word(request: Request) -> str:
    return request.target.value.lower()


def _date(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
