"""Incidents about a version in Production whose files differ from the recorded ones. They never cause a rollback."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.integrity.digest import VersionDigest
from bot.domain.monitoring import file_incident_messages as words
from bot.domain.monitoring.incident import (
    Incident,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
)
from bot.domain.promotions.votes import counting_approvals
from bot.domain.transitions.transition import Transition
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.integrity.digests import request_comparison, request_digest
from bot.services.monitoring.checks import present_period
from bot.services.monitoring.incident_writer import IncidentWriter


def compare_after_entry(context: Context, tx: LedgerTransaction, transition: Transition) -> None:
    """For the version that just entered Production, schedule a comparison of its files with the recorded manifest.

    It runs in the background. If the files are known to have changed, as after a break-glass promotion, open the
    incident now.
    """
    identity = transition.identity
    if identity is None or context.policy.rules_for(transition.model).integrity(transition.target) == "off":
        return
    now = context.clock.now()
    digest = request_digest(tx, transition.model, transition.version, identity, now=now)
    request_comparison(tx, digest, since=now)
    if digest.changed:
        report_comparison(context, tx, digest)


def report_comparison(context: Context, tx: LedgerTransaction, digest: VersionDigest) -> None:
    """Open, update, or resolve the incident about a version's files after a comparison with a new result.

    Only a version in Production can have such an incident.
    """
    tx.lock("incidents")
    writer, now = IncidentWriter(context, tx), context.clock.now()
    period = present_period(tx, digest.model)
    identity = period.started_by.identity if period else None
    if period is None or period.version != digest.version or (identity and not identity.is_same(digest.identity)):
        return
    open_ones = tx.incidents(model=digest.model, open_only=True)
    incident = next((one for one in open_ones if one.kind is IncidentKind.FILES), None)
    if incident is None and digest.changed:
        writer.add(_new_incident(context, tx, digest, period.started_by))
    elif incident is not None and digest.changed:
        lines = (words.files_line(digest.changed),)
        writer.save(replace(incident, lines=lines), f"files:{now.isoformat()}")
    elif incident is not None:
        sentence = words.files_match_again(incident.version, incident.since, now)
        writer.resolve(incident, IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence), now)


def _new_incident(context: Context, tx: LedgerTransaction, digest: VersionDigest, entry: Transition) -> Incident:
    now = context.clock.now()
    approvers = [vote.voter for vote in counting_approvals(tx.votes(entry.request))] if entry.request else []
    return Incident(
        id=context.new_id(),
        kind=IncidentKind.FILES,
        model=digest.model,
        source="",
        version=digest.version,
        move=entry.id,
        monitors=(),
        opened_at=now,
        since=now,
        lines=(words.files_line(digest.changed),),
        doing=IncidentStatus.NOTIFIED,
        why=words.who_approved(approvers or [entry.actor], digest.manifest.digest),
        told_at=now,
    )
