"""MLflow's entities, as our types. What differs between a server and a database is made equal here."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from bot.domain.registry.model import Dataset, Logged, ModelInfo, RunInfo, Stage, VersionInfo

_INFINITE = sys.float_info.max  # MLflow keeps an infinite metric as the greatest number there is


def model_info(found: Any) -> ModelInfo:
    """Return a registered model."""
    latest = sorted(found.latest_versions or (), key=lambda version: int(version.version))
    return ModelInfo(
        name=found.name,
        description=found.description or "",
        latest={_stage(version): int(version.version) for version in latest},
        aliases=MappingProxyType({alias: int(number) for alias, number in found.aliases.items()}),
        tags=_tags(found),
        updated_at=_moment(found.last_updated_timestamp),
        created_at=_moment(found.creation_timestamp),
        identities={
            each.version: each.identity(_moment(found.creation_timestamp)) for each in map(version_info, latest)
        },
    )


def version_info(found: Any) -> VersionInfo:
    """Return a model version; its aliases are there only where MLflow fills them."""
    return VersionInfo(
        model=found.name,
        version=int(found.version),  # text over HTTP
        stage=_stage(found),
        run_id=found.run_id or None,  # empty over HTTP
        status=found.status or "READY",
        created_at=_moment(found.creation_timestamp),
        description=found.description or "",
        tags=_tags(found),
        aliases=tuple(sorted(found.aliases or ())),
        source=found.source or "",
        changed_at=_moment(found.last_updated_timestamp),
    )


def run_info(found: Any) -> RunInfo:
    """Return a run. It is called a thousand times in a row: it copies little."""
    info, data = found.info, found.data
    return RunInfo(
        id=info.run_id,
        experiment=info.experiment_id,
        name=info.run_name or "",
        status=info.status,
        user=_user(info.user_id) or _user(data.tags.get("mlflow.user")),
        started_at=_moment(info.start_time),
        ended_at=_moment(info.end_time),
        metrics=MappingProxyType({key: _finite(value) for key, value in data.metrics.items()}),
        params=MappingProxyType(data.params),
        tags=MappingProxyType(data.tags),
        datasets=tuple(_dataset(each) for each in found.inputs.dataset_inputs) if found.inputs else (),
        is_deleted=info.lifecycle_stage == "deleted",
    )


def logged_metric(found: Any) -> Logged:
    """Return one point of a metric."""
    return datetime.fromtimestamp(found.timestamp / 1000, UTC), _finite(found.value)


def _user(name: str | None) -> str:
    return "" if name is None or name == "unknown" else name  # so MLflow calls whoever it was not told


def _finite(value: float) -> float:
    return value if -_INFINITE < value < _INFINITE else math.nan


def _dataset(found: Any) -> Dataset:
    context = {tag.key: tag.value for tag in found.tags}.get("mlflow.data.context", "")
    return Dataset(
        name=found.dataset.name, digest=found.dataset.digest or "", rows=_rows(found.dataset.profile), context=context
    )


def _rows(profile: str | None) -> int | None:
    """Return how many rows a data set says it has; arrays say it by their shape."""
    try:
        told = json.loads(profile or "{}")
        rows = told["num_rows"] if "num_rows" in told else told["features_shape"][0]
    except (ValueError, TypeError, LookupError):
        return None
    return rows if isinstance(rows, int) else None


def _stage(version: Any) -> Stage:
    return Stage(version.current_stage or "None")


def _tags(found: Any) -> Mapping[str, str]:
    return MappingProxyType(dict(found.tags))


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
