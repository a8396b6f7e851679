"""Compare versions of a model: a data frame, the best version per metric, and differences from Production."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.registry.metric_catalog import MetricCatalog, MetricChange
from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import RunInfo, Stage, VersionInfo

if TYPE_CHECKING:
    import pandas as pd

FACT_COLUMNS = ("version", "semver", "stage", "run_id", "created_at")  # columns that every comparison has
NO_METRICS = "The runs of these versions have no metrics."

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of a comparison.

    `frame` is what `build_frame` returns. `deltas` has the same index and metric columns (float64): each value minus
    the incumbent's, NaN if either is missing or nothing is in Production, and 0 if they differ only by floating-point
    rounding. `best` is the best version per metric, excluding metrics that no version has. In a tie, the incumbent wins
    if it's one of the tied versions; otherwise, the newest one wins. A tie is no reason to change Production.
    """

    model: str
    frame: pd.DataFrame
    metrics: tuple[str, ...]  # columns of the frame
    shown_metrics: tuple[str, ...]  # those that a version has a value for, the most important first
    catalog: MetricCatalog
    directions: Mapping[str, Direction]
    incumbent: int | None  # the version in Production; the newest if there are several
    best: Mapping[str, int]
    deltas: pd.DataFrame
    blocked: Mapping[int, Sentence] = field(default_factory=dict)  # reasons by version

    @property
    def versions(self) -> list[int]:
        """The version numbers, newest first, as in the frame."""
        return [int(number) for number in self.frame["version"]]

    @property
    def incumbent_row(self) -> int | None:
        """The incumbent's row in the frame, or None if nothing is in Production."""
        return _row_index(self.frame, self.incumbent)

    def metrics_in_row(self, row: int) -> dict[str, float]:
        """Return the metrics in one row of the frame, by column; NaN if missing."""
        return dict(zip(self.metrics, self.frame[list(self.metrics)].iloc[row].tolist(), strict=True))

    def differences_in_row(self, row: int) -> dict[str, float]:
        """Return one row of the deltas, by column: the value minus the incumbent's; NaN if missing."""
        return dict(zip(self.metrics, self.deltas.iloc[row].tolist(), strict=True))

    def changes_in_row(self, row: int) -> dict[str, MetricChange]:
        """Return how one row of the frame differs from the incumbent, by metric, omitting metrics that either lacks."""
        if self.incumbent_row is None:
            return {}
        values, against = self.metrics_in_row(row), self.metrics_in_row(self.incumbent_row)
        changes = {metric: self.catalog.compare(metric, values, against) for metric in self.shown_metrics}
        return {metric: change for metric, change in changes.items() if change}

    def metric_values(self, metric: str) -> FloatArray:
        """Return one metric's values, newest version first; NaN if missing. `metric` is a column."""
        return self.frame[metric].to_numpy(dtype=np.float64)

    def column_for(self, metric: str) -> str:
        """Return a metric's column. Raises BadInput, which suggests similar names, if there isn't one."""
        for column in (metric, _metric_column(metric)):
            if column in self.metrics:
                return column
        raise _unknown_metric_error(self.model, metric, self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestVersion:
    """The best version by one metric, and how far ahead it is. Distances are in the metric's unit, never negative."""

    model: str
    metric: str
    direction: Direction  # which values count as best
    version: int
    stage: Stage
    semver: str | None
    run_id: str | None
    value: float
    runner_up: int | None  # the next best; None if no other version has a value
    lead: float | None  # over the runner-up; 0 in a tie
    incumbent: int | None
    margin: float | None  # over the incumbent; None if the incumbent won or has no value
    blocked: Sentence | None = None  # why the winner is blocked
    catalog: MetricCatalog = MetricCatalog()  # noqa: RUF009 - immutable


# -- the frame ---------------------------------------------------------------------------------------------------------


def build_frame(
    versions: Iterable[VersionInfo], runs: Mapping[str, RunInfo], metrics: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return a data frame with one row per version, newest first (10 before 9), numbered from 0.

    Columns: version (int64); semver, stage, and run_id (object, str; None if missing); created_at (datetime64[us,
    UTC]); then one float64 column per metric: those in `metrics`, in that order, or by default all of them, sorted by
    name. Missing and infinite values are NaN. A version whose run is unknown has only NaN; a run in MLflow's trash
    still counts. A metric that has the name of another column gets the column `metric <name>`.
    """
    import pandas as pd

    rows = sorted(versions, key=lambda v: v.version, reverse=True)
    measured = [_run_metrics(version, runs) for version in rows]
    names = _all_metric_names(measured) if metrics is None else list(dict.fromkeys(metrics))
    facts = {
        "version": np.array([row.version for row in rows], dtype=np.int64),
        "semver": pd.Series([row.semver for row in rows], dtype=object),
        "stage": pd.Series([row.stage.value for row in rows], dtype=object),
        "run_id": pd.Series([row.run_id for row in rows], dtype=object),
        "created_at": pd.Series([row.created_at for row in rows], dtype="datetime64[us, UTC]"),
    }
    values = pd.DataFrame(_metric_matrix(measured, names), columns=pd.Index([_metric_column(name) for name in names]))
    return pd.concat([pd.DataFrame(facts), values], axis=1)


def _run_metrics(version: VersionInfo, runs: Mapping[str, RunInfo]) -> Mapping[str, float]:
    run = runs.get(version.run_id) if version.run_id else None
    return run.metrics if run else {}


def _all_metric_names(metrics_by_version: Iterable[Mapping[str, float]]) -> list[str]:
    return sorted(set().union(*metrics_by_version))


def _metric_matrix(metrics_by_version: Sequence[Mapping[str, float]], names: Sequence[str]) -> FloatArray:
    rows = [list(map(metrics.get, names)) for metrics in metrics_by_version]  # the loop over names runs in C
    values = np.array(rows, dtype=np.float64).reshape(len(metrics_by_version), len(names))  # numpy reads None as NaN
    values[~np.isfinite(values)] = np.nan
    return values


def _metric_column(metric: str) -> str:
    return f"metric {metric}" if metric in FACT_COLUMNS else metric


# -- comparing ---------------------------------------------------------------------------------------------------------


def compare_versions(
    model: str,
    versions: Iterable[VersionInfo],
    runs: Mapping[str, RunInfo],
    *,
    metrics: Sequence[str] | None = None,
    catalog: MetricCatalog | None = None,
    gated: Iterable[str] = (),
    incumbent: VersionInfo | None = None,
    blocked: Mapping[int, Sentence] | None = None,
) -> Comparison:
    """Compare versions by their runs' metrics.

    `runs` maps IDs to runs. `incumbent` is the version in Production, which is added to the versions if it isn't among
    them; if it's None, it's looked up among them. `catalog` says how to show and compare metrics, and `gated` lists the
    metrics with gates. `blocked` maps the numbers of blocked versions to the reasons. Raises BadInput if one of the
    `metrics` is missing from every version.
    """
    import pandas as pd

    rows = {version.version: version for version in [*versions, *([incumbent] if incumbent else [])]}
    known = _all_metric_names(_run_metrics(version, runs) for version in rows.values()) if metrics else []
    for metric in metrics or ():
        if metric not in known:
            raise _unknown_metric_error(model, metric, known)
    table = build_frame(rows.values(), runs, metrics)
    columns = tuple(str(name) for name in table.columns[len(FACT_COLUMNS) :])
    holders = (version.version for version in rows.values() if version.stage is Stage.PRODUCTION)
    production_version = incumbent.version if incumbent else max(holders, default=None)
    row = _row_index(table, production_version)
    values = table[list(columns)].to_numpy(dtype=np.float64)
    catalog = catalog or MetricCatalog()
    directions = {column: catalog.direction(column) for column in columns}
    best = {
        column: int(table["version"].iloc[winner])
        for index, column in enumerate(columns)
        if (winner := _best_row(values[:, index], directions[column], row)) is not None
    }
    by_importance = columns if metrics else catalog.by_importance(dict.fromkeys(columns, 0.0), gated)
    return Comparison(
        model=model,
        frame=table,
        metrics=columns,
        shown_metrics=tuple(column for column in by_importance if column in best),
        catalog=catalog,
        directions=directions,
        incumbent=production_version,
        best=best,
        deltas=pd.DataFrame(
            np.full_like(values, np.nan) if row is None else _difference(values, values[row]),
            columns=pd.Index(columns),
            index=table.index,
        ),
        blocked=blocked or {},
    )


def _unknown_metric_error(model: str, metric: str, known: Sequence[str]) -> BadInput:
    if not known:
        return BadInput(NO_METRICS)
    by_lower = {name.lower(): name for name in known}
    close_matches = [by_lower[name] for name in get_close_matches(metric.lower(), by_lower, n=1, cutoff=0.5)]
    suggestions = [Code(truncate(name, 60)) for name in close_matches or known[:8]]
    template = "None of the compared versions of {model} has the metric {metric}. " + (
        "Did you mean {there}?" if close_matches else "Available metrics: {there}."
    )
    return BadInput(say(template, model=Name(model), metric=Name(truncate(metric, 60)), there=suggestions))


def _row_index(table: pd.DataFrame, version: int | None) -> int | None:
    return None if version is None else int(np.flatnonzero(table["version"].to_numpy() == version)[0])


def _best_row(values: FloatArray, direction: Direction, incumbent_row: int | None) -> int | None:
    """Return the row of the best value (in a tie, the incumbent's, else the newest), or None if there are no values."""
    signed = values * direction.sign
    if np.isnan(signed).all():
        return None
    tied = np.flatnonzero(_is_equal_within_rounding(signed, np.nanmax(signed))).tolist()
    return incumbent_row if incumbent_row in tied else int(tied[0])


def _difference(value: FloatArray, base: FloatArray | np.float64) -> FloatArray:
    with np.errstate(over="ignore"):  # the difference of two extreme floats is infinite
        return np.where(_is_equal_within_rounding(value, base), 0.0, value - base)


def _is_equal_within_rounding(value: FloatArray, base: FloatArray | np.float64) -> npt.NDArray[np.bool_]:
    """Return where `value` equals `base`, ignoring floating-point rounding: 0.1 + 0.2 equals 0.3."""
    with np.errstate(over="ignore"):
        level: npt.NDArray[np.bool_] = np.abs(value - base) <= 1e-12 * np.maximum(np.abs(value), np.abs(base))
    return level


# -- the best of one metric --------------------------------------------------------------------------------------------


def best_version(comparison: Comparison, metric: str, *, lowest: bool | None = None) -> BestVersion:
    """Return the best version by `metric`, and how far ahead it is.

    `lowest`: True for the lowest value, False for the highest, None for the metric's own direction. NaN never wins.
    Raises BadInput if no version has a value or the metric doesn't exist.
    """
    column = comparison.column_for(metric)
    direction = comparison.directions[column]
    if lowest is not None:
        direction = Direction.LOWER if lowest else Direction.HIGHER
    values, incumbent_row = comparison.metric_values(column), comparison.incumbent_row
    row = _best_row(values, direction, incumbent_row)
    if row is None:
        raise BadInput(
            say(
                "No version of {model} has a value for {metric}.",
                model=Name(comparison.model),
                metric=Code(truncate(metric, 60)),
            )
        )
    second = _best_row(np.where(np.arange(len(values)) == row, np.nan, values), direction, incumbent_row)
    facts = comparison.frame.iloc[row]
    return BestVersion(
        model=comparison.model,
        metric=metric,
        direction=direction,
        version=int(facts["version"]),
        stage=Stage(facts["stage"]),
        semver=facts["semver"],
        run_id=facts["run_id"],
        value=float(values[row]),
        runner_up=None if second is None else comparison.versions[second],
        lead=_lead_over(values, row, second),
        incumbent=comparison.incumbent,
        margin=_lead_over(values, row, None if incumbent_row == row else incumbent_row),
        blocked=comparison.blocked.get(int(facts["version"])),
        catalog=comparison.catalog,
    )


def _lead_over(values: FloatArray, winner_row: int, other_row: int | None) -> float | None:
    if other_row is None or np.isnan(values[other_row]):
        return None
    return abs(float(_difference(values, values[other_row])[winner_row]))


# -- as a file ---------------------------------------------------------------------------------------------------------


def to_csv(comparison: Comparison) -> str:
    """Return the frame as CSV with a header, newest version first; times are in ISO 8601, missing values empty.

    Text that a spreadsheet would read as a formula gets a leading apostrophe, since tags and metric names are
    untrusted.
    """
    import pandas as pd

    table = comparison.frame.copy()
    for column in ("semver", "stage", "run_id"):
        table[column] = table[column].map(_escape_formula)
    table.columns = pd.Index([_escape_formula(str(name)) for name in table.columns])
    return table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")


def _escape_formula(text: str | None) -> str | None:
    escaped = f"'{text}" if text and text.startswith(_FORMULA_PREFIXES) else text
    return escaped and escaped.replace("\r", " ")  # before Python 3.13, csv doesn't quote it


_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
