"""Requests: opening, voting, cancelling, expiring. What decides is committed here; the registry is moved elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bot.domain import mirror, words
from bot.domain.approvals import Choice, Request, RequestState, Vote, verdict
from bot.domain.authority import Act, Decision, Subject, authorize
from bot.domain.commands import Promote
from bot.domain.errors import AlreadyDecided, BadInput, Refused
from bot.domain.events import Event, Tag
from bot.domain.moves import Facts, check_can_be_asked, incumbent, intended
from bot.domain.people import Actor, Caller, Person, Profile, actor_of
from bot.domain.policy import TargetRule
from bot.domain.registry import VersionInfo, find_version
from bot.domain.text import Code, Name, Say, say
from bot.ports import Ask, AskState, Note, Writing
from bot.services.context import Context
from bot.services.lookups import Lookups
from bot.services.rows import card_note, copy, end_notes, news_note, request_event


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

    # -- opening -----------------------------------------------------------------------------------------------

    def open(self, ask: Ask, command: Promote) -> Request:
        """Read the registry and open the request that was asked for; its card is on the way when this returns.

        Raises what stands against it (BadInput, Refused, RegistryRefused) and Unreachable.
        """
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
            tx.add_copy(copy(request, "opened", mirror.opened(request)))
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
            semver=version.semver,
            former_status=version.tags.get(mirror.STATUS),
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
        tx.add_copy(copy(ended, state.value, mirror.ended(ended, tx.votes(ended.id), now)))
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


def _rule_evidence(rule: TargetRule) -> dict[str, Any]:
    return {"rule": rule.model_dump(mode="json", exclude_defaults=True)}
