"""What the terminal's verbs print for programs: one JSON document, or CSV. Light: the help lists the keys from here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from bot.domain.audit.events import Head
from bot.domain.commands.queries import Best
from handlers.terminal.command_line.commands import (
    AuditExport,
)
from handlers.terminal.command_line.document_keys import KEYS

if TYPE_CHECKING:  # pandas takes a second, and the help needs none
    from bot.domain.core.sentence import Say
    from bot.domain.promotions.snapshot import Seen
    from bot.domain.registry import comparison as compared
    from bot.domain.registry.model import VersionInfo
    from bot.ledger.audit_chain import Fault, Record


def to_json(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """Return the document as text for an output of that encoding; what it cannot hold is escaped."""
    return json.dumps(document, ensure_ascii=not _can_hold_all(encoding), allow_nan=False, indent=2) + "\n"


def comparison(found: compared.Comparison, sentence: Say) -> dict[str, Any]:
    """Return the document of a comparison: every version and metric, numbers as exact as floats are."""
    return {
        "model": found.model,
        "incumbent": found.incumbent,
        "metrics": [
            {"name": name, "direction": found.directions[name].value, "best": found.best.get(name)}
            for name in found.metrics
        ],
        "versions": [_version(found, row) for row in range(len(found.frame))],
        "sentence": str(sentence),
    }


def validated(version: VersionInfo, target: str, seen: Seen, sentence: Say) -> dict[str, Any]:
    """Return the document of what the gates say of a version."""
    return {
        "model": version.model,
        "version": version.version,
        "semver": version.semver,
        "to": target,
        "passed": not seen.failed,
        "gates": [
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed, "note": gate.note}
            for gate in seen.gates
        ],
        "validation": _numbers(seen.validation),
        "sentence": str(sentence),
    }


def event(record: Record) -> dict[str, Any]:
    """Return an audit row as it is exported: its event, its place in the chain, and the text that was hashed.

    Of a text that is no event only what the row's columns say is there.
    """
    try:
        said = json.loads(record.body)
        said = said if isinstance(said, dict) else {}
    except ValueError:
        said = {}
    row = {"at": record.at, "actor": record.actor, "tag": record.tag, "model": record.model} | said
    own = {"number": record.number, "previous": record.previous, "hash": record.hash, "body": record.body}
    return {key: own[key] if key in own else row.get(key) for key in KEYS[AuditExport]}


def event_line(record: Record, encoding: str = "utf-8") -> str:
    """Return an audit row as a line of JSON."""
    return json.dumps(event(record), ensure_ascii=not _can_hold_all(encoding)) + "\n"


def events_csv(records: Iterable[Record]) -> str:
    """Return audit rows as lines of CSV without a heading: the columns are the keys of a line of JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(KEYS[AuditExport]), lineterminator="\n")
    for record in records:
        row = event(record)
        row["evidence"] = json.dumps(row["evidence"], ensure_ascii=False, sort_keys=True)
        writer.writerow({key: _harmless(value) for key, value in row.items()})
    return text.getvalue()


def verified(
    fault: Fault | None, head: Head, anchors: int | None, unreviewed: list[str], sentence: Say, advice: Say | None
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


def best(winner: compared.Best, sentence: Say) -> dict[str, Any]:
    """Return the document of a metric's winner."""
    blocked = str(winner.blocked) if winner.blocked else None
    return {name: _plain(value) for name, value in asdict(winner).items()} | {
        "blocked": blocked,
        "sentence": str(sentence),
    }


def best_csv(winner: compared.Best, sentence: Say) -> str:
    """Return the winner as CSV, a heading and one row: the columns are the keys of the JSON document."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(KEYS[Best]), lineterminator="\n")
    writer.writeheader()
    writer.writerow({name: _harmless(value) for name, value in best(winner, sentence).items()})
    return text.getvalue()


def _version(found: compared.Comparison, row: int) -> dict[str, Any]:
    facts = found.frame.iloc[row]
    created = facts["created_at"]
    return {
        "version": found.versions[row],
        "semver": facts["semver"],
        "stage": facts["stage"],
        "run_id": facts["run_id"],
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}" if created == created else None,  # noqa: PLR0124 - NaT is not
        "metrics": _numbers(found.row(row)),
        "deltas": _numbers(found.gaps(row)),
        "blocked": str(found.blocked[found.versions[row]]) if found.versions[row] in found.blocked else None,
    }


def _can_hold_all(encoding: str) -> bool:
    return encoding.lower().replace("-", "").startswith("utf")


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, no infinity, an enumeration's word."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return getattr(value, "value", value)


def _harmless(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would read as a formula, as `comparison.to_csv` does."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


_FORMULA = {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}
