"""What the audit log says about one request for Production, from opening to execution. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.domain.audit.events import canonical_time
from bot.domain.core.actors import Operator, parse_actor
from bot.domain.core.agent import unpack_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.durations import parse_duration
from bot.domain.evidence.controls import ExceptionKind
from bot.domain.policy.authorship import Authorship, own_user_ids
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.registry.model import Stage
from bot.domain.registry.signature_changes import CallerImpact, unpack_caller_impact

Fields = Mapping[str, Any]  # an audit event's body, with its number
NO_POLICY = Policy(models={})


@dataclass(slots=True)
class RequestTrail:
    """One request: its opening, the votes that count, and the numbers of its audit events."""

    opened: Fields
    id: str
    facts: Mapping[str, Any]  # the evidence of its opening
    rule: Mapping[str, Any]  # the one that applied when it was opened, without defaults
    votes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the voter's Slack ID
    override: dict[str, Any] | None = None
    broke_glass_at: str | None = None
    approved_at: str | None = None
    review: dict[str, Any] | None = None
    events: list[int] = field(default_factory=list)

    @property
    def transition(self) -> str:
        """The ID of its transition."""
        return f"{'break_glass' if self.broke_glass_at else 'promotion'}:{self.id}"

    @property
    def required(self) -> int:
        """How many people had to approve: the highest number recorded with the rule or any vote."""
        recorded = [vote["required"] for vote in self.votes.values() if vote["required"]]
        return int(max([self.rule.get("required", 1), *recorded]))

    @property
    def approvals(self) -> list[dict[str, Any]]:
        """The votes that count as approvals."""
        return [vote for vote in self.votes.values() if vote["choice"] == "approve"]

    @property
    def approvers(self) -> list[str]:
        """The Slack IDs of the people whose votes count as approvals."""
        return [user for user, vote in self.votes.items() if vote["choice"] == "approve"]

    def own_ids(self, policy: Policy | None) -> frozenset[str]:
        """Return the Slack IDs of everyone behind the request, according to a policy. See `authorship`."""
        ci, agent = self.facts.get("ci"), self.facts.get("agent")
        made_by = Authorship(
            requester=parse_actor(self.facts["requester"]),
            ci=CiRun(**ci) if ci else None,
            agent=unpack_agent(agent) if agent else None,
        )
        return own_user_ids(made_by, policy or NO_POLICY)

    def check(self) -> None:
        """Raise ValueError, KeyError, TypeError, or AttributeError if its opening was altered beyond recognition."""
        self.expires_at()
        self._after(self.opened["at"], "review_within")
        self.own_ids(None)
        self.document()

    def add_vote(self, event: Fields, policy: Policy | None) -> None:
        """Add a vote that was cast while `policy` was in effect."""
        by, user = event["evidence"].get("by") or {}, user_of(event, policy)
        rule = policy.rules_for(self.opened["model"]).rule(Stage.PRODUCTION) if policy else None
        named = policy.expand_roles(rule.approvers) if policy and rule else frozenset()
        self.votes[user] = {
            "voter": event["actor"],
            "choice": event["evidence"].get("choice"),
            "at": event["at"],
            "event": event["number"],
            "reason": event["why"],
            "name": by.get("name"),
            "roles": by.get("roles"),
            "is_requester": user in self.own_ids(policy),
            "is_named": bool(named & {user, *by.get("groups", ())}) if rule and by else None,
            "is_allowed_to_approve_own": bool(rule and rule.requester_may_approve),
            "required": event["evidence"].get("required"),
        }

    def approval_faults(self) -> Iterator[tuple[ExceptionKind, dict[str, Any]]]:
        """Yield the faults in an executed request's approvals, and any override of its gates."""
        if self.override:
            yield ExceptionKind.GATES_OVERRIDDEN, self.override
        if self.broke_glass_at:
            return
        for vote in self.approvals:
            who = {"voter": vote["voter"], "vote_event": vote["event"]}
            if vote["is_requester"]:
                yield ExceptionKind.SELF_APPROVAL, who | {"allowed_by_policy": vote["is_allowed_to_approve_own"]}
            elif vote["is_named"] is False:
                yield ExceptionKind.APPROVER_NOT_NAMED, who
        if len(self.approvals) < self.required:
            yield ExceptionKind.TOO_FEW_APPROVALS, {"approvals": len(self.approvals), "required": self.required}

    def expires_at(self) -> str:
        """Return the time by which the request had to be executed."""
        return self._after(self.opened["at"], "expires_after")

    def review_due(self) -> str:
        """Return when the review of its break-glass promotion is due."""
        return self._after(str(self.broke_glass_at), "review_within")

    def _after(self, start: str, key: str) -> str:
        given = self.rule.get(key)
        duration: timedelta = parse_duration(given) if given else TargetRule.model_fields[key].default
        return canonical_time(datetime.fromisoformat(start) + duration)

    def changes_for_callers(self) -> list[str]:
        """Return the recorded differences between the version's signature and the previous version's."""
        packed = (self.facts.get("seen") or {}).get("callers")
        impact = unpack_caller_impact(packed) if packed else CallerImpact()
        return [*(str(change.sentence) for change in impact.changes), *filter(None, [str(impact.not_compared or "")])]

    def document(self) -> dict[str, Any]:
        """Return the request as a document for a report's sample."""
        seen = self.facts.get("seen") or {}
        return {
            "id": self.id,
            "opened_at": self.opened["at"],
            "requested_by": self.facts["requester"],
            "reason": self.facts.get("reason", ""),
            "policy": self.facts.get("policy", ""),
            "ci": self.facts.get("ci"),
            "agent": self.facts.get("agent"),
            "required": self.required,
            "gates": seen.get("gates"),
            "metrics": seen.get("metrics"),
            "changes_for_callers": self.changes_for_callers() if seen else None,
            "votes": [{key: value for key, value in vote.items() if key != "required"} for vote in self.votes.values()],
            "override": self.override,
            "review": self.review,
            "events": self.events,
        }


def user_of(event: Fields, policy: Policy | None) -> str:
    """Return the Slack ID of whoever caused an event; if they have none, return the actor's ID in the ledger."""
    actor = parse_actor(event["actor"])
    known = (event["evidence"].get("by") or {}).get("slack")
    if isinstance(actor, Operator):
        return str(known or (policy or NO_POLICY).operators.get(actor.name) or event["actor"])
    return str(getattr(actor, "user", event["actor"]))
