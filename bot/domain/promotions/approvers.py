"""Who could approve a request, whom it waits for, and whether they can be enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import TooFewApprovers
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Mention, Name, either, say
from bot.domain.policy.authorization import deciders, is_full_member
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.promotions.request import Request, Vote, approvals
from bot.domain.registry.model import TARGETS

TOLD_MOST = 20  # people whom one card names, or who get a direct message each; of more, the rest is counted


@dataclass(frozen=True, slots=True)
class Electorate:
    """The people behind approvers' user and user group ids, by user id, as far as Slack says.

    `is_whole` is False where Slack can't say who is in one of the groups.
    """

    people: Mapping[str, Profile] = field(default_factory=dict)
    is_whole: bool = True

    @classmethod
    def listed(cls, ids: Iterable[str]) -> Electorate:
        """Return the people among the ids, where nobody asks Slack."""
        named = list(ids)
        people = {one: Profile(person=Person("", one)) for one in named if not one.startswith("S")}
        return cls(people, is_whole=len(people) == len(named))

    def able(self, but: str | None = None) -> list[str]:
        """Return the user ids of those whose accounts can decide, sorted, without that of `but`."""
        return sorted(user for user, one in self.people.items() if is_full_member(one) and user != but)

    def most(self, but: str | None = None) -> int | None:
        """Return how many people could approve at most; None where nobody knows who is in a group."""
        return len(self.able(but)) if self.is_whole else None


Behind = Callable[[Sequence[str]], Electorate]  # from user and user group ids


# -- whether they can be enough ----------------------------------------------------------------------------------------


def check_can_be_met(model: str, rule: TargetRule, requester: str | None, electorate: Electorate) -> None:
    """Raise TooFewApprovers where a request needs more approvals than there are people who could give one.

    `requester` is the user id of who asks, None for a program. Where Slack can't say who is in a group, there might
    be enough.
    """
    own = None if rule.requester_may_approve else requester
    able, most = electorate.able(own), electorate.most(own)
    if most is None or most >= rule.required:
        return
    is_own = own in electorate.able()
    only = say("only {who} can approve", who=either([Mention(one) for one in able], "and"))
    advice = say("Ask someone who isn't an approver to request it.")
    if most + is_own < rule.required:
        advice = say("Add approvers for {model} to {file}.", model=Name(model), file=Code("registrar.yml"))
    raise TooFewApprovers(
        say(
            "No request was opened: it needs {n}, and {besides}{only}. {advice}",
            n=counted(rule.required, "approval"),
            besides="besides you " if is_own else "",
            only=only if able else "nobody can approve",
            advice=advice,
        )
    )


def unmeetable_rules(policy: Policy, behind: Behind = Electorate.listed) -> list[str]:
    """Return the stages' rules that nobody can meet, each as its path with what it needs and how many can approve.

    `behind` says who is behind user and user group ids. Without it, people count as they're listed.
    """
    return [_needs(path, rule, most) for path, rule, most in _counted(policy, behind) if most < rule.required]


def rules_for_others(policy: Policy) -> list[str]:
    """Return the stages' rules, as `unmeetable_rules` does, that can't be met where an approver made the request."""
    return [
        _needs(path, rule, most)
        for path, rule, most in _counted(policy, Electorate.listed)
        if most == rule.required and not rule.requester_may_approve
    ]


def _counted(policy: Policy, behind: Behind) -> Iterator[tuple[str, TargetRule, int]]:
    """Yield the rules of which it's known how many people can approve, each with its path and that number."""
    for pattern, rules in policy.models.items():
        for target in TARGETS:
            rule = rules.rule(target)
            most = behind(sorted(policy.ids(rule.approvers))).most() if rule else None
            if rule and most is not None:
                yield f"models.{pattern}.{target.value.lower()}", rule, most


def _needs(path: str, rule: TargetRule, most: int) -> str:
    return f"{path} (needs {counted(rule.required, 'approval')}, has {most})"


# -- whom a request waits for ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Awaited:
    """Whom a pending request waits for, as user and group ids, groups first.

    `approvals` is how many are missing; with 0, it waits for someone to override its failed gates.
    """

    ids: Sequence[str]
    approvals: int

    @property
    def are_all_needed(self) -> bool:
        """Tell whether every one of them has to approve."""
        return not self._has_groups and len(self.ids) == self.approvals

    @property
    def is_too_few(self) -> bool:
        """Tell whether they can't be enough, since others left after the request was opened."""
        return not self._has_groups and len(self.ids) < self.approvals

    @property
    def _has_groups(self) -> bool:
        return any(one.startswith("S") for one in self.ids)


def awaited(request: Request, votes: Sequence[Vote], policy: Policy) -> Awaited:
    """Return whom a pending request waits for under the policy that holds now.

    People whose vote lapsed aren't waited for. Once their account allows it, they can vote again, and count.
    """
    missing = request.required - len(approvals(votes))
    if missing > 0:
        voted = {vote.voter.user for vote in votes}
        named = deciders(request.model, request.target, request.requester, policy)
        return Awaited([one for one in named if one not in voted], missing)
    rule = policy.rules_for(request.model).rule(request.target)
    return Awaited(sorted(policy.ids(rule.override)) if rule else [], 0)
