"""What the terminal's verbs print for programs: one JSON document, or CSV. Light: the help lists the keys from here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from bot.domain.commands import Best, Command, Compare, Register

if TYPE_CHECKING:  # pandas takes a second, and the help needs none
    from bot.domain import comparison as compared
    from bot.domain.events import Event
    from bot.domain.text import Say

# The keys of each verb's document, in their order. They are an interface: none is renamed or taken away.
KEYS: dict[type[Command], dict[str, str]] = {
    Register: {
        "model": "the model's name",
        "version": "the new version's number",
        "semver": "its semver",
        "run_id": "the run that it was made of",
        "against": "the number of the version that it was compared with for its semver; null: none",
        "overridden": "whether --bump said the semver's step",
        "why": "why that semver",
        "ask": "the id of what you asked for, as in the audit: ask:ID",
        "sentence": "all that as a person reads it",
    },
    Compare: {
        "model": "the model's name",
        "incumbent": "the number of the version in Production, or null",
        "metrics": "a list, in order: name, direction (higher or lower is better), best (a version's number, or null)",
        "versions": "a list, newest first: version, semver, stage, run_id, created_at (ISO 8601, UTC), metrics (value "
        "by name) and deltas (value minus the incumbent's, by name)",
        "sentence": "what a person would say of it",
    },
    Best: {
        "model": "the model's name",
        "metric": "the metric",
        "direction": "the end of the scale that wins: higher or lower",
        "version": "the winner's number",
        "stage": "its stage: None, Staging, Production or Archived",
        "semver": "its semver, or null",
        "run_id": "its run, or null",
        "value": "its value",
        "runner_up": "the number of the best of the others, or null",
        "lead": "how far ahead of the runner-up, never negative, or null",
        "incumbent": "the number of the version in Production, or null",
        "margin": "how far ahead of the incumbent; null where it is the winner itself, or has no value",
        "sentence": "all that as a person reads it",
    },
}


def to_json(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """Return the document as text for an output of that encoding; what it cannot hold is escaped."""
    can_hold_all = encoding.lower().replace("-", "").startswith("utf")
    return json.dumps(document, ensure_ascii=not can_hold_all, allow_nan=False, indent=2) + "\n"


def registered(event: Event, ask_id: str, sentence: Say) -> dict[str, Any]:
    """Return the document of a registered version, from the audit's event of it."""
    evidence = event.evidence
    return {
        "model": event.model, "version": int(str(event.after).lstrip("v")), "semver": evidence["semver"],
        "run_id": evidence["run"], "against": evidence["against"], "overridden": evidence["overridden"],
        "why": event.why, "ask": ask_id, "sentence": str(sentence),
    }  # fmt: skip


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


def best(winner: compared.Best, sentence: Say) -> dict[str, Any]:
    """Return the document of a metric's winner."""
    return {name: _plain(value) for name, value in asdict(winner).items()} | {"sentence": str(sentence)}


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
    }


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
