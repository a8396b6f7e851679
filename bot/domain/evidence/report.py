"""The report, assembled from the findings. Pure: the same findings give the same document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bot.domain.evidence.controls import DISCLAIMER, NEVER_SHOWN, Control, ExceptionKind
from bot.domain.evidence.population import Population

REPORT_TYPE = "urn:registrar:evidence:v1"
DRAWING = "The changes with the lowest SHA-256 of SEED:ID, in that order."
# The report's keys. They're a public interface: never rename or remove one.
REPORT_KEYS = {
    "type": f"the format: {REPORT_TYPE}",
    "control": "an object: id, title, asks, answers",
    "period": "an object: from and to (both included), and model, or null for all",
    "head": "the last audit event of the period: number, hash, and at",
    "summary": "the number of changes, and of exceptions by kind",
    "exceptions": "a list: kind, meaning, at, model, subject, event (the number of its audit event), and facts",
    "completeness": "what the report is based on, and what couldn't be seen",
    "sample": "an object: size, seed, method, and changes with their traces (request, votes, gates, audit events)",
    "details": "what only this control asks for, or null",
    "population": "a list of all changes to Production, oldest first",
    "not_shown": "a list of sentences",
    "disclaimer": "a sentence",
}


def report_document(
    control: Control, population: Population, head: Mapping[str, Any], completeness: Mapping[str, Any], details: Any
) -> dict[str, Any]:
    """Return the report; its keys are REPORT_KEYS."""
    question, text = population.question, control.text
    exceptions = _in_order(population)
    counts = Counter(one["kind"] for one in exceptions)
    return {
        "type": REPORT_TYPE,
        "control": {"id": control.value, "title": text.title, "asks": text.asks, "answers": text.answers},
        "period": {"from": question.since, "to": question.until, "model": question.model},
        "head": head,
        "summary": {
            "changes": len(population.changes),
            "exceptions": {kind.code: counts[kind.code] for kind in ExceptionKind if counts[kind.code]},
        },
        "exceptions": exceptions,
        "completeness": completeness,
        "sample": {
            "size": question.sample,
            "seed": question.seed,
            "method": DRAWING,
            "changes": [
                population.changes[change_id] | {"trace": trail.document() if trail else None}
                for change_id, trail in sorted(population.sampled.items(), key=lambda one: question.rank(one[0]))
            ],
        },
        "details": details,
        "population": list(population.changes.values()),
        "not_shown": [*text.not_shown, *NEVER_SHOWN],
        "disclaimer": DISCLAIMER,
    }


def _in_order(population: Population) -> list[dict[str, Any]]:
    """Return the exceptions with their meanings, grouped by kind, oldest first."""
    meanings = {kind.code: kind.meaning for kind in ExceptionKind}
    kinds = list(meanings)
    ordered = sorted(
        population.exceptions,
        key=lambda one: (kinds.index(one["kind"]), one["at"] or "", one["event"] or 0, one["subject"] or ""),
    )
    return [{"kind": one["kind"], "meaning": meanings[one["kind"]], **one} for one in ordered]
