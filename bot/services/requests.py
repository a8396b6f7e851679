"""Requests: asking, voting, cancelling, expiring. What decides is committed here; the registry is moved elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain import words
from bot.domain.approvals import Choice, Request, RequestState, Vote, verdict
from bot.domain.authority import Act, Decision, Subject, authorize
from bot.domain.commands import Promote, build
from bot.domain.errors import AlreadyDecided, BadInput, Refused, RegistrarError, UnknownRequest, Unreachable
from bot.domain.events import Event, Tag
from bot.domain.moves import Facts, check_can_be_asked, incumbent, intended
from bot.domain.people import Actor, Caller, Person, Profile, actor_of
from bot.domain.policy import TargetRule
from bot.domain.registry import VersionInfo, find_version
from bot.domain.text import Code, Name, Say, say
from bot.ports import Ask, AskState, Note, Writing
from bot.services.context import Context
from bot.services.lookups import Lookups
from bot.services.rows import card_note, direct_note, end_notes, news_note, request_event

log = logging.getLogger(__name__)

FIRST_TRY = timedelta(seconds=15)  # whoever wrote an ask down tries it at once; after this the job takes it for lost
ASK_RETRY = timedelta(seconds=5)  # how long an ask waits for a registry that did not answer
ASK_RETRY_MOST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """A vote that was recorded: the request as it stands now, and how many approvals it has."""

    request: Request
    approvals: int


class Requests:
    """The life of a request up to its decision."""

    def __init__(self, context: Context, lookups: Lookups) -> None:
        self._it = context
        self._lookups = lookups

    # -- asking ------------------------------------------------------------------------------------------------

    def ask(self, caller: Caller, command: Promote, *, where: str, origin: str) -> Ask:
        """Write down what somebody asks for; the registry is not read. `where` is the channel it came from.

        Raises Refused (kept in the audit) and LedgerUnavailable.
        """
        now = self._it.clock.now()
        subject = Subject(model=command.model, target=command.to)
        decision = authorize(caller, Act.ASK, subject, self._it.policy, now)
        ask = Ask(
            id=self._it.new_id(), caller=actor_of(caller), command=_dump(command), where=where, at=now,
            not_before=now + FIRST_TRY,
        )  # fmt: skip
        with self._it.ledger.write() as tx:
            if decision:
                tx.add_ask(ask)
                tx.append(_event(ask, Tag.ASKED, now, origin=origin))
            else:
                tx.append(_event(ask, Tag.ASK_REFUSED, now, why=str(decision.why), origin=origin))
        if not decision:
            raise Refused(decision.why)
        return ask

    def draft(self, caller: Caller, given: dict[str, Any], *, where: str) -> str:
        """Return the id of a fresh draft: a modal keeps it and nothing else. Raises LedgerUnavailable.

        `given` is what was typed before the modal opened, `where` the channel. Raises Refused for who may not ask.
        """
        now = self._it.clock.now()
        decision = authorize(caller, Act.ASK, Subject(), self._it.policy, now)
        if not decision:
            raise Refused(decision.why)
        ask = Ask(
            id=self._it.new_id(), caller=actor_of(caller), command=given, where=where, at=now, state=AskState.DRAFT
        )  # fmt: skip
        with self._it.ledger.write() as tx:
            tx.add_ask(ask)
        return ask.id

    def drafted(self, draft: str) -> Ask:
        """Return a draft: where it came from, and what was typed before. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            try:
                return reading.ask(draft)
            except KeyError:
                raise UnknownRequest("This form is from another time; open it again.") from None

    def open(self, ask_id: str, *, tell: bool = False) -> Request:
        """Read the registry and open the request that was asked for; its card is on the way when this returns.

        With `tell`, whoever asked hears directly what stands against it; without, the caller tells them.

        Raises what stands against it (BadInput, Refused, RegistryRefused; the ask has then ended and the audit
        keeps why) and Unreachable (the ask still stands and is tried again by `open_waiting`).
        """
        with self._it.ledger.read() as reading:
            ask = reading.ask(ask_id)
            if ask.request:
                return reading.request(ask.request)
        try:
            return self._open(ask)
        except Unreachable:
            self._wait(ask)
            raise
        except RegistrarError as error:
            opened = self._refuse(ask, error, tell=tell)
            if opened is None:
                raise
            return opened

    def open_waiting(self) -> None:
        """Try every ask again whose time has come; who asked is told directly what stands against it."""
        with self._it.ledger.read() as reading:
            waiting = reading.waiting_asks(self._it.clock.now())
        for ask_id in waiting:
            try:
                self.open(ask_id, tell=True)
            except Unreachable:
                return
            except RegistrarError as error:
                log.info("ask %s was refused: %s", ask_id, error)
            except Exception:  # one ask with a fault must not hold all that stand behind it
                log.exception("ask %s cannot be opened", ask_id)
                with self._it.ledger.read() as reading:
                    ask = reading.ask(ask_id)
                self._wait(ask)

    def _open(self, ask: Ask) -> Request:
        command = build(Promote, ask.command)
        model, versions = self._lookups.model_and_versions(command.model)
        version = find_version(command.version, model, versions)
        rule = self._rule(command, version)
        request = self._request(ask, command, version, Facts(versions=tuple(versions)), rule)
        with self._it.ledger.write() as tx:
            now = tx.ask(ask.id)
            if now.request:  # another thread was faster with the same ask
                return tx.request(now.request)
            if now.state is not AskState.WAITING:
                raise Refused("This was refused a moment ago; ask again.")
            tx.add_request(request)
            tx.save_ask(replace(ask, state=AskState.OPENED, request=request.id))
            tx.append(self._request_event(request, Tag.OPENED, ask.caller, evidence=_rule_evidence(rule)))
            tx.add_note(self._card(request, "opened"))
        return request

    def _rule(self, command: Promote, version: VersionInfo) -> TargetRule:
        rule = self._it.policy.rules_for(command.model).rule(command.to)
        if rule is None or not rule.approvers:
            raise Refused(
                say("The policy names nobody who may decide {model} → {stage}. Add approvers to {file}.",
                    model=Name(command.model), stage=command.to, file=Code("registrar.yml"))
            )  # fmt: skip
        check_can_be_asked(version, command.to)
        return rule

    def _request(self, ask: Ask, command: Promote, version: VersionInfo, facts: Facts, rule: TargetRule) -> Request:
        now = self._it.clock.now()
        return Request(
            id=self._it.new_id(),
            model=command.model,
            version=version.version,
            semver=version.tags.get("semver"),
            from_stage=version.stage,
            target=command.to,
            incumbent=incumbent(facts, command.to),
            requester=ask.caller,
            reason=command.reason,
            required=rule.required,
            keep_existing=command.keep_existing,
            opened_at=now,
            expires_at=now + rule.expires_after,
        )

    def _wait(self, ask: Ask) -> None:
        pause = min(ASK_RETRY * 2 ** min(ask.attempts, 10), ASK_RETRY_MOST)
        later = replace(ask, attempts=ask.attempts + 1, not_before=self._it.clock.now() + pause)
        with self._it.ledger.write() as tx:
            if tx.ask(ask.id).state is AskState.WAITING:
                tx.save_ask(later)

    def _refuse(self, ask: Ask, error: RegistrarError, *, tell: bool) -> Request | None:
        """End the ask; but where another thread has opened it meanwhile, return that request."""
        with self._it.ledger.write() as tx:
            now = tx.ask(ask.id)
            if now.request:
                return tx.request(now.request)
            if now.state is not AskState.WAITING:  # refused by another thread, which writes it down once
                return None
            tx.save_ask(replace(ask, state=AskState.REFUSED))
            tx.append(_event(ask, Tag.ASK_REFUSED, self._it.clock.now(), why=str(error.sentence), origin="registrar"))
            note = direct_note(f"ask:{ask.id}", f"direct:ask:{ask.id}", ask.caller, error.sentence)
            if tell and note:
                tx.add_note(note)
        return None

    # -- deciding ----------------------------------------------------------------------------------------------

    def vote(self, caller: Caller, request_id: str, choice: Choice, *, reason: str = "", origin: str) -> Counted:
        """Record one person's word, and where it decides the request, what follows: in one transaction.

        Raises UnknownRequest, Refused and AlreadyDecided (kept in the audit), LedgerUnavailable.
        """
        act = Act.APPROVE if choice is Choice.APPROVE else Act.REJECT
        with self._it.ledger.write() as tx:
            request = tx.lock_request(request_id)
            outcome = self._refusal(tx, caller, act, request) or self._count(
                tx, caller, request, choice, reason, origin
            )
            if isinstance(outcome, Refused):
                tx.append(self._refusal_event(request, caller, act, outcome, origin))
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def cancel(self, caller: Caller, request_id: str, *, reason: str = "", origin: str) -> Request:
        """Take a pending request back. Raises like `vote`."""
        with self._it.ledger.write() as tx:
            request = tx.lock_request(request_id)
            refusal = self._refusal(tx, caller, Act.CANCEL, request)
            if refusal:
                tx.append(self._refusal_event(request, caller, Act.CANCEL, refusal, origin))
            else:
                request = self._end(tx, request, RequestState.CANCELLED, Tag.CANCELLED, actor_of(caller), reason)
        if refusal:
            raise refusal
        return request

    def may(self, caller: Caller, request_id: str, act: Act) -> Request:
        """Return the request when `caller` may do `act` to it now; asked again when they do it.

        Raises UnknownRequest, Refused, AlreadyDecided; a refusal is kept in the audit.
        """
        with self._it.ledger.write() as tx:
            request = tx.lock_request(request_id)
            refusal = self._refusal(tx, caller, act, request)
            if refusal:
                tx.append(self._refusal_event(request, caller, act, refusal, "slack"))
        if refusal:
            raise refusal
        return request

    def expire(self) -> int:
        """End the pending requests whose time is over; return how many."""
        with self._it.ledger.read() as reading:
            late = reading.expired(self._it.clock.now())
        return sum(self._expire(request_id) for request_id in late)

    def _expire(self, request_id: str) -> bool:
        with self._it.ledger.write() as tx:
            request = tx.lock_request(request_id)
            if not request.has_expired(self._it.clock.now()):
                return False
            self._end(tx, request, RequestState.EXPIRED, Tag.EXPIRED, None, "nobody decided in time")
        return True

    def _refusal(self, tx: Writing, caller: Caller, act: Act, request: Request) -> Refused | None:
        now = self._it.clock.now()
        subject = Subject(model=request.model, target=request.target, requester=request.requester)
        decision = authorize(caller, act, subject, self._it.policy, now)
        if _is_outsider(decision):
            return Refused(decision.why)
        if request.has_expired(now):
            request = self._end(tx, request, RequestState.EXPIRED, Tag.EXPIRED, None, "nobody decided in time")
            return AlreadyDecided(words.ended(request))
        if request.state is not RequestState.PENDING:
            return AlreadyDecided(words.decided_before(request))
        return None if decision else Refused(decision.why)

    def _count(
        self, tx: Writing, caller: Caller, request: Request, choice: Choice, reason: str, origin: str
    ) -> Refused | Counted:
        voter = self._voter(caller)
        request = self._by_todays_rule(tx, request)
        vote = Vote(request=request.id, voter=voter, choice=choice, reason=reason, at=self._it.clock.now())
        if not tx.add_vote(vote):
            return Refused(say("You have voted on request {id} already.", id=Code(request.id)))
        votes = self._that_count(request, tx.votes(request.id))
        approvals = sum(one.choice is Choice.APPROVE for one in votes)
        evidence = {"choice": choice.value, "approvals": approvals, "required": request.required}
        tx.append(self._request_event(request, Tag.VOTED, voter, why=reason, origin=origin, evidence=evidence))
        if choice is Choice.APPROVE:
            tx.add_note(self._news(request, f"vote:{voter.user}", words.voted(request, vote, approvals)))
        return Counted(self._decide(tx, request, votes, vote), approvals)

    def _by_todays_rule(self, tx: Writing, request: Request) -> Request:
        """Return the request as the policy asks for it now, if that is more than when it was opened."""
        rule = self._it.policy.rules_for(request.model).rule(request.target)
        if rule is None or rule.required <= request.required:
            return request
        stricter = replace(request, required=rule.required)
        tx.save_request(stricter)
        return stricter

    def _that_count(self, request: Request, votes: list[Vote]) -> list[Vote]:
        """Return the votes without those of people whom the policy names no more.

        Who is in a user group was asked when they voted, and is not asked again.
        """
        rule = self._it.policy.rules_for(request.model).rule(request.target)
        named = self._it.policy.ids(rule.approvers) if rule else frozenset()
        by_group = any(one.startswith("S") for one in named)
        return [vote for vote in votes if by_group or vote.voter.user in named]

    def _decide(self, tx: Writing, request: Request, votes: list[Vote], last: Vote) -> Request:
        state = verdict(request, votes)
        if state is RequestState.APPROVED:
            return self._approve(tx, request, last)
        if state is RequestState.REJECTED:
            return self._end(tx, request, state, Tag.REJECTED, last.voter, last.reason)
        tx.add_note(self._card(request, f"vote:{last.voter.user}"))
        return request

    def _approve(self, tx: Writing, request: Request, last: Vote) -> Request:
        """Write the decision and the intended move down together: a crash after this loses nothing."""
        approved = request.become(RequestState.APPROVED, decided_at=last.at, decided_by=last.voter)
        tx.save_request(approved)
        tx.add_move(intended(approved, last))
        tx.append(self._request_event(approved, Tag.APPROVED, last.voter, before="pending", after="approved"))
        tx.add_note(self._card(approved, "approved"))
        return approved

    def _end(self, tx: Writing, request: Request, state: RequestState, tag: Tag, by: Actor | None, why: str) -> Request:
        now = self._it.clock.now()
        ended = request.become(state, decided_at=now, decided_by=by, outcome=why)
        tx.save_request(ended)
        tx.append(self._request_event(ended, tag, by, why=why, before=request.state.value, after=state.value))
        for note in end_notes(ended, self._it.policy.channel_for(ended.model), told=by):
            tx.add_note(note)
        return ended

    def _voter(self, caller: Caller) -> Person:
        if isinstance(caller, Profile):
            return caller.person
        raise BadInput("Only a person can vote.")

    # -- rows --------------------------------------------------------------------------------------------------

    def _card(self, request: Request, because: str) -> Note:
        return card_note(request, because, self._it.policy.channel_for(request.model))

    def _news(self, request: Request, because: str, sentence: Say) -> Note:
        return news_note(request, because, sentence)

    def _request_event(self, request: Request, tag: Tag, actor: Actor | None, **more: Any) -> Event:
        return request_event(request, tag, actor, self._it.clock.now(), **more)

    def _refusal_event(self, request: Request, caller: Caller, act: Act, refusal: Refused, origin: str) -> Event:
        evidence = {"act": act.value}
        return self._request_event(
            request, Tag.VOTE_REFUSED, actor_of(caller), why=str(refusal.sentence), origin=origin, evidence=evidence
        )


def _is_outsider(decision: Decision) -> bool:
    """Tell whether somebody has no business here at all, not even to hear who decided."""
    return not decision and decision.rule in {"stranger", "not a person"}


def _dump(command: Promote) -> dict[str, Any]:
    """Return the command as plain values that `build` reads again."""
    return {
        "model": command.model,
        "version": str(command.version),
        "to": command.to.value,
        "reason": command.reason,
        "keep_existing": command.keep_existing,
    }


def _rule_evidence(rule: TargetRule) -> dict[str, Any]:
    return {"rule": rule.model_dump(mode="json", exclude_defaults=True)}


def _event(ask: Ask, tag: Tag, now: datetime, *, origin: str, why: str = "") -> Event:
    return Event(
        at=now, actor=ask.caller, tag=tag, subject=f"ask:{ask.id}", model=str(ask.command["model"]), why=why,
        origin=origin, evidence=ask.command,
    )  # fmt: skip
