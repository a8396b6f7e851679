"""The terminal's output for programs: one JSON document, or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from bot.domain.audit.export import event_document
from handlers.terminal.output import console

if TYPE_CHECKING:  # pandas takes a second to load
    from bot.domain.audit.audit_chain import AuditRecord
    from bot.domain.core.sentence import Sentence
    from bot.domain.promotions.request import RequestSnapshot
    from bot.domain.registry import comparison as compared
    from bot.domain.registry.model import VersionInfo

# What JSON itself doesn't escape: control characters after ASCII's, and those that change the direction of text.
_CONTROLS = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def to_json(document: Mapping[str, Any], indent: int | None = 2) -> str:
    """Return the document as text. Characters that control a terminal or can't be encoded are escaped."""
    is_unicode = console.output_encoding().lower().replace("-", "").startswith("utf")
    text = json.dumps(document, ensure_ascii=not is_unicode, allow_nan=indent is None, indent=indent)
    return _CONTROLS.sub(lambda char: f"\\u{ord(char[0]):04x}", text) + "\n"


def comparison_document(comparison: compared.Comparison, sentence: Sentence) -> dict[str, Any]:
    """Return the document for a comparison, with every version and metric in full precision."""
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
    """Return the document for a version's gate results."""
    return {
        "model": version.model,
        "version": version.version,
        "semver": version.semver,
        "to": target,
        "passed": not snapshot.failed_gates,
        "gates": [asdict(gate) for gate in snapshot.gates],
        "validation": {name: _json_value(value) for name, value in snapshot.validation.items()},
        "sentence": str(sentence),
    }


def events_csv(records: Iterable[AuditRecord]) -> str:
    """Return audit rows as CSV without a header. The columns are the keys of the JSON lines."""
    rows = [event_document(record) for record in records]
    return _to_csv(row | {"evidence": json.dumps(row["evidence"], ensure_ascii=False, sort_keys=True)} for row in rows)


def best_document(winner: compared.BestVersion, sentence: Sentence) -> dict[str, Any]:
    """Return the document for a metric's winner."""
    facts = asdict(winner)
    del facts["catalog"]
    return {name: _json_value(value) for name, value in facts.items()} | {
        "blocked": str(winner.blocked) if winner.blocked else None,
        "sentence": str(sentence),
    }


def best_csv(winner: compared.BestVersion, sentence: Sentence) -> str:
    """Return the winner as CSV, with a header and one row. The columns are the keys of the JSON document."""
    document = best_document(winner, sentence)
    return _to_csv([{key: key for key in document}, document])


def _to_csv(rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_escape_formula(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _version_document(comparison: compared.Comparison, row: int) -> dict[str, Any]:
    facts, version = comparison.frame.iloc[row], comparison.versions[row]
    created = facts["created_at"]
    return {
        "version": version,
        "semver": facts["semver"],
        "stage": facts["stage"],
        "run_id": facts["run_id"],
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}" if created == created else None,  # noqa: PLR0124 - NaT is not
        "metrics": {name: _json_value(value) for name, value in comparison.metrics_in_row(row).items()},
        "deltas": {name: _json_value(value) for name, value in comparison.differences_in_row(row).items()},
        "blocked": str(comparison.blocked[version]) if version in comparison.blocked else None,
    }


def _json_value(value: Any) -> Any:
    """Return a value for JSON: None for NaN and infinity, and an enum member's value."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return getattr(value, "value", value)


def _escape_formula(value: object) -> object:
    """Prefix text with an apostrophe if a spreadsheet would read it as a formula, like `comparison.to_csv`."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@\t\r\n＝＋－＠")) else value
