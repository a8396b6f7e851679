"""Versions to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.domain.registry.comparison import Comparison, compare_versions
from bot.domain.registry.model import RunInfo, Stage, VersionInfo

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


NAN = float("nan")


Metrics = Mapping[str, float]


def a_version(number: int, stage: Stage = Stage.NONE, **changes: Any) -> VersionInfo:
    fresh = VersionInfo(model="churn", version=number, stage=stage, run_id=f"run{number}", created_at=NOW)
    return replace(fresh, **changes)


def versions_with_metrics(
    found: Mapping[int, Metrics], production: int | None = None
) -> tuple[list[VersionInfo], dict[str, RunInfo]]:
    """Return versions with the metrics of their runs; one of them in Production."""
    versions = [a_version(n, Stage.PRODUCTION if n == production else Stage.NONE) for n in found]
    return versions, {f"run{n}": RunInfo(id=f"run{n}", metrics=one) for n, one in found.items()}


def compared(found: Mapping[int, Metrics], production: int | None = None, **options: Any) -> Comparison:
    return compare_versions("churn", *versions_with_metrics(found, production), **options)


GOLDEN: dict[int, Metrics] = {
    5: {"f1": 0.891, "latency_ms": 38.0, "auc": 0.9},
    6: {"f1": 0.904, "latency_ms": 45.0, "auc": NAN},
    7: {"f1": 0.912, "latency_ms": 42.0, "auc": 0.9},
}
