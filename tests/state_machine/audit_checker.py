"""Check the order of audit events: a decision meets its rule, happens once, and comes before its transition."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import actor_id
from bot.domain.registry.model import Stage

ENDS_UNDECIDED = {EventTag.REJECTED, EventTag.CANCELLED}
OF_A_MOVE = {EventTag.TRANSITION_DONE, EventTag.FAILED}


@dataclass
class RequestRecord:
    """What the audit log says about one request."""

    model: str
    opened: dict[str, Any]
    votes: dict[str, str] = field(default_factory=dict)
    lapsed: set[str] = field(default_factory=set)
    overridden: bool = False
    decided: EventTag | None = None
    ended: EventTag | None = None


class AuditChecker:
    """Reads audit events in order, and fails on one that can't follow the events before it."""

    def __init__(self) -> None:
        self.files: dict[str, RequestRecord] = {}
        self.freezes: dict[str, tuple[str | None, datetime | None]] = {}

    def hear(self, event: Event) -> None:
        """Read the next event. Raise AssertionError if it can't follow the events before it."""
        evidence, who = event.evidence, actor_id(event.actor)
        if event.tag is EventTag.REQUEST_OPENED:
            assert event.subject not in self.files
            assert event.model
            self.files[event.subject] = RequestRecord(event.model, dict(evidence))
        elif event.tag is EventTag.FROZEN:
            until = evidence["until"]
            self.freezes[event.subject] = event.model, datetime.fromisoformat(until) if until else None
        elif event.tag is EventTag.UNFROZEN:
            del self.freezes[event.subject]
        elif event.subject in self.files and event.tag is not EventTag.REQUEST_COMMAND_REFUSED:
            self._hear_of_request(self.files[event.subject], event, who)

    def _hear_of_request(self, file: RequestRecord, event: Event, who: str) -> None:
        assert file.ended is None, f"{event.tag} after {file.ended}"
        if event.tag is EventTag.VOTED:
            assert who not in file.votes or who in file.lapsed, "voted twice"
            file.lapsed.discard(who)
            file.votes[who] = event.evidence["choice"]
        elif event.tag is EventTag.VOTE_WITHDRAWN:
            del file.votes[who]
            file.lapsed.discard(who)
        elif event.tag is EventTag.GATES_OVERRIDDEN:
            assert event.why
            assert who != file.opened["requester"], "one's own gate"
            file.overridden = True
        elif event.tag is EventTag.APPROVED:
            self._approved(file, event.at)
        elif event.tag is EventTag.VOTE_LAPSED:
            [voter] = [one for one in file.votes if one.endswith(f"/{event.evidence['voter']}")]
            assert voter not in file.lapsed, "lapsed twice"
            file.lapsed.add(voter)
        elif event.tag is EventTag.EXPIRED:
            file.ended = event.tag
        elif event.tag in ENDS_UNDECIDED:
            assert file.decided is None, "decided twice"
            assert event.tag is not EventTag.REJECTED or "reject" in file.votes.values()
            file.ended = event.tag
        elif event.tag in OF_A_MOVE:
            assert file.decided is EventTag.APPROVED, "moved without a decision"
            file.ended = event.tag
        elif event.tag is EventTag.STALE:
            file.ended = event.tag
        else:
            assert event.tag is EventTag.REMINDED
            assert file.decided is None

    def _approved(self, file: RequestRecord, at: datetime) -> None:
        assert file.decided is None, "decided twice"
        rule, yes = (
            file.opened["rule"],
            {who for who, choice in file.votes.items() if choice == "approve"} - file.lapsed,
        )
        assert len(yes) >= rule.get("required", 1), "too few said yes"
        assert "reject" not in file.votes.values()
        assert rule.get("requester_may_approve") or file.opened["requester"] not in yes, "one's own request"
        assert file.overridden or all(gate["passed"] for gate in file.opened["seen"]["gates"]), "a gate failed"
        if file.opened["target"] == Stage.PRODUCTION.value:
            assert not self.is_frozen(file.model, at), "Production is frozen"
        file.decided = EventTag.APPROVED

    def is_frozen(self, model: str, at: datetime) -> bool:
        """Return whether the model's Production was frozen at that time."""
        holding = [until for frozen, until in self.freezes.values() if frozen in {None, model}]
        return any(until is None or at < until for until in holding)
