"""The model's requests: votes, overrides, freezes, and how requests end."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from tests.state_machine.queue_model import QueueModel
from tests.state_machine.records import (
    ADMINS,
    CLOCK,
    LEADS,
    MEMBERS,
    OUTSIDERS,
    PRODUCTION,
    PROGRAMS,
    SAME_PERSON,
    DriftRecord,
    Freeze,
    Request,
    TransitionRecord,
)


class RequestModel(QueueModel):
    """Requests, the decisions about them, and freezes."""

    # -- deciding --------------------------------------------------------------------------------------------------

    def vote(self, who: str, ask_id: str, choice: str) -> str:
        """Approve or reject a request. Return its state."""
        request = self._admit(who, choice, ask_id)
        if choice == "approve" and request.approvals + 1 >= request.rule.required:
            self._lapse(request)
        if who in request.votes and who not in request.lapsed:
            raise self._refused(who, request)
        request.take_vote(who)
        request.votes[who] = choice
        self._tell("person:request:voted", who, ask_id, request.approvals)
        if choice == "reject":
            self._end(request, "rejected", "registrar:request:rejected", who)
        else:
            self._decide(request)
        return request.state

    def withdraw(self, who: str, ask_id: str) -> str:
        """Withdraw a vote. Return the request's state."""
        request = self._admit(who, "withdraw", ask_id)
        if who not in request.votes:
            raise self._refused(who, request)
        request.take_vote(who)
        self._tell("person:request:withdrawn", who, ask_id, request.approvals)
        return request.state

    def override(self, who: str, ask_id: str) -> str:
        """Override a request's failed gates. Return its state."""
        request = self._admit(who, "override", ask_id)
        if not request.failed or request.overridden:
            raise self._refused(who, request)
        request.overridden, request.overrider = True, who
        self._tell("person:request:overridden", who, ask_id)
        if request.approvals >= request.rule.required:
            self._lapse(request)
        self._decide(request)
        return request.state

    def cancel(self, who: str, ask_id: str) -> str:
        """Cancel a request. Return its state."""
        request = self._admit(who, "cancel", ask_id)
        self._end(request, "cancelled", "person:request:cancelled", who)
        return request.state

    def _lapse(self, request: Request) -> None:
        """Stop counting approvals from people who can no longer approve."""
        for who in [one for one in request.approvers if not self._may(one, "reject", request)]:
            request.lapsed.add(who)
            self._tell("registrar:vote:lapsed", CLOCK, request.ask.id)

    def _decide(self, request: Request) -> None:
        if request.approvals < request.rule.required or (request.failed and not request.overridden):
            return
        request.state, last = "approved", request.approvers[-1]
        move = TransitionRecord(request, by=last)
        self.moves[request.ask.model].append(move)
        self.past[request.ask.model].append(move)
        self._tell("registrar:request:approved", last, request.ask.id)

    def _admit(self, who: str, act: str, ask_id: str) -> Request:
        request = self.requests[ask_id]
        if who in OUTSIDERS | self.gone:
            raise self._refused(who, request)
        if request.state == "pending" and self.now >= request.expires:
            self._end(request, "expired", "registrar:request:expired", CLOCK)
        elif request.state == "pending" and act in {"approve", "override"} and self._is_out_of_date(request):
            self._end(request, "stale", "registrar:request:stale", CLOCK)
        if request.state != "pending":
            raise self._refused(who, request, AlreadyDecided)
        if not self._may(who, act, request):
            raise self._refused(who, request)
        return request

    def _may(self, who: str, act: str, request: Request) -> bool:
        rule = self.rules[request.ask.model, request.ask.target]
        asked = who in {request.ask.who, SAME_PERSON.get(request.ask.who)}
        if who in self.gone:
            return False
        if act == "cancel":
            return (who in MEMBERS | PROGRAMS and asked) or who in ADMINS
        if who not in MEMBERS:
            return False
        if act == "withdraw":
            return True
        if act in {"approve", "override"} and request.ask.target == PRODUCTION and self.frozen(request.ask.model):
            return False
        if act == "override":
            return who in rule.override and not asked
        return who in rule.approvers and (rule.own or not asked)

    def _is_out_of_date(self, request: Request) -> bool:
        ask, look = request.ask, self.looks.get(request.ask.model)
        if self.rules[ask.model, ask.target].decides != request.rule.decides:
            return True
        if self._came_and_went(request):
            return True
        if look is None or look.at <= request.opened:
            return False
        if ask.version in look.stages and look.made[ask.version] != request.made:
            return True
        if ask.keep:
            return False
        held = [number for number, stage in look.stages.items() if stage == ask.target]
        return look.stages.get(ask.version) != request.from_stage or max(held, default=None) != request.incumbent

    def _came_and_went(self, request: Request) -> bool:
        """Return whether a block or another change since the request was opened makes it outdated."""
        barred, _ = self.bars.get((request.ask.model, request.ask.version), (None, 0))
        if barred is not None and barred > request.opened:
            return True
        past = [one for one in self.past[request.ask.model] if one.state == "done" and one.ended is not None]
        return any(self._is_news(request, one) for one in past if one.ended and one.ended > request.opened)

    def _is_news(self, request: Request, one: TransitionRecord | DriftRecord) -> bool:
        ask, now = request.ask, one.stages[1]
        if isinstance(one, TransitionRecord):
            is_another = one.request is not request
            return is_another and (one.version == ask.version or (not ask.keep and ask.target in one.stages))
        if now == PRODUCTION and one.version == ask.version:
            return True
        if ask.keep or ask.target != PRODUCTION:
            return False
        return one.version != request.incumbent if now == PRODUCTION else request.incumbent is not None

    def _refused(self, who: str, request: Request, kind: type[Refused] = Refused) -> Refused:
        self._tell("person:request:refused", who, request.ask.id)
        return kind("")

    def _end(self, request: Request, state: str, tag: str, who: str) -> None:
        request.state = state
        self._tell(tag, who, request.ask.id)

    # -- the clock -------------------------------------------------------------------------------------------------

    def expire(self) -> str:
        """End the pending requests that are past their deadline. Return how many there were."""
        late = [one for one in self.requests.values() if one.state == "pending" and self.now >= one.expires]
        for request in late:
            self._end(request, "expired", "registrar:request:expired", CLOCK)
        return str(len(late))

    def refresh(self) -> str:
        """End the pending requests that are outdated according to the ledger. Return how many there were."""
        out = [one for one in self.requests.values() if one.state == "pending" and self._is_out_of_date(one)]
        for request in out:
            self._end(request, "stale", "registrar:request:stale", CLOCK)
        return str(len(out))

    def remind(self) -> str:
        """Remind approvers who haven't voted. Each interval is twice as long as the one before."""
        count = 0
        for request in self.requests.values():
            rule = self.rules[request.ask.model, request.ask.target]
            if request.state != "pending" or rule.remind is None:
                continue
            if self.now < request.opened + rule.remind * (2 ** (request.reminded + 1) - 1):
                continue
            request.reminded, count = request.reminded + 1, count + 1
            asker = set() if rule.own else {request.ask.who}
            people = sorted(rule.approvers - (set(request.votes) - request.lapsed) - asker)
            self._tell("registrar:request:reminded", CLOCK, request.ask.id, people)
        return str(count)

    # -- freezing --------------------------------------------------------------------------------------------------

    def frozen(self, model: str) -> bool:
        """Return whether the model's Production is frozen now."""
        return any(self._is_active(one) for one in self.freezes if one.model in {None, model})

    def _is_active(self, freeze: Freeze) -> bool:
        return not freeze.lifted and (freeze.until is None or self.now < freeze.until)

    def freeze(self, who: str, model: str | None, lasts: timedelta | None) -> str:
        """Freeze Production for a model, or with None for all models."""
        self._admit_to_freezing(who, model)
        self.freezes.append(Freeze(model, self.now + lasts if lasts else None))
        self._tell("person:production:frozen", who, "freeze")
        return "frozen"

    def unfreeze(self, who: str, model: str | None) -> str:
        """Unfreeze a model, or with None end the freezes of all models. Raise BadInput if nothing is frozen."""
        self._admit_to_freezing(who, model)
        lifted = [one for one in self.freezes if one.model == model and self._is_active(one)]
        if not lifted:
            raise BadInput("")
        for freeze in lifted:
            freeze.lifted = True
            self._tell("person:production:unfrozen", who, "freeze")
        return "unfrozen"

    def _admit_to_freezing(self, who: str, model: str | None) -> None:
        named = self.rules[model, PRODUCTION].approvers if model else LEADS
        if who not in MEMBERS - self.gone or who not in ADMINS | named:
            self._tell("person:registry:refused", who, model or "registry")
            raise Refused("")
