"""The report sections that only one control has: record-keeping and human oversight. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.core.actors import actor_id
from bot.domain.evidence.population import INTERVENTIONS, EvidenceQuestion, Population
from bot.domain.monitoring.incident import Incident
from bot.domain.policy.policy import Policy

MIN_RETENTION = timedelta(days=183)  # six months
VERDICTS = (EventTag.MONITOR_FAILED, EventTag.MONITOR_NO_VERDICT, EventTag.MONITOR_RECOVERED)


def record_keeping(
    population: Population, incidents: Iterable[Incident], first_at: str | None, last_at: str | None
) -> dict[str, Any]:
    """Return the evidence for Article 12. `first_at` and `last_at` are the times of the first and last audit events."""
    reach = datetime.fromisoformat(last_at) - datetime.fromisoformat(first_at) if first_at and last_at else timedelta()
    return {
        "retention": {
            "oldest_event_at": first_at,
            "newest_event_at": last_at,
            "days": reach.days,
            "reaches_six_months": reach >= MIN_RETENTION,
            "setting": "Registrar has no setting that deletes audit events, and the database refuses to.",
        },
        "events": dict(sorted(population.counts.items())),
        "verdicts": {tag.value: population.counts[tag.value] for tag in VERDICTS},
        "modifications": [  # possible substantial ones
            {"id": change, "signature": population.for_callers.get(change, "not recorded"), "dataset": "not recorded"}
            for change in population.changes
        ],
        "incidents": [_incident_document(incident, population.question) for incident in incidents],
    }


def oversight(population: Population, incidents: Sequence[Incident]) -> dict[str, Any]:
    """Return the evidence for Article 14."""
    documents = [_incident_document(incident, population.question) for incident in incidents]
    return {
        "policies": [*_policies(population)],
        "interventions": [
            {
                "at": event["at"],
                "did": f"{INTERVENTIONS[event['tag']]} {event['evidence'].get('choice') or ''}".strip(),
                "by": event["actor"],
                "model": event["model"],
                "subject": event["subject"],
                "reason": event["why"],
                "event": event["number"],
            }
            for event in population.interventions
        ],
        "incidents": documents,
        "median_seconds_to_acknowledgment": _median(documents, "seconds_to_acknowledgment"),
        "median_seconds_to_end": _median(documents, "seconds_to_end"),
        "drills": "not recorded",
    }


def _policies(population: Population) -> Iterable[dict[str, Any]]:
    """Yield each policy that was in effect during the period, with the people it names."""
    question, loaded = population.question, population.policies
    ends = [*(event["at"] for event, _ in loaded[1:]), None]
    for (event, policy), end in zip(loaded, ends, strict=False):
        if end is None or end >= question.since:
            yield {
                "revision": event["after"],
                "from": event["at"],
                "to": end,
                "event": event["number"],
                "names": event["evidence"].get("names") or {},
                "admins": sorted(policy.expand_roles([Policy.ADMIN_ROLE])) if policy else None,
                "models": [*_people_by_pattern(policy, question)] if policy else None,
            }


def _people_by_pattern(policy: Policy, question: EvidenceQuestion) -> Iterable[dict[str, Any]]:
    for pattern, rules in sorted(policy.models.items()):
        if question.model is None or policy.pattern_for(question.model) == pattern:
            rule = rules.production
            yield {
                "pattern": pattern,
                "approve": sorted(policy.expand_roles(rule.approvers)) if rule else [],
                "required": rule.required if rule else None,
                "override": sorted(policy.expand_roles(rule.override)) if rule else [],
                "roll_back_and_freeze": sorted(policy.expand_roles([*rules.rollback_names, Policy.ADMIN_ROLE])),
            }


def _incident_document(incident: Incident, question: EvidenceQuestion) -> dict[str, Any]:
    """Return an incident as it was known at the end of the period."""
    acknowledged, ended = (
        at if at and canonical_time(at) <= question.until else None
        for at in (incident.acknowledged_at, incident.resolved_at)
    )
    return {
        "id": incident.id,
        "kind": incident.kind.value,
        "model": incident.model or None,
        "version": incident.version,
        "opened_at": canonical_time(incident.opened_at),
        "acknowledged_at": canonical_time(acknowledged) if acknowledged else None,
        "acknowledged_by": actor_id(incident.acknowledged_by) if acknowledged and incident.acknowledged_by else None,
        "seconds_to_acknowledgment": int((acknowledged - incident.opened_at).total_seconds()) if acknowledged else None,
        "ended_at": canonical_time(ended) if ended else None,
        "ending": incident.ending.value if ended and incident.ending else None,
        "seconds_to_end": int((ended - incident.opened_at).total_seconds()) if ended else None,
    }


def _median(documents: Sequence[Mapping[str, Any]], key: str) -> int | None:
    """Return the median of a key's values (the lower of two middle values), or None if no document has one."""
    values = sorted(one[key] for one in documents if one[key] is not None)
    return values[(len(values) - 1) // 2] if values else None
