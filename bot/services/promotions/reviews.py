"""What follows a move that was made without approvals: someone else's review, in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.audit.events import Tag, canonical_time
from bot.domain.core.actors import Caller, actor_of, shown
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from bot.domain.core.sentence import Code, say
from bot.domain.policy.authorization import Act, Subject, authorize, reviewers, standing, user_of
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.approvers import TOLD_MOST
from bot.domain.promotions.request import Request, RequestState
from bot.ports import Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_note,
    direct_note,
    news_note,
    request_event,
    review_reminders,
    said_note,
)
from bot.services.promotions.request_changes import act


class Reviews:
    """Takes reviews, and reminds of those that are missing."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def may(self, caller: Caller, request_id: str) -> Request:
        """Return the request when `caller` can review it now; asked again when they do.

        Raises UnknownRequest, Refused, and AlreadyDecided; a refusal is kept in the audit.
        """
        return self._act(caller, request_id, lambda _, request: request, "slack")

    def review(self, caller: Caller, request_id: str, *, reason: str, origin: str) -> Request:
        """Write down someone's review of what was moved without approvals, once.

        Raises UnknownRequest, BadInput without a reason, Refused and AlreadyDecided (kept in the audit), and
        LedgerUnavailable.
        """
        if not reason:
            raise BadInput("A review needs a reason: the thread shows it, and the audit log keeps it.")
        return self._act(
            caller, request_id, lambda tx, request: self._review(tx, caller, request, reason, origin), origin
        )

    def _act(self, caller: Caller, request_id: str, do: Callable[[Writing, Request], Request], origin: str) -> Request:
        def checked(tx: Writing, request: Request) -> Refused | Request:
            return self._refusal(caller, request) or do(tx, request)

        return act(self._it, caller, Act.REVIEW, request_id, checked, origin=origin)

    def _refusal(self, caller: Caller, request: Request) -> Refused | None:
        subject = Subject(model=request.model, target=request.target, requester=request.requester)
        decision = authorize(caller, Act.REVIEW, subject, self._it.policy, self._it.clock.now())
        return _no_review(request) if decision else Refused(decision.why)

    def _review(self, tx: Writing, caller: Caller, request: Request, reason: str, origin: str) -> Request:
        now, by = self._it.clock.now(), actor_of(caller)
        reviewed = replace(request, reviewed_by=by, reviewed_at=now, review_reason=reason)
        tx.save_request(reviewed)
        due = request.review_due
        evidence = {
            "by": standing(caller, self._it.policy),
            "due": canonical_time(due) if due else None,
            "is_late": due is not None and now > due,
        }
        tx.append(request_event(reviewed, Tag.REVIEWED, by, now, why=reason, origin=origin, evidence=evidence))
        tx.add_note(card_note(reviewed, "reviewed", self._it.policy.channel_for(reviewed.model)))
        tx.add_note(news_note(reviewed, "reviewed", break_glass_messages.reviewed(reviewed)))
        direct = direct_note(
            reviewed.id,
            f"direct:{reviewed.id}:reviewed",
            reviewed.requester,
            break_glass_messages.reviewed_for_you(reviewed),
        )
        if direct:
            tx.add_note(direct)
        return reviewed

    def remind(self, members: Callable[[Sequence[str]], list[str]]) -> int:
        """Remind of the reviews that are due soon, and say which are overdue; return of how many.

        `members` gives the users behind user and group ids.
        """
        now = self._it.clock.now()
        with self._it.ledger.read() as reading:
            waiting = reading.to_review()
        return sum(self._remind(one, members) for one in waiting if _review_is_due(one, now))

    def _remind(self, request: Request, members: Callable[[Sequence[str]], list[str]]) -> bool:
        ids = reviewers(request.model, request.target, request.requester, self._it.policy)
        own = user_of(request.requester, self._it.policy)
        who = [] if request.review_reminded else [one for one in members(ids) if one != own][:TOLD_MOST]
        with self._it.ledger.write() as tx:
            now, at = tx.lock_request(request.id), self._it.clock.now()
            if now.review_reminded != request.review_reminded or not _review_is_due(now, at):
                return False
            is_overdue = now.review_due is not None and at >= now.review_due
            reminded = replace(now, review_reminded=2 if is_overdue else 1)
            tx.save_request(reminded)
            if is_overdue:
                tx.append(request_event(reminded, Tag.REVIEW_OVERDUE, None, at))
                self._say_overdue(tx, reminded)
            else:
                evidence = {"people": who, "about": "review"}
                tx.append(request_event(reminded, Tag.REMINDED, None, at, evidence=evidence))
                for note in review_reminders(reminded, who):
                    tx.add_note(note)
        return True

    def _say_overdue(self, tx: Writing, request: Request) -> None:
        said = break_glass_messages.review_overdue(request)
        channel = self._it.policy.channel_for(request.model)
        tx.add_note(said_note(f"review-overdue:{request.id}", channel, said))
        tx.add_note(news_note(request, "review-overdue", said))
        tx.add_note(card_note(request, "review-overdue", channel))


def _no_review(request: Request) -> Refused | None:
    """Return why a request can't be reviewed by anyone: people approved it, it isn't moved, or it has its review."""
    if not request.breaks_glass:
        return Refused(say("Nobody broke the glass for {id}, so there's nothing to review.", id=Code(request.id)))
    if request.state is not RequestState.DONE:
        why = (
            "{id} isn't moved yet; review it once it is."
            if request.state.is_open
            else ("{id} came to nothing ({state}), so there's nothing to review.")
        )
        return Refused(say(why, id=Code(request.id), state=request.state.value))
    if request.reviewed_by is not None:
        return AlreadyDecided(
            say("{who} already reviewed this on {at}.", who=shown(request.reviewed_by), at=request.reviewed_at)
        )
    return None


def _review_is_due(request: Request, now: datetime) -> bool:
    at = request.review_reminder_at()
    return at is not None and now >= at
