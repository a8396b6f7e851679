"""The demo's models: real ones, trained by examples/churn/train.py into a registry on SQLite."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.domain.registry import Stage
from bot.ports import Registry

MODEL = "churn"
SERVING = 3  # which version is in Production when the story begins
SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "train.py"
BETTER = 4  # which one is a little better
BAD = 5  # which one looks excellent, passes every gate and is bad in life
VERSIONS = 5  # as many as the script has candidates; a test holds this against it


def prepare(registry: Registry, uri: str, tell: Callable[[str], None], rows: int) -> bool:
    """Train the versions that the registry lacks and let one serve; tell whether there was anything to do.

    An interrupted start is taken up where it ended; a complete registry is only read.
    """
    versions = registry.versions(MODEL)
    newest = max((version.version for version in versions), default=0)
    if newest < VERSIONS:
        tell(f"Training {VERSIONS - newest} real models for MLflow, which only the first start does:")
        _train(uri, newest, tell, rows)
    is_new = all(version.stage is Stage.NONE for version in versions)
    if is_new:
        registry.set_alias(MODEL, "champion", SERVING)
        registry.transition(MODEL, SERVING, Stage.PRODUCTION, archive_existing=True)  # last: it says that we are done
        tell(f"v{SERVING} is in Production now; v{BETTER}, a little better, waits for somebody to ask for it.")
    return is_new


def _train(uri: str, done: int, tell: Callable[[str], None], rows: int) -> None:
    """Train the candidates after the first `done`, telling of each."""
    script = _load_script()
    import mlflow  # seconds that a second start need not spend

    mlflow.set_tracking_uri(uri)
    data = script.load_data(rows)
    experiment = script.open_experiment(MODEL)
    for candidate in script.CANDIDATES[done:]:
        tell(f"  {_described(script.train_one(candidate, data, experiment, MODEL))}")


def _load_script() -> Any:
    specification = importlib.util.spec_from_file_location("churn_train", SCRIPT)
    if specification is None or specification.loader is None:
        raise ImportError(f"{SCRIPT} cannot be loaded")
    script = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = script  # its data classes look their module up
    specification.loader.exec_module(script)
    return script


def _described(trained: Any) -> str:
    """Return one version as a person would tell of it."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", trained.estimator.removesuffix("Classifier")).lower()
    metrics = trained.metrics
    return (
        f"{MODEL} v{trained.version}, {kind}: f1 {metrics['f1']:.3f}, ROC AUC {metrics['roc_auc']:.3f}, "
        f"{metrics['latency_ms']:.0f} ms for a prediction"
    )
