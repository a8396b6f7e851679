"""The demo's real models, from the snapshot or trained by examples/churn/train.py, in a SQLite registry."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.domain.registry.model import Stage
from bot.ports import ModelRegistry
from handlers.demo.folder import DemoFolder
from handlers.demo.progress import ProgressReporter

MODEL = "churn"
MONITOR = "accuracy-live"
PRODUCTION_VERSION = 3  # in Production when the story begins
TRAINING_SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "train.py"
BETTER_VERSION = 4  # slightly better
BAD_VERSION = 5  # looks excellent, passes every gate, and fails in Production
VERSION_COUNT = 5  # as many as the script has candidates; a test compares them


def prepare_models(
    registry: ModelRegistry, folder: DemoFolder, progress: ProgressReporter, rows: int | None = None
) -> bool:
    """Register the missing versions, and promote one if none has a stage; return whether that was necessary.

    With `rows`, the versions are trained on that many customers; otherwise, they're restored from the snapshot. An
    interrupted start is resumed; a complete registry is only read.
    """
    versions = registry.versions(MODEL)
    newest = max((version.version for version in versions), default=0)
    if newest < VERSION_COUNT:
        for number, name, metrics in _create_versions(folder, newest, progress, rows):
            kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Classifier")).lower()
            progress.print_line(
                f"  {MODEL} v{number}, {kind}: f1 {metrics['f1']:.3f}, ROC AUC {metrics['roc_auc']:.3f}, "
                f"{metrics['latency_ms']:.0f} ms per prediction"
            )
    is_new = all(version.stage is Stage.NONE for version in versions)
    if is_new:
        registry.set_alias(MODEL, "champion", PRODUCTION_VERSION)
        registry.transition_stage(
            MODEL, PRODUCTION_VERSION, Stage.PRODUCTION, archive_existing=True
        )  # last, to mark that everything is registered
        progress.print_line(
            f"v{PRODUCTION_VERSION} is in Production. v{BETTER_VERSION} is slightly better and ready to request."
        )
    return is_new


def _create_versions(
    folder: DemoFolder, existing: int, progress: ProgressReporter, rows: int | None
) -> Iterator[tuple[int, str, Mapping[str, float]]]:
    """Register the versions after the first `existing` ones, and yield each one's number, estimator, and metrics."""
    from handlers.demo import snapshot  # importing MLflow takes seconds, which a second start doesn't need

    if rows is None and snapshot.is_compatible():
        progress.begin_step(
            f"Registering {VERSION_COUNT - existing} trained models in MLflow (--train trains them here)"
        )
        for number, about in snapshot.restore_models(
            folder.registry_uri, MODEL, folder.path / "artifacts", first_after=existing
        ):
            yield number, about["name"], about["metrics"]
        return
    if rows is None:
        progress.print_line("The example's trained models need a different scikit-learn version.")
    progress.begin_step(f"Training {VERSION_COUNT - existing} models (first start only)")
    script = _load_script()
    import mlflow

    mlflow.set_tracking_uri(folder.registry_uri)
    data = script.load_data(rows) if rows else script.load_data()
    experiment = script.open_experiment(MODEL)
    for candidate in script.CANDIDATES[existing:]:
        trained = script.train_one(candidate, data, experiment, MODEL)
        yield trained.version, trained.estimator, trained.metrics


def _load_script() -> Any:
    specification = importlib.util.spec_from_file_location("churn_train", TRAINING_SCRIPT)
    if specification is None or specification.loader is None:
        raise ImportError(f"can't load {TRAINING_SCRIPT}")
    script = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = script  # its data classes look up their module
    sys.path.insert(0, str(TRAINING_SCRIPT.parent))  # it imports the modules next to it
    try:
        specification.loader.exec_module(script)
    finally:
        sys.path.remove(str(TRAINING_SCRIPT.parent))
    return script
