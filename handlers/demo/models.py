"""The demo's models: real ones, from the snapshot or trained by examples/churn/train.py, in a registry on SQLite."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.domain.registry.model import Stage
from bot.ports import Registry
from handlers.demo.folder import Home
from handlers.demo.progress import Progress

MODEL = "churn"
MONITOR = "accuracy-live"
SERVING = 3  # which version is in Production when the story begins
SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "train.py"
BETTER = 4  # which one is a little better
BAD = 5  # which one looks excellent, passes every gate, and is bad in life
VERSIONS = 5  # as many as the script has candidates; a test compares them


def prepare(registry: Registry, home: Home, progress: Progress, rows: int | None = None) -> bool:
    """Register the versions that the registry lacks and let one serve; tell whether there was anything to do.

    With `rows` they are trained on that many customers, otherwise restored from the snapshot. An interrupted start is
    continued where it ended; a complete registry is only read.
    """
    versions = registry.versions(MODEL)
    newest = max((version.version for version in versions), default=0)
    if newest < VERSIONS:
        for number, name, metrics in _made(home, newest, progress, rows):
            progress.tell(f"  {_described(number, name, metrics)}")
    is_new = all(version.stage is Stage.NONE for version in versions)
    if is_new:
        registry.set_alias(MODEL, "champion", SERVING)
        registry.transition(MODEL, SERVING, Stage.PRODUCTION, archive_existing=True)  # last: it says that we are done
        progress.tell(f"v{SERVING} is in Production. v{BETTER} is a little better, and ready to be requested.")
    return is_new


def _made(
    home: Home, done: int, progress: Progress, rows: int | None
) -> Iterator[tuple[int, str, Mapping[str, float]]]:
    """Register the versions after the first `done`, and yield the number, the estimator, and the metrics of each."""
    from handlers.demo import snapshot  # MLflow takes seconds, which a second start need not spend

    if rows is None and snapshot.is_for_us():
        progress.doing(f"Registering {VERSIONS - done} trained models in MLflow (--train trains them here)")
        for number, about in snapshot.restore(home.registry, MODEL, home.folder / "artifacts", after=done):
            yield number, about["name"], about["metrics"]
        return
    if rows is None:
        progress.tell("The example's trained models are for another scikit-learn than the one installed.")
    progress.doing(f"Training {VERSIONS - done} models, on the first start only")
    yield from _trained(home.registry, done, rows)


def _trained(uri: str, done: int, rows: int | None) -> Iterator[tuple[int, str, Mapping[str, float]]]:
    script = _load_script()
    import mlflow

    mlflow.set_tracking_uri(uri)
    data = script.load_data(rows) if rows else script.load_data()
    experiment = script.open_experiment(MODEL)
    for candidate in script.CANDIDATES[done:]:
        trained = script.train_one(candidate, data, experiment, MODEL)
        yield trained.version, trained.estimator, trained.metrics


def _load_script() -> Any:
    specification = importlib.util.spec_from_file_location("churn_train", SCRIPT)
    if specification is None or specification.loader is None:
        raise ImportError(f"{SCRIPT} cannot be loaded")
    script = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = script  # its data classes look their module up
    sys.path.insert(0, str(SCRIPT.parent))  # it imports what is next to it
    try:
        specification.loader.exec_module(script)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return script


def _described(version: int, estimator: str, metrics: Mapping[str, float]) -> str:
    """Return one version in the words of a person."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", estimator.removesuffix("Classifier")).lower()
    return (
        f"{MODEL} v{version}, {kind}: f1 {metrics['f1']:.3f}, ROC AUC {metrics['roc_auc']:.3f}, "
        f"{metrics['latency_ms']:.0f} ms for a prediction"
    )
