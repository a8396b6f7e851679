"""Audit events as documents, for exports and for the audit stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bot.domain.audit.audit_chain import AuditRecord

EVENT_KEYS = {
    "number": "the event's place in the chain",
    "at": "when (ISO 8601, UTC)",
    "actor": "who: slack:TEAM/USER, client:NAME, operator:NAME, or automation:NAME",
    "tag": "what happened, as source:subject:action",
    "subject": "what it happened to",
    "model": "the model, or null",
    "before": "the value before, or null",
    "after": "the value after, or null",
    "why": "the reason",
    "origin": "where it came from: slack, terminal, api, or job",
    "evidence": "the evidence for the decision, an object",
    "previous": "the hash of the event before it",
    "hash": "the event's hash: SHA-256 of previous, a newline, and body",
    "body": "the event exactly as it was hashed",
}


def event_document(record: AuditRecord) -> dict[str, Any]:
    """Return an audit row for export: its event, its place in the chain, and the text that was hashed.

    If the text isn't a valid event, return only the row's columns.
    """
    try:
        body = json.loads(record.body)
        body = body if isinstance(body, dict) else {}
    except ValueError:
        body = {}
    row = {"at": record.at, "actor": record.actor, "tag": record.tag, "model": record.model} | body
    fields = {"number": record.number, "previous": record.previous, "hash": record.hash, "body": record.body}
    return {key: fields[key] if key in fields else row.get(key) for key in EVENT_KEYS}


def to_json_lines(records: Iterable[AuditRecord]) -> str:
    """Return audit rows as lines of JSON, as `registrar audit export` writes them in UTF-8."""
    return "".join(json.dumps(event_document(record), ensure_ascii=False) + "\n" for record in records)
