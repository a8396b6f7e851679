"""Convert MLflow's entities to our types, evening out differences between a server and a database."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from bot.domain.registry.model import Dataset, LoggedValue, ModelInfo, RunInfo, Stage, VersionInfo

_MLFLOW_INFINITY = sys.float_info.max  # MLflow stores an infinite metric as the largest float


def model_info(entity: Any) -> ModelInfo:
    """Return a registered model."""
    latest = sorted(entity.latest_versions or (), key=lambda version: int(version.version))
    return ModelInfo(
        name=entity.name,
        description=entity.description or "",
        latest={_stage(version): int(version.version) for version in latest},
        aliases=MappingProxyType({alias: int(number) for alias, number in entity.aliases.items()}),
        tags=_tags(entity),
        updated_at=updated_at(entity),
        created_at=_from_milliseconds(entity.creation_timestamp),
        identities={
            each.version: each.identity(_from_milliseconds(entity.creation_timestamp))
            for each in map(version_info, latest)
        },
    )


def updated_at(model: Any) -> datetime | None:
    """Return when a registered model was last updated, or None if that's unknown."""
    return _from_milliseconds(model.last_updated_timestamp)


def version_info(entity: Any) -> VersionInfo:
    """Return a model version; its aliases are included only if MLflow filled them in."""
    return VersionInfo(
        model=entity.name,
        version=int(entity.version),  # text over HTTP
        stage=_stage(entity),
        run_id=entity.run_id or None,  # empty over HTTP
        status=entity.status or "READY",
        created_at=_from_milliseconds(entity.creation_timestamp),
        description=entity.description or "",
        tags=_tags(entity),
        aliases=tuple(sorted(entity.aliases or ())),
        source=entity.source or "",
        changed_at=_from_milliseconds(entity.last_updated_timestamp),
    )


def run_info(entity: Any) -> RunInfo:
    """Return a run. This is called thousands of times in a row, so it copies little."""
    info, data = entity.info, entity.data
    return RunInfo(
        id=info.run_id,
        experiment=info.experiment_id,
        name=info.run_name or "",
        status=info.status,
        user=_user_name(info.user_id) or _user_name(data.tags.get("mlflow.user")),
        started_at=_from_milliseconds(info.start_time),
        ended_at=_from_milliseconds(info.end_time),
        metrics=MappingProxyType({key: _finite_or_nan(value) for key, value in data.metrics.items()}),
        params=MappingProxyType(data.params),
        tags=MappingProxyType(data.tags),
        datasets=tuple(
            Dataset(
                name=each.dataset.name,
                digest=each.dataset.digest or "",
                rows=_row_count(each.dataset.profile),
                context={tag.key: tag.value for tag in each.tags}.get("mlflow.data.context", ""),
            )
            for each in (entity.inputs.dataset_inputs if entity.inputs else ())
        ),
        is_deleted=info.lifecycle_stage == "deleted",
        git_commit=data.tags.get("mlflow.source.git.commit"),
    )


def metric_point(entity: Any) -> LoggedValue:
    """Return one point of a metric: when it was logged, and its value."""
    return datetime.fromtimestamp(entity.timestamp / 1000, UTC), _finite_or_nan(entity.value)


def _user_name(name: str | None) -> str:
    return "" if name is None or name == "unknown" else name  # MLflow's name for an unknown user


def _finite_or_nan(value: float) -> float:
    return value if -_MLFLOW_INFINITY < value < _MLFLOW_INFINITY else math.nan


def _row_count(profile: str | None) -> int | None:
    """Return a data set's row count from its profile (for an array, from the shape); None if unknown."""
    try:
        document = json.loads(profile or "{}")
        rows = document["num_rows"] if "num_rows" in document else document["features_shape"][0]
    except (ValueError, TypeError, LookupError):
        return None
    return rows if isinstance(rows, int) else None


def _stage(version: Any) -> Stage:
    return Stage(version.current_stage or "None")


def _tags(entity: Any) -> Mapping[str, str]:
    return MappingProxyType(dict(entity.tags))


def _from_milliseconds(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
