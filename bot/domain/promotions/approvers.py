"""Who can approve a request, who it's waiting for, and whether there are enough approvers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import TooFewApprovers
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import (
    Code,
    Mention,
    MessageLink,
    Name,
    Sentence,
    join_sentences,
    join_with_conjunction,
    say,
    truncate,
)
from bot.domain.policy.authorization import (
    AccessTarget,
    approver_ids,
    is_full_member,
    overrider_ids,
)
from bot.domain.policy.authorship import missing_person_key, own_user_ids, represented_person, slack_user_id
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.promotions.messages import describe_change, describe_requester
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import TARGET_STAGES, Stage

MAX_NAME_LENGTH = 80  # characters of a person's name in a sentence
MAX_NOTIFIED = 20  # people that one card names, or that get a direct message; the others are counted


@dataclass(frozen=True, slots=True)
class EligibleApprovers:
    """The people in a list of approvers, by user ID. `is_complete` is False if Slack can't list a group's members."""

    people: Mapping[str, Profile] = field(default_factory=dict)
    is_complete: bool = True

    @classmethod
    def from_ids(cls, ids: Iterable[str]) -> EligibleApprovers:
        """Return the users among these user and user group IDs, without calling Slack; groups aren't resolved."""
        listed_ids = list(ids)
        people = {
            slack_id: Profile(person=Person("", slack_id)) for slack_id in listed_ids if not slack_id.startswith("S")
        }
        return cls(people, is_complete=len(people) == len(listed_ids))

    def user_ids(self, excluding: Collection[str] = ()) -> list[str]:
        """Return the sorted IDs of the users whose accounts can approve, except those in `excluding`."""
        return sorted(user for user, one in self.people.items() if is_full_member(one) and user not in excluding)

    def max_approvals(self) -> int | None:
        """Return the highest possible number of approvals; None if a group's members are unknown."""
        return len(self.user_ids()) if self.is_complete else None


ResolveApprovers = Callable[[Sequence[str]], EligibleApprovers]  # from user and user group IDs


# -- whether there are enough approvers --------------------------------------------------------------------------------


def required_approvals(access_target: AccessTarget, policy: Policy) -> int:
    """Return how many different people must approve a request; 0 if no rule applies."""
    rule = policy.rules_for(access_target.model or "").rule(access_target.target or Stage.NONE)
    required = rule.required if rule else 0
    return required + 1 if extra_approval_reason(access_target, policy) else required


def extra_approval_reason(access_target: AccessTarget, policy: Policy) -> Sentence | None:
    """Return why a request needs one more approval than its rule requires, or None.

    It needs one if the policy should say who is behind the request but doesn't, because that person could be one of the
    approvers.
    """
    rule = policy.rules_for(access_target.model or "").rule(access_target.target or Stage.NONE)
    if rule is None or rule.requester_may_approve:
        return None
    needed = pluralize(rule.required + 1, "approval")
    match missing_person_key(access_target, policy):
        case "people":
            return say(
                "The policy's {key} doesn't say who started this job, so the request needs {n}.",
                key=Code("people"),
                n=needed,
            )
        case "acts_for":
            return say(
                "The policy doesn't say who this agent acts for, so the request needs {n}. "
                "To name them, set {key} for the client.",
                n=needed,
                key=Code("acts_for"),
            )
        case None:
            return None


def missing_requirement(request: Request, policy: Policy) -> Sentence | None:
    """Return why a request needs one more approval under this policy than it did when it was opened, or None."""
    needs_more = request.required < required_approvals(request.access_target, policy)
    return extra_approval_reason(request.access_target, policy) if needs_more else None


def describe_starter(request: Request, policy: Policy) -> Sentence | None:
    """Return who is behind a program's request: who started its CI job, and the person that its agent acts for.

    A login that the policy doesn't list is shown as is. Return None if neither is known, unless there's an agent and
    the policy should say who it acts for, but doesn't.
    """
    person = represented_person(request.access_target, policy)
    listed = policy.people.find(request.ci) if request.ci else None
    parts = []
    if request.ci and request.ci.actor and (listed is None or listed != person):
        parts.append(say("started by {who}", who=Mention(listed) if listed else Code(request.ci.actor)))
    if person:
        parts.append(say("acting for {who}", who=Mention(person)))
    elif request.agent and missing_person_key(request.access_target, policy):
        parts.append(say("acting for someone the policy doesn't name"))
    return join_sentences(parts, ", ") if parts else None


def check_enough_approvers(
    access_target: AccessTarget, rule: TargetRule, policy: Policy, eligible: EligibleApprovers
) -> None:
    """Raise TooFewApprovers if a request needs more approvals than there are people who can approve it.

    Don't raise if Slack can't list a group, because there might be enough people in it.
    """
    required, own = required_approvals(access_target, policy), own_user_ids(access_target, policy)
    able = eligible.user_ids(excluding=frozenset() if rule.requester_may_approve else own)
    if not eligible.is_complete or len(able) >= required:
        return
    requester = slack_user_id(access_target.requester, policy) if access_target.requester else None
    excluded = [user_id for user_id in eligible.user_ids() if user_id not in able]
    besides = ["you" if user_id == requester else Mention(user_id) for user_id in excluded]
    only = say("only {who} can approve", who=join_with_conjunction([Mention(user_id) for user_id in able], "and"))
    advice = say("Someone who isn't an approver can request it.")
    if len(able) + len(excluded) < required:
        name, file = Name(access_target.model or ""), Code("registrar.yml")
        advice = say("Add approvers for {model} to {file}.", model=name, file=file)
        key = missing_person_key(access_target, policy)
        if key and extra_approval_reason(access_target, policy):
            advice = say(
                "In {file}, add approvers for {model}, or {or_name}.",
                model=name,
                or_name=_HOW_TO_NAME[key],
                file=file,
            )
    raise TooFewApprovers(
        say(
            "No request was opened: it needs {n}, but {besides}{only}. {advice}",
            n=pluralize(required, "approval"),
            besides=say("besides {who}, ", who=join_with_conjunction(besides, "and")) if besides else "",
            only=only if able else "no one can approve",
            advice=advice,
        )
    )


_HOW_TO_NAME = {
    "people": say("list whoever started this job under {key}", key=Code("people")),
    "acts_for": say("set {key} for the agent's client", key=Code("acts_for")),
}


def unmeetable_rules(policy: Policy, resolve_approvers: ResolveApprovers = EligibleApprovers.from_ids) -> list[str]:
    """Return the rules that can't be met, each with its path, its required approvals, and its number of approvers.

    `resolve_approvers` finds the people behind IDs. By default, each listed user ID counts as one person, and rules
    that list a user group are skipped.
    """
    return [
        _describe_shortfall(path, rule, most)
        for path, rule, most in _rules_with_max_approvals(policy, resolve_approvers)
        if most < rule.required
    ]


def rules_unmeetable_for_approvers(policy: Policy) -> list[str]:
    """Return the rules that can't be met if the requester is an approver, in the format of `unmeetable_rules`."""
    return [
        _describe_shortfall(path, rule, most)
        for path, rule, most in _rules_with_max_approvals(policy, EligibleApprovers.from_ids)
        if most == rule.required and not rule.requester_may_approve
    ]


def _rules_with_max_approvals(
    policy: Policy, resolve_approvers: ResolveApprovers
) -> Iterator[tuple[str, TargetRule, int]]:
    """For each rule with a known maximum number of approvals, yield its path, the rule, and that number."""
    for pattern, rules in policy.models.items():
        for target in TARGET_STAGES:
            rule = rules.rule(target)
            max_approvals = (
                resolve_approvers(sorted(policy.expand_roles(rule.approvers))).max_approvals() if rule else None
            )
            if rule and max_approvals is not None:
                yield f"models.{pattern}.{target.value.lower()}", rule, max_approvals


def _describe_shortfall(path: str, rule: TargetRule, max_approvals: int) -> str:
    return f"{path} (needs {pluralize(rule.required, 'approval')}, has {max_approvals})"


# -- who a request is waiting for --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PendingApprovers:
    """Who a pending request is waiting for, as user and user group IDs, groups first.

    If `missing_approvals` is 0, someone must override the failed gates. `why` is the reason if the request needs one
    more approval than its rule requires.
    """

    ids: Sequence[str]
    missing_approvals: int
    why: Sentence | None = None


def pending_approvers(request: Request, votes: Sequence[Vote], policy: Policy) -> PendingApprovers:
    """Return who a pending request is waiting for under the current policy.

    People whose votes have lapsed aren't included; they can vote again once their accounts allow it.
    """
    missing = request.required - len(counting_approvals(votes))
    if missing > 0:
        voted = {vote.voter.user for vote in votes}
        ids = approver_ids(request.access_target, policy)
        why = extra_approval_reason(request.access_target, policy)
        return PendingApprovers([approver_id for approver_id in ids if approver_id not in voted], missing, why)
    return PendingApprovers(overrider_ids(request.access_target, policy), 0)


def waiting_for_approvers(pending: PendingApprovers, names: Mapping[str, str] | None) -> Sentence:
    """Return the sentence that says who a request is waiting for.

    If `names` is None, people and groups are mentioned. Otherwise, `names` has their names by ID, and an ID without a
    name is shown as code; neither a name nor code notifies anyone.
    """
    waiting = _waiting_for(pending, names)
    return join_sentences([waiting, pending.why], " ") if pending.why else waiting


def _waiting_for(pending: PendingApprovers, names: Mapping[str, str] | None) -> Sentence:
    """Return who a request is waiting for."""
    approvers: list[object] = [
        Mention(approver)
        if names is None
        else truncate(names[approver], MAX_NAME_LENGTH)
        if names.get(approver)
        else Code(approver)
        for approver in pending.ids[:MAX_NOTIFIED]
    ]
    approvers += [f"{len(pending.ids) - MAX_NOTIFIED} more"] if len(pending.ids) > MAX_NOTIFIED else []
    if not pending.missing_approvals:
        return say(
            "Waiting for {who} to override the failed gates.", who=join_with_conjunction(approvers or ["someone"], "or")
        )
    # The number of people in a group isn't known.
    number_of_people = None if any(slack_id.startswith("S") for slack_id in pending.ids) else len(pending.ids)
    if number_of_people is not None and number_of_people < pending.missing_approvals:  # others have left since
        missing = (
            say("only {who} can still approve", who=join_with_conjunction(approvers, "and"))
            if approvers
            else say("no one can approve")
        )
        return say("Waiting for {n}, but {left}.", n=pluralize(pending.missing_approvals, "approval"), left=missing)
    if number_of_people == pending.missing_approvals:
        return say("Waiting for {who}.", who=join_with_conjunction(approvers, "and"))
    if pending.missing_approvals == 1:
        return say("Waiting for {who}.", who=join_with_conjunction(approvers, "or"))
    return say(
        "Waiting for {n} from {who}.",
        n=pluralize(pending.missing_approvals, "approval"),
        who=join_with_conjunction(approvers, "or"),
    )


def approval_invitation(request: Request, card: MessageLink) -> Sentence:
    """Return the direct message to an approver of a new request."""
    return say(
        "{who} requested {model} {path}. You can approve or reject it until {until}. {card}, or type {approve}",
        who=describe_requester(request),
        model=Name(request.model),
        path=describe_change(request),
        until=request.expires_at,
        card=card,
        approve=Code(f"/model approve {request.id}"),
    )
