"""Requests: opening, voting, cancelling, expiring. What decides is committed here; the registry is moved elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.domain.audit.events import Event, Tag, canonical_time
from bot.domain.commands.requests import Promote
from bot.domain.core.actors import Actor, Caller, Person, Profile, actor_id, actor_of
from bot.domain.core.ci_run import pack_ci
from bot.domain.core.errors import AlreadyDecided, BadInput, GateFailed, Refused
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.policy.authorization import Act, Subject, authorize, deciders, standing, user_of
from bot.domain.policy.freezes import frozen
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import TOLD_MOST, Electorate
from bot.domain.promotions.gates import NOT_BLOCKED, rule_changed, without_block
from bot.domain.promotions.request import Choice, Request, RequestState, Vote, verdict
from bot.domain.promotions.request import approvals as counted
from bot.domain.promotions.snapshot import Seen, pack_seen
from bot.domain.registry.model import VersionInfo, find_version
from bot.domain.registry.version_identity import replaced
from bot.domain.transitions import registry_tags, restore_messages
from bot.domain.transitions.drift import Look
from bot.domain.transitions.transition import Facts, check_can_be_asked, in_an_emergency, incumbent, intended, overtaken
from bot.ports import Ask, AskState, Note, Reading, Writing
from bot.services.core.blocked_versions import blocks
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    OPENED,
    card_note,
    copy,
    end_notes,
    news_note,
    reminders,
    request_event,
    said_note,
)
from bot.services.promotions.approvers import Approvers
from bot.services.promotions.final_tags import end_copy
from bot.services.promotions.gate_checks import Gating
from bot.services.promotions.request_changes import act
from bot.services.promotions.voters import Profiles, Voters, meanwhile
from bot.services.registry.queries import Lookups

MANY = 10_000  # pending requests at one time: one a model and stage, and no team has so many models
# What nobody does to a request that the ledger knows to be out of date. Taking it or a vote back still is fine.
_ON_TODAYS_FACTS = frozenset({Act.APPROVE, Act.OVERRIDE})
_DECIDING = frozenset({Act.APPROVE, Act.OVERRIDE, Act.REJECT})  # what nobody does to a request that is held


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counted:
    """A vote that was recorded: the request as it stands now, and how many approvals it has."""

    request: Request
    approvals: int


class Requests:
    """The life of a request up to its decision."""

    def __init__(self, context: Context, lookups: Lookups, gating: Gating) -> None:
        self._it = context
        self._lookups = lookups
        self._gating = gating
        self._voters = Voters(context)
        self._approvers = Approvers(context)

    # -- opening -----------------------------------------------------------------------------------------------

    def open(self, ask: Ask, command: Promote) -> Request:
        """Read the registry and open the request that was asked for; its card is on the way when this returns.

        Raises what stands against it (BadInput, Refused, RegistryRefused) and Unreachable.
        """
        with self._it.ledger.read() as reading:
            unwritten = reading.first_unwritten(command.model)  # these may or may not show in the tags read below
        model, versions = self._lookups.model_and_versions(command.model)
        version = find_version(command.version, model, versions)
        rule = self._rule(command, version)
        approvers = Electorate() if command.break_glass else self._approvers.check(command.model, rule, ask.caller)
        seen = self._gating.look(model, versions, version, command.to, command.results(), callers=True)
        if seen.failed and not rule.override and not command.break_glass:
            raise GateFailed(promotion_messages.gates_failed(command.model, version.version, seen), pack_seen(seen))
        facts = Facts(versions=tuple(versions), model=model)
        request = self._request(ask, command, version, facts, rule, seen)
        with self._it.ledger.write() as tx:
            now = tx.ask(ask.id)
            if now.request:  # another thread was faster with the same ask
                return tx.request(now.request)
            if now.state is not AskState.WAITING:
                raise Refused("This was refused a moment ago; ask again.")
            if request.breaks_glass:
                self._set_aside(tx, request)
            request = _unless_unblocked(tx, _with_former(tx, request, version, unwritten), versions)
            tx.add_request(request)
            tx.save_ask(replace(ask, state=AskState.OPENED, request=request.id))
            evidence = _rule_evidence(rule) | {"seen": pack_seen(request.seen or seen)} | _ci_evidence(request)
            tx.append(self._request_event(request, Tag.OPENED, ask.caller, evidence=evidence))
            tx.add_note(self._card(request, OPENED))
            for note in self._approvers.invitations(request, rule, approvers):
                tx.add_note(note)
            tx.add_copy(copy(request, "opened", registry_tags.opened(request)))
            return self._break_glass(tx, request) if request.breaks_glass else request

    def _set_aside(self, tx: Writing, urgent: Request) -> None:
        """End the pending request that is in the way of an emergency; one that is being made is left."""
        there = tx.open_request(urgent.model, urgent.target)
        if there is not None and tx.lock_request(there.id).state is RequestState.PENDING:
            why = str(break_glass_messages.set_aside(urgent.version))
            self._end(tx, there, RequestState.STALE, Tag.STALE, urgent.requester, why)

    def _break_glass(self, tx: Writing, request: Request) -> Request:
        """Write down the decision of the one who asked, and the move; the channel is alarmed."""
        now = self._it.clock.now()
        rule = self._it.policy.rules_for(request.model).rule(request.target) or TargetRule()
        decided = request.become(
            RequestState.APPROVED, decided_at=now, decided_by=request.requester, review_due=now + rule.review_within
        )
        tx.save_request(decided)
        tx.add_move(in_an_emergency(decided, now))
        tx.append(
            self._request_event(
                decided, Tag.BROKE_GLASS, request.requester, why=request.reason, before="pending", after="approved"
            )
        )
        tx.add_note(self._card(decided, "approved"))
        alarm = break_glass_messages.broke_glass(decided)
        tx.add_note(said_note(f"glass:{decided.id}", self._it.policy.channel_for(decided.model), alarm))
        return decided

    def _rule(self, command: Promote, version: VersionInfo) -> TargetRule:
        rule = self._it.policy.rules_for(command.model).rule(command.to)
        if rule is None or not rule.approvers:
            raise Refused(
                say(
                    "The policy names nobody who may decide {model} → {stage}. Add approvers to {file}.",
                    model=Name(command.model),
                    stage=command.to,
                    file=Code("registrar.yml"),
                )
            )
        check_can_be_asked(version, command.to)
        return rule

    def _request(
        self, ask: Ask, command: Promote, version: VersionInfo, facts: Facts, rule: TargetRule, seen: Seen
    ) -> Request:
        now, holder = self._it.clock.now(), incumbent(facts, command.to)
        return Request(
            id=ask.id,
            model=command.model,
            version=version.version,
            semver=version.semver,
            from_stage=version.stage,
            target=command.to,
            incumbent=holder,
            requester=ask.caller,
            reason=command.reason,
            required=rule.required,
            keep_existing=command.keep_existing,
            seen=seen,
            opened_at=now,
            expires_at=now + rule.expires_after,
            ci=ask.ci,
            breaks_glass=command.break_glass,
            identity=facts.identity(version.version),
            incumbent_identity=facts.identity(holder),
        )

    # -- deciding ----------------------------------------------------------------------------------------------

    def vote(self, caller: Caller, request_id: str, choice: Choice, *, reason: str = "", origin: str) -> Counted:
        """Record one person's word, and where it decides the request, what follows: in one transaction.

        Raises UnknownRequest, Refused and AlreadyDecided (kept in the audit), LedgerUnavailable.
        """
        is_yes = choice is Choice.APPROVE
        profiles = self._voters.before_the_last(request_id, coming=1) if is_yes else {}

        def count(tx: Writing, request: Request) -> Refused | Counted:
            return self._count(tx, caller, request, choice, reason, origin, profiles)

        return self._act(caller, Act.APPROVE if is_yes else Act.REJECT, request_id, count, origin)

    def withdraw(self, caller: Caller, request_id: str, *, origin: str) -> Counted:
        """Take the caller's own vote back while the request is pending. Raises like `vote`."""
        return self._act(
            caller, Act.WITHDRAW, request_id, lambda tx, request: self._take_back(tx, caller, request, origin), origin
        )

    def override(self, caller: Caller, request_id: str, *, reason: str, origin: str) -> Counted:
        """Let the failed gates of a pending request pass; where that was all it waited for, it is approved.

        Raises like `vote`; Refused also where no gate failed.
        """
        profiles = self._voters.before_the_last(request_id, coming=0)

        def let_pass(tx: Writing, request: Request) -> Refused | Counted:
            return self._let_pass(tx, caller, request, reason, origin, profiles)

        return self._act(caller, Act.OVERRIDE, request_id, let_pass, origin)

    def cancel(self, caller: Caller, request_id: str, *, reason: str = "", origin: str) -> Request:
        """Take a pending request back. Raises like `vote`."""

        def end(tx: Writing, request: Request) -> Request:
            return self._end(tx, request, RequestState.CANCELLED, Tag.CANCELLED, actor_of(caller), reason, caller)

        return self._act(caller, Act.CANCEL, request_id, end, origin)

    def may(self, caller: Caller, request_id: str, act: Act) -> Request:
        """Return the request when `caller` may do `act` to it now; asked again when they do it.

        Raises UnknownRequest, Refused, AlreadyDecided; a refusal is kept in the audit.
        """
        return self._act(caller, act, request_id, lambda _, request: request, "slack")

    def _act(
        self, caller: Caller, what: Act, request_id: str, do: Callable[[Writing, Request], Refused | T], origin: str
    ) -> T:
        def checked(tx: Writing, request: Request) -> Refused | T:
            return self._refusal(tx, caller, what, request) or do(tx, request)

        return act(self._it, caller, what, request_id, checked, origin=origin)

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

    def refresh(self) -> int:
        """End the pending requests of which the ledger knows that they are out of date; return how many.

        That is another rule in the policy, or a look at the registry since it was opened that found another incumbent
        or the version in another stage. Nothing is read from the registry.
        """
        with self._it.ledger.read() as reading:
            pending = reading.requests(states=[RequestState.PENDING], most=MANY)
            out = [request.id for request in pending if self._out_of_date(reading, request)]
        return sum(self._refresh(request_id) for request_id in out)

    def _refresh(self, request_id: str) -> bool:
        with self._it.ledger.write() as tx:
            request = tx.lock_request(request_id)
            why = self._out_of_date(tx, request)
            if request.state is not RequestState.PENDING or why is None:
                return False
            self._end(tx, request, RequestState.STALE, Tag.STALE, None, str(why))
        return True

    def end_as_outdated(self, tx: Writing, request_id: str, why: Say) -> None:
        """End a pending request in the caller's transaction; another one is left."""
        request = tx.lock_request(request_id)
        if request.state is RequestState.PENDING:
            self._end(tx, request, RequestState.STALE, Tag.STALE, None, str(why))

    def before_unblocking(self, model: str, version: int) -> Profiles:
        """Return the profiles of those who approved requests that might wait only until `version` is unblocked.

        Raises LedgerUnavailable.
        """
        with self._it.ledger.read() as reading:
            pending = reading.requests(model=model, states=[RequestState.PENDING], most=MANY)
        found: dict[str, Profile] = {}
        for one in pending:
            if _is_blocked_by(one, version):
                found |= self._voters.before_the_last(one.id, coming=0)
        return found

    def unblock(self, tx: Writing, model: str, version: int, block: str, profiles: Profiles) -> None:
        """Let the gate `not_blocked` of a version's pending requests pass, in the transaction that lifts `block`.

        One that waited for nothing else is approved; the executor checks everything again. `profiles` are those of
        `before_unblocking`.
        """
        for one in tx.requests(model=model, states=[RequestState.PENDING], most=MANY):
            if not _is_blocked_by(one, version):
                continue
            request = tx.lock_request(one.id)
            if request.seen is not None and request.seen.fails(NOT_BLOCKED):
                tx.save_request(replace(request, seen=without_block(request.seen)))
            if not self.settle(tx, one.id, profiles):
                tx.add_note(self._card(tx.request(one.id), f"unblocked:{block}"))

    def settle(self, tx: Writing, request_id: str, profiles: Profiles) -> bool:
        """Decide a pending request that waits for nobody, in the caller's transaction; return whether it was decided.

        Approvals that don't count any more by `profiles` lapse. One that is out of date ends.
        """
        request = tx.lock_request(request_id)
        if request.state is not RequestState.PENDING or request.has_expired(self._it.clock.now()):
            return False
        if tx.is_held(request_id) or verdict(request, tx.votes(request_id)) is not RequestState.APPROVED:
            return False
        if (why := self._out_of_date(tx, request)) is not None:
            self._end(tx, request, RequestState.STALE, Tag.STALE, None, str(why))
            return True
        votes = self._voters.lapse(tx, request, tx.votes(request_id), profiles)
        if verdict(request, votes) is not RequestState.APPROVED:
            return False
        self._approve(tx, request, counted(votes)[-1])
        return True

    def _out_of_date(self, reading: Reading, request: Request) -> Say | None:
        """Return why a request can no longer be decided, as far as the ledger knows; None where it can."""
        if self._has_another_rule(request):
            return rule_changed(request)
        look = reading.look(request.model)
        changed = None if look is None or look.at <= request.opened_at else _changed(request, look)
        return changed or meanwhile(reading, request)

    def _has_another_rule(self, request: Request) -> bool:
        if request.seen is None:  # opened by an older Registrar
            return False
        return request.seen.rule != self._it.policy.fingerprint(request.model, request.target)

    def remind(self, members: Callable[[Sequence[str]], list[str]]) -> int:
        """Remind those who can decide of pending requests whose time for it has come; return of how many.

        Each pause is twice as long as the one before. `members` gives the users behind user and group ids.
        """
        with self._it.ledger.read() as reading:
            pending = reading.requests(states=[RequestState.PENDING], most=MANY)
        return sum(self._remind(request, members) for request in pending if self._is_due(request))

    def _is_due(self, request: Request) -> bool:
        rule = self._it.policy.rules_for(request.model).rule(request.target)
        if rule is None or rule.remind_after is None:
            return False
        return self._it.clock.now() >= reminder_at(request, rule.remind_after)

    def _remind(self, request: Request, members: Callable[[Sequence[str]], list[str]]) -> bool:
        who = members(deciders(request.model, request.target, request.requester, self._it.policy))
        with self._it.ledger.write() as tx:
            now = tx.lock_request(request.id)
            if now.state is not RequestState.PENDING or now.reminded != request.reminded or not self._is_due(now):
                return False
            reminded = replace(now, reminded=now.reminded + 1)
            tx.save_request(reminded)
            voted = {vote.voter.user for vote in tx.votes(now.id) if not vote.lapsed}
            asked = [one for one in who if one not in voted and one != self._own(now)][:TOLD_MOST]
            tx.append(self._request_event(reminded, Tag.REMINDED, None, evidence={"people": asked}))
            for note in reminders(reminded, asked, self._it.clock.now()):
                tx.add_note(note)
        return True

    def _own(self, request: Request) -> str | None:
        """Return the requester's user id where they may not decide themselves."""
        rule = self._it.policy.rules_for(request.model).rule(request.target)
        may = rule is not None and rule.requester_may_approve
        return None if may else user_of(request.requester, self._it.policy)

    def _refusal(self, tx: Writing, caller: Caller, act: Act, request: Request) -> Refused | None:
        now = self._it.clock.now()
        subject = Subject(
            model=request.model,
            target=request.target,
            requester=request.requester,
            frozen=frozen(request.model, tx.freezes(), self._it.policy, now),
        )
        decision = authorize(caller, act, subject, self._it.policy, now)
        if decision.is_outsider:
            return Refused(decision.why)
        if request.has_expired(now):
            request = self._end(tx, request, RequestState.EXPIRED, Tag.EXPIRED, None, "nobody decided in time")
            return AlreadyDecided(promotion_messages.ended(request))
        if request.state is not RequestState.PENDING:
            return AlreadyDecided(promotion_messages.decided_before(request))
        if decision and act in _DECIDING and tx.is_held(request.id):
            return Refused(restore_messages.undecidable())
        why = self._out_of_date(tx, request) if act in _ON_TODAYS_FACTS else None
        if why is not None:
            request = self._end(tx, request, RequestState.STALE, Tag.STALE, None, str(why))
            return AlreadyDecided(promotion_messages.ended(request))
        return None if decision else Refused(decision.why)

    def _count(
        self,
        tx: Writing,
        caller: Caller,
        request: Request,
        choice: Choice,
        reason: str,
        origin: str,
        profiles: Profiles,
    ) -> Refused | Counted:
        voter = self._voter(caller)
        vote = Vote(request=request.id, voter=voter, choice=choice, reason=reason, at=self._it.clock.now())
        before = self._voters.lapse(tx, request, tx.votes(request.id), profiles)
        # By user: at the terminal of the bot's machine nobody knows the workspace, and nobody counts twice.
        mine = next((one for one in before if one.voter.user == voter.user), None)
        if mine is not None and mine.lapsed:  # they can vote again by now
            tx.take_vote(request.id, mine.voter)
            before.remove(mine)
            mine = None
        if mine is not None or not tx.add_vote(vote):
            return Refused(say("You have voted on request {id} already.", id=Code(request.id)))
        votes = [*before, vote]
        approvals = _approvals(votes)
        evidence: dict[str, Any] = {"choice": choice.value, "approvals": approvals, "required": request.required}
        evidence |= {"by": standing(caller, self._it.policy)}
        tx.append(
            self._request_event(request, Tag.VOTED, actor_of(caller), why=reason, origin=origin, evidence=evidence)
        )
        if choice is Choice.APPROVE:
            tx.add_note(self._news(request, _of_vote(vote), promotion_messages.voted(request, vote, approvals)))
        return Counted(self._decide(tx, request, votes, vote), approvals)

    def _take_back(self, tx: Writing, caller: Caller, request: Request, origin: str) -> Refused | Counted:
        mine = next((one.voter for one in tx.votes(request.id) if one.voter.user == self._voter(caller).user), None)
        voter = mine or self._voter(caller)
        if not tx.take_vote(request.id, voter):
            return Refused(say("You have not voted on request {id}.", id=Code(request.id)))
        approvals, number = _approvals(tx.votes(request.id)), self._it.new_id()
        evidence: dict[str, Any] = {"approvals": approvals, "required": request.required}
        evidence |= {"by": standing(caller, self._it.policy)}
        tx.append(self._request_event(request, Tag.WITHDRAWN, actor_of(caller), origin=origin, evidence=evidence))
        tx.add_note(self._card(request, f"withdrawn:{number}"))
        tx.add_note(self._news(request, f"withdrawn:{number}", promotion_messages.withdrawn(request, voter, approvals)))
        return Counted(request, approvals)

    def _let_pass(
        self, tx: Writing, caller: Caller, request: Request, reason: str, origin: str, profiles: Profiles
    ) -> Refused | Counted:
        if not request.is_blocked or request.seen is None:
            return Refused(say("No gate of request {id} stands in the way.", id=Code(request.id)))
        by = actor_of(caller)
        passed = replace(request, overridden_by=by, override_reason=reason)
        tx.save_request(passed)
        evidence = {"gates": pack_seen(request.seen)["gates"], "by": standing(caller, self._it.policy)}
        tx.append(self._request_event(passed, Tag.OVERRIDDEN, by, why=reason, origin=origin, evidence=evidence))
        tx.add_note(self._news(passed, "overridden", promotion_messages.overridden(passed)))
        votes = self._voters.lapse(tx, passed, tx.votes(request.id), profiles)
        if verdict(passed, votes) is RequestState.APPROVED:
            passed = self._approve(tx, passed, counted(votes)[-1])
        else:
            tx.add_note(self._card(passed, "overridden"))
        return Counted(passed, _approvals(votes))

    def _decide(self, tx: Writing, request: Request, votes: list[Vote], last: Vote) -> Request:
        state = verdict(request, votes)
        if state is RequestState.APPROVED:
            return self._approve(tx, request, last)
        if state is RequestState.REJECTED:
            return self._end(tx, request, state, Tag.REJECTED, last.voter, last.reason)
        tx.add_note(self._card(request, _of_vote(last)))
        return request

    def _approve(self, tx: Writing, request: Request, last: Vote) -> Request:
        """Write the decision and the intended move down together: a crash after this loses nothing."""
        now = self._it.clock.now()
        approved = request.become(RequestState.APPROVED, decided_at=now, decided_by=last.voter)
        tx.save_request(approved)
        tx.add_move(intended(approved, last, now))
        evidence = _since(approved) | ({"seen": pack_seen(approved.seen)} if approved.seen else {})
        evidence |= {"approvers": [actor_id(vote.voter) for vote in counted(tx.votes(request.id))]}
        tx.append(
            self._request_event(
                approved, Tag.APPROVED, last.voter, before="pending", after="approved", evidence=evidence
            )
        )
        tx.add_note(self._card(approved, "approved"))
        return approved

    def _end(
        self,
        tx: Writing,
        request: Request,
        state: RequestState,
        tag: Tag,
        by: Actor | None,
        why: str,
        caller: Caller | None = None,
    ) -> Request:
        now = self._it.clock.now()
        ended = request.become(state, decided_at=now, decided_by=by, outcome=why)
        tx.save_request(ended)
        evidence = _since(ended) | ({"by": standing(caller, self._it.policy)} if caller else {})
        tx.append(
            self._request_event(
                ended, tag, by, why=why, before=request.state.value, after=state.value, evidence=evidence
            )
        )
        for note in end_notes(ended, self._it.policy.channel_for(ended.model), told=by):
            tx.add_note(note)
        tx.add_copy(end_copy(tx, ended, now))
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


def _with_former(tx: Writing, request: Request, version: VersionInfo, unwritten: int) -> Request:
    """Return the request with the tags that its opening replaces, as the ledger has them from its `unwritten` on."""
    tags: dict[str, str | None] = dict(version.tags)
    for one in tx.copies(request.model, version=request.version, since=unwritten):
        tags |= one.tags
    seen = replace(request.seen, former=registry_tags.replaced(request, tags)) if request.seen else None
    return replace(request, seen=seen, former_status=tags.get(registry_tags.STATUS))


def _unless_unblocked(tx: Reading, request: Request, versions: Sequence[VersionInfo]) -> Request:
    """Return the request with the gate `not_blocked` passed where someone unblocked the version since it was read."""
    if request.seen is None or not request.seen.fails(NOT_BLOCKED):
        return request
    about = {one.version: one.identity() for one in versions if one.version == request.seen.blocked}
    return request if blocks(tx, request.model, about) else replace(request, seen=without_block(request.seen))


def _is_blocked_by(request: Request, version: int) -> bool:
    """Tell whether a request is about a version that can be blocked, or about the same files."""
    return ((request.seen and request.seen.blocked) or request.version) == version


def _of_vote(vote: Vote) -> str:
    """Return what tells a vote's messages from others: also from those of an earlier vote by the same person."""
    return f"vote:{vote.voter.user}:{vote.at:%Y%m%dT%H%M%S.%f}"


def reminder_at(request: Request, pause: timedelta) -> datetime:
    """Return when the next reminder is due: after `pause`, then after twice as long, and so on."""
    pauses: int = 2 ** min(request.reminded + 1, 20) - 1
    return request.opened_at + pause * pauses


def _approvals(votes: Sequence[Vote]) -> int:
    return len(counted(votes))


def _changed(request: Request, look: Look) -> Say | None:
    """Return what a look at the registry since a request was opened found different, or None."""
    if request.version in look.stages and look.has_replaced(request.version, request.identity):
        return replaced(request.model, request.version)
    return None if request.keep_existing else overtaken(request, _as_facts(look))


def _as_facts(look: Look) -> Facts:
    """Return a look as what the registry says of a model's stages."""
    return Facts(
        versions=tuple(
            VersionInfo(model=look.model, version=number, stage=stage) for number, stage in look.stages.items()
        )
    )


def _since(request: Request) -> dict[str, Any]:
    return {"opened_at": canonical_time(request.opened_at)}


def _ci_evidence(request: Request) -> dict[str, Any]:
    return {"ci": pack_ci(request.ci)} if request.ci else {}


def _rule_evidence(rule: TargetRule) -> dict[str, Any]:
    return {"rule": rule.model_dump(mode="json", exclude_defaults=True)}
