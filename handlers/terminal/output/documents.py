"""The terminal's output for programs: one JSON document, or CSV. Light: the help lists the keys from here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from bot.domain.audit.events import ChainHead
from bot.domain.commands.registry import FindBest
from handlers.terminal.command_line.commands import (
    AuditExport,
)
from handlers.terminal.command_line.document_keys import DOCUMENT_KEYS

if TYPE_CHECKING:  # pandas takes a second to load, and the help doesn't need it
    from bot.domain.core.sentence import Sentence
    from bot.domain.promotions.request import RequestSnapshot
    from bot.domain.registry import comparison as compared
    from bot.domain.registry.model import VersionInfo
    from bot.ledger.audit_chain import AuditRecord, ChainFault


def to_json(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """Return the document as text for an output with this encoding; characters that it doesn't have are escaped."""
    return json.dumps(document, ensure_ascii=not _is_unicode(encoding), allow_nan=False, indent=2) + "\n"


def comparison_document(comparison: compared.Comparison, sentence: Sentence) -> dict[str, Any]:
    """Return the document of a comparison: every version and metric, numbers as exact as floats are."""
    return {
        "model": comparison.model,
        "incumbent": comparison.incumbent,
        "metrics": [
            {"name": name, "direction": comparison.directions[name].value, "best": comparison.best.get(name)}
            for name in comparison.metrics
        ],
        "versions": [_version_document(comparison, row) for row in range(len(comparison.frame))],
        "sentence": str(sentence),
    }


def validation_document(
    version: VersionInfo, target: str, snapshot: RequestSnapshot, sentence: Sentence
) -> dict[str, Any]:
    """Return the document of a version's gate results."""
    return {
        "model": version.model,
        "version": version.version,
        "semver": version.semver,
        "to": target,
        "passed": not snapshot.failed_gates,
        "gates": [
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed, "note": gate.note}
            for gate in snapshot.gates
        ],
        "validation": _json_numbers(snapshot.validation),
        "sentence": str(sentence),
    }


def event_document(record: AuditRecord) -> dict[str, Any]:
    """Return an audit row as it's exported: its event, its place in the chain, and the text that was hashed.

    If the text isn't an event, only what the row's columns say is included.
    """
    try:
        body = json.loads(record.body)
        body = body if isinstance(body, dict) else {}
    except ValueError:
        body = {}
    row = {"at": record.at, "actor": record.actor, "tag": record.tag, "model": record.model} | body
    fields = {"number": record.number, "previous": record.previous, "hash": record.hash, "body": record.body}
    return {key: fields[key] if key in fields else row.get(key) for key in DOCUMENT_KEYS[AuditExport]}


def event_json_line(record: AuditRecord, encoding: str = "utf-8") -> str:
    """Return an audit row as a line of JSON."""
    return json.dumps(event_document(record), ensure_ascii=not _is_unicode(encoding)) + "\n"


def events_csv(records: Iterable[AuditRecord]) -> str:
    """Return audit rows as lines of CSV without a heading: the columns are the keys of a line of JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(DOCUMENT_KEYS[AuditExport]), lineterminator="\n")
    for record in records:
        row = event_document(record)
        row["evidence"] = json.dumps(row["evidence"], ensure_ascii=False, sort_keys=True)
        writer.writerow({key: _escape_formula(value) for key, value in row.items()})
    return text.getvalue()


def verification_document(
    fault: ChainFault | None,
    head: ChainHead,
    anchors: int | None,
    unreviewed: list[str],
    sentence: Sentence,
    advice: Sentence | None,
) -> dict[str, Any]:
    """Return the document of a verification."""
    return {
        "whole": fault is None,
        "events": head.number,
        "head": head.hash,
        "anchors": anchors,
        "unreviewed": unreviewed,
        "fault": fault and {"number": fault.number, "last": fault.last, "kind": fault.kind.value, "why": fault.why},
        "sentence": str(sentence),
        "advice": str(advice) if advice else None,
    }


def best_document(winner: compared.BestVersion, sentence: Sentence) -> dict[str, Any]:
    """Return the document of a metric's winner."""
    blocked = str(winner.blocked) if winner.blocked else None
    return {name: _json_value(value) for name, value in asdict(winner).items()} | {
        "blocked": blocked,
        "sentence": str(sentence),
    }


def best_csv(winner: compared.BestVersion, sentence: Sentence) -> str:
    """Return the winner as CSV, a heading and one row: the columns are the keys of the JSON document."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(DOCUMENT_KEYS[FindBest]), lineterminator="\n")
    writer.writeheader()
    writer.writerow({name: _escape_formula(value) for name, value in best_document(winner, sentence).items()})
    return text.getvalue()


def _version_document(comparison: compared.Comparison, row: int) -> dict[str, Any]:
    facts = comparison.frame.iloc[row]
    created = facts["created_at"]
    return {
        "version": comparison.versions[row],
        "semver": facts["semver"],
        "stage": facts["stage"],
        "run_id": facts["run_id"],
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}" if created == created else None,  # noqa: PLR0124 - NaT is not
        "metrics": _json_numbers(comparison.metrics_in_row(row)),
        "deltas": _json_numbers(comparison.differences_in_row(row)),
        "blocked": str(comparison.blocked[comparison.versions[row]])
        if comparison.versions[row] in comparison.blocked
        else None,
    }


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().replace("-", "").startswith("utf")


def _json_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _json_value(value) for name, value in values.items()}


def _json_value(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, no infinity, an enumeration's word."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return getattr(value, "value", value)


def _escape_formula(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would read as a formula, as `comparison.to_csv` does."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA_STARTS else value


_FORMULA_STARTS = {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}
