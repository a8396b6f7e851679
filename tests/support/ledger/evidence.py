"""Evidence about a ledger, and plans for years with violations."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.domain.audit.anchors import AnchoredHead, parse_anchors
from bot.domain.evidence.controls import Control
from bot.domain.evidence.population import EvidenceQuestion
from bot.ledger import SqlLedger
from bot.policy_file import parse_policy
from bot.services.evidence.collection import EvidenceCollector
from scripts.evidence_tampering import LOG_TAMPERING, ROW_TAMPERING
from scripts.evidence_work import PLANTED
from scripts.evidence_year import START, write_year

KINDS = sorted({*PLANTED, *ROW_TAMPERING, *LOG_TAMPERING, "registry_differs"} - {"anchor_mismatch", "cut_off"})
DAYS, MODELS = 20, 3
Plan = list[dict[str, Any]]


def random_plan(seed: int) -> Plan:
    """Return a plan with every kind of violation, some of them twice, at random times."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret
    kinds = [*KINDS, *chance.choices([kind for kind in KINDS if kind != "registry_differs"], k=6)]
    kinds.append("cut_off" if seed % 2 else "anchor_mismatch")
    chance.shuffle(kinds)
    return [
        {
            "kind": kind,
            "at": (START + timedelta(minutes=chance.randrange(24 * 60, DAYS * 24 * 60))).isoformat(),
            "model": f"model-{chance.randrange(MODELS):02}",
        }
        for kind in kinds
    ]


def written_year(url: str, plan: Plan, seed: int, anchors: Path) -> list[AnchoredHead]:
    """Write a short year with the planned violations, and return the anchors from before the log was altered."""
    write_year(url, plan, seed=seed, days=DAYS, models=MODELS, anchors=anchors)
    return parse_anchors(anchors.read_text(encoding="utf-8"), anchors.name)


def evidence(
    ledger: SqlLedger,
    control: Control = Control.SOC2_CHANGE_MANAGEMENT,
    anchors: Sequence[AnchoredHead] | None = None,
    since: str = "2026-01-01T00:00:00.000000+00:00",
    **options: Any,
) -> dict[str, Any]:
    """Return the report about a ledger."""
    with ledger.read() as reader:
        question = EvidenceQuestion(since=since, **options)
        collector = EvidenceCollector(reader, question, lambda text: parse_policy(text, Path("registrar.yml")), anchors)
        return collector.report(control)


def evidence_at(url: str, **options: Any) -> dict[str, Any]:
    """Return the report about the ledger at an address."""
    with closing(SqlLedger(url)) as ledger:
        return evidence(ledger, **options)


def exceptions(report: dict[str, Any]) -> Counter[tuple[str, str | None]]:
    """Return how many exceptions of each kind there are for each model."""
    return Counter((one["kind"], one["model"]) for one in report["exceptions"])


def planned(plan: Plan) -> Counter[tuple[str, str | None]]:
    """Return the exceptions that a plan must lead to."""
    kinds: dict[str, str] = {"cut_off": "chain_fault"}
    return Counter(
        (str(kinds.get(one["kind"], one["kind"])), None if one["kind"] in LOG_TAMPERING else one["model"])
        for one in plan
    )


def one_violation(kind: str, at: datetime = START + timedelta(days=3)) -> Plan:
    """Return a plan with a single violation."""
    return [{"kind": kind, "at": at.astimezone(UTC).isoformat(), "model": "churn"}]


def as_bytes(report: dict[str, Any]) -> bytes:
    """Return a report as JSON."""
    return json.dumps(report).encode()
