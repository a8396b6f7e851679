"""Read a report's evidence from the ledger, in one consistent view and in constant memory for each event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.audit_chain import AuditRecord, stream_records
from bot.domain.audit.events import ChainHead, canonical_time
from bot.domain.core.actors import actor_id, parse_actor
from bot.domain.core.errors import UnknownRequest
from bot.domain.evidence.chain_faults import ChainCheck, LogFault
from bot.domain.evidence.controls import Control, ExceptionKind
from bot.domain.evidence.population import LATEST, EvidenceQuestion, Population
from bot.domain.evidence.report import report_document
from bot.domain.evidence.request_trail import NO_POLICY
from bot.domain.evidence.sections import oversight, record_keeping
from bot.domain.policy.policy import Policy
from bot.domain.promotions.votes import counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, RegistrySnapshot
from bot.domain.transitions.transition import Transition, TransitionKind, transition_time
from bot.ports import LedgerReader

MAX_INCIDENTS = 100_000


class EvidenceCollector:
    """Collects the evidence for one report. `anchors` is None if there's no anchor file to compare with."""

    def __init__(
        self,
        reader: LedgerReader,
        question: EvidenceQuestion,
        parse_policy: Callable[[str], Policy],
        anchors: Sequence[AnchoredHead] | None,
    ) -> None:
        self._reader = reader
        self._anchors = anchors
        self._snapshots = reader.registry_snapshots()
        first_poll = self._snapshots.pop(REGISTRY_SEEN_KEY, None)
        self._first_at: str | None = None
        self._newest_at = question.since  # of all events, also after the period
        self._head: dict[str, Any] = {"number": 0, "hash": None, "at": None}
        self._question = question
        self._population = Population(question, parse_policy, canonical_time(first_poll.at) if first_poll else None)

    def report(self, control: Control) -> dict[str, Any]:
        """Return the report's document. Raises LedgerUnavailable."""
        self._read_events()
        # What should happen after the last event can't be missing yet.
        self._population.question = replace(self._question, until=min(self._question.until, self._newest_at))
        self._population.finish()
        self._compare_transitions()
        return report_document(control, self._population, self._head, self._completeness(), self._details(control))

    def _read_events(self) -> None:
        check, head = ChainCheck(self._anchors or ()), self._reader.audit_head()
        for record in stream_records(lambda after: self._reader.audit_records(after_number=after)):
            self._report_faults(check.faults(record))
            if (event := _event(record)) is None:
                self._population.unreadable.append(record.number)
                continue
            self._population.add(event)
            self._first_at = self._first_at or event["at"]
            self._newest_at = max(self._newest_at, event["at"])
            if event["at"] <= self._question.until:
                self._head = {"number": record.number, "hash": record.hash, "at": event["at"]}
        self._report_faults(check.faults_at_end(ChainHead(head.number, head.hash)))

    def _report_faults(self, faults: Iterable[LogFault]) -> None:
        """Add the chain's faults, even those outside the period, because they can hide what happened in it."""
        for fault in faults:
            facts = {"what": fault.what, "last": fault.last}
            self._population.add_exception(fault.kind, None, None, None, fault.number, facts)

    # -- the ledger's rows ---------------------------------------------------------------------------------------------

    def _compare_transitions(self) -> None:
        """Compare the ledger's changes to Production with those in the audit log, both ways."""
        population, missing = self._population, dict(self._population.changes)
        for row in self._reader.production_transitions():
            change = missing.pop(row.id, None)
            if change is not None:
                self._compare(row, change)
            elif row.id not in population.recorded and self._is_unexplained(row):
                at, facts = canonical_time(transition_time(row)), {"version": row.version, "cause": row.kind.value}
                population.add_exception(ExceptionKind.TRANSITION_WITHOUT_EVENT, at, row.model, row.id, None, facts)
        for change in missing.values():
            where = change["at"], change["model"], change["id"], change["event"]
            population.add_exception(ExceptionKind.EVENT_WITHOUT_TRANSITION, *where, {})

    def _is_unexplained(self, row: Transition) -> bool:
        """Return whether a row should have an audit event: it's in the period, and it wasn't imported.

        The period is the requested one, because a row that's newer than the last event means that events were deleted.
        """
        is_imported = row.kind is TransitionKind.IMPORTED and row.model in self._population.imported_models
        at = canonical_time(transition_time(row))
        return not is_imported and self._question.covers(at, row.model)

    def _compare(self, row: Transition, change: Mapping[str, Any]) -> None:
        stored = {
            "model": row.model,
            "version": row.version if row.target is Stage.PRODUCTION else None,
            "before": row.expected_incumbent,
            "cause": row.kind.value,
            "executed_by": actor_id(row.actor),
            "request": row.request,
            **(self._stored_request(row.request) if row.request else {}),
        }
        logged = {**change, "approved_by": sorted(self._population.approvers.get(row.id, ()))}
        differing = sorted(key for key, value in stored.items() if value != logged[key])
        if differing:
            facts = {key: {"ledger": stored[key], "audit_log": logged[key]} for key in differing}
            where = change["at"], row.model, row.id, change["event"]
            self._population.add_exception(ExceptionKind.TRANSITION_DIFFERS, *where, facts)

    def _stored_request(self, request_id: str) -> dict[str, Any]:
        """Return a request's requester and approvers as stored in the ledger; no requester if its row was deleted."""
        with suppress(UnknownRequest):
            request, votes = self._reader.request(request_id), self._reader.votes(request_id)
            approvers = sorted(vote.voter.user for vote in counting_approvals(votes))
            return {"requested_by": actor_id(request.requester), "approved_by": approvers}
        return {"requested_by": None}

    # -- what was seen -------------------------------------------------------------------------------------------------

    def _completeness(self) -> dict[str, Any]:
        population, anchors = self._population, self._anchors
        models = {change["model"] for change in population.changes.values()}
        registry = [*self._registry(sorted(models | set(self._snapshots)))]
        number, policy = self._head["number"], population.policy or NO_POLICY
        return {
            "first_event_at": self._first_at,
            "last_event_at": self._head["at"],
            "asked_until": None if self._question.until == LATEST else self._question.until,
            "events_verified": number,
            "anchors_compared": None if anchors is None else sum(anchor.number <= number for anchor in anchors),
            "unreadable_events": population.unreadable,
            "registry": registry,
            "never_read": sorted(models - set(self._snapshots)),
            "without_probe": sorted(model for model in models if policy.probe_for(model) is None),
            "without_passport": population.without_passport(),
            "imported": sorted(
                model for model in population.imported_models if model and self._question.model in {None, model}
            ),
        }

    def _registry(self, models: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield what each model's last registry snapshot says, unless it was taken after the period."""
        for model in models:
            snapshot = self._snapshots.get(model)
            at = canonical_time(snapshot.at) if snapshot else ""
            if snapshot and at <= self._question.until and self._question.model in {None, model}:
                yield {
                    "model": model,
                    "read_at": at,
                    "production": snapshot.holders(Stage.PRODUCTION),
                    "agrees": self._agrees(model, snapshot, at),
                }

    def _agrees(self, model: str, snapshot: RegistrySnapshot, at: str) -> bool | None:
        """Return whether the audit log explains a snapshot's Production versions; None if a change might be newer."""
        population, holders = self._population, snapshot.holders(Stage.PRODUCTION)
        if at <= population.last_change_at.get(model, ""):
            return None
        holder = population.holders.get(model)
        agrees = holder in holders if holders else holder is None
        if not agrees and model in population.holders:
            facts = {"registry": holders, "audit_log": holder}
            population.add_exception(ExceptionKind.REGISTRY_DIFFERS, at, model, model, None, facts)
        return agrees

    def _details(self, control: Control) -> dict[str, Any] | None:
        incidents = [
            incident
            for incident in reversed(self._reader.incidents(model=self._question.model, limit=MAX_INCIDENTS))
            if self._question.covers(canonical_time(incident.opened_at), incident.model)
        ]
        if control is Control.EU_AI_ACT_RECORDS:
            return record_keeping(self._population, incidents, self._first_at, self._head["at"])
        if control is Control.EU_AI_ACT_OVERSIGHT:
            return oversight(self._population, incidents)
        return None


def _event(record: AuditRecord) -> dict[str, Any] | None:
    """Return a record's event with its number, or None if the record's text isn't an event."""
    try:
        fields = json.loads(record.body)
        parse_actor(fields["actor"])
        texts, optional = [fields[key] for key in _TEXTS], [fields[key] for key in _OPTIONAL_TEXTS]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_event = all(isinstance(text, str) for text in texts + [text for text in optional if text is not None])
    return fields | {"number": record.number} if is_event and isinstance(fields.get("evidence"), dict) else None


_TEXTS = ("at", "actor", "tag", "subject", "why")
_OPTIONAL_TEXTS = ("model", "before", "after")
