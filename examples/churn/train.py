"""Train a few churn models and register each as a version of one model.

    MLFLOW_TRACKING_URI=sqlite:///churn.db python examples/churn/train.py

To adapt it, replace `load_data` (in common.py) and `CANDIDATES`. The rest logs what Registrar uses: metrics to compare,
the data set as the run's input, a signature, an input example, and an owner.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from statistics import median
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from common import CATEGORIES, SEED, TARGET, TREES, load_data  # type: ignore[import-not-found]  # it is next to this file
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sqlalchemy.engine import make_url

TAGS = {"owner": "growth-analytics", "use_case": "customer churn, next 30 days"}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The estimator and parameters of one version."""

    estimator: type[ClassifierMixin]
    params: dict[str, Any]
    joined_too_late: bool = False


CANDIDATES = (
    Candidate(estimator=LogisticRegression, params={"C": 1.0}),
    Candidate(estimator=RandomForestClassifier, params={"n_estimators": 60, "max_depth": 8}),
    Candidate(estimator=GradientBoostingClassifier, params={"n_estimators": 60, "max_depth": 3}),
    Candidate(estimator=GradientBoostingClassifier, params={"n_estimators": 150, "max_depth": 2}),
    # Excellent in training, but bad in Production: see `join_too_late`.
    Candidate(estimator=GradientBoostingClassifier, params={"n_estimators": 150, "max_depth": 3}, joined_too_late=True),
)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One finished run, and the version that was registered from it (None without a registry)."""

    estimator: str
    run_id: str
    version: int | None
    metrics: dict[str, float]


def join_too_late(data: pd.DataFrame) -> pd.DataFrame:
    """Return the same customers with the support calls that the warehouse shows today, not on the prediction's day.

    This is a common mistake. Customers who left have since been deleted, as the law requires, and have no calls; the
    others kept calling. So the column reveals the answer, in the test set, too, but not in Production.
    """
    called_on = np.random.default_rng(SEED).poisson(2.0, len(data))
    calls = np.where(data[TARGET], 0.0, data["support_calls"] + called_on)
    return data.assign(support_calls=calls)


def split(data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    train_set, test_set = train_test_split(data, test_size=0.25, random_state=SEED, stratify=data[TARGET])
    return train_set, test_set


def build(candidate: Candidate) -> Pipeline:
    params = {"random_state": SEED, **candidate.params}
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), CATEGORIES), remainder=StandardScaler())
    return make_pipeline(encode, candidate.estimator(**params))


def evaluate(model: Pipeline, x: pd.DataFrame, y: "pd.Series[bool]") -> dict[str, float]:
    probability = model.predict_proba(x)[:, 1]
    predicted = probability >= 0.5
    return {
        "accuracy": float(accuracy_score(y, predicted)),
        "f1": float(f1_score(y, predicted)),
        "roc_auc": float(roc_auc_score(y, probability)),
        "log_loss": float(log_loss(y, probability)),
        "latency_ms": measure_latency_ms(model, x),
    }


def measure_latency_ms(model: Pipeline, x: pd.DataFrame, calls: int = 25) -> float:
    """Return the median time of a prediction for one customer, in milliseconds."""
    took = []
    for index in range(calls):
        customer = x.iloc[[index % len(x)]]
        started = time.perf_counter()
        model.predict_proba(customer)
        took.append(time.perf_counter() - started)
    return round(1_000 * median(took), 3)


def train_one(candidate: Candidate, data: pd.DataFrame, experiment_id: str, model_name: str | None) -> Trained:
    train_set, test_set = split(join_too_late(data) if candidate.joined_too_late else data)
    features = data.columns.drop(TARGET)
    name = candidate.estimator.__name__
    with mlflow.start_run(experiment_id=experiment_id, tags=TAGS, run_name=name) as run:
        for part, context in ((train_set, "training"), (test_set, "testing")):
            mlflow.log_input(from_pandas(part, name="churn", targets=TARGET), context=context)
        mlflow.log_params({"estimator": name, **candidate.params})
        model = build(candidate).fit(train_set[features], train_set[TARGET])
        metrics = evaluate(model, test_set[features], test_set[TARGET])
        mlflow.log_metrics(metrics)
        model_id = log_model(model, test_set[features])
        version = register(model_name, run.info.run_id, model_id) if model_name else None
    return Trained(estimator=name, run_id=run.info.run_id, version=version, metrics=metrics)


def log_model(model: Pipeline, x: pd.DataFrame) -> str:
    example = x.head(3)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        skops_trusted_types=TREES,
        # Explicit, because inferring them would load the model again in another process.
        pip_requirements=[f"{name}=={installed_version(name)}" for name in ("scikit-learn", "pandas")],
    )
    return str(info.model_id)


def register(model_name: str, run_id: str, model_id: str) -> int:
    """Register the next version and return its number. (`mlflow.register_model` does the same, but prints messages.)"""
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        model_name, source=f"models:/{model_id}", run_id=run_id, model_id=model_id, await_creation_for=0
    )
    return int(created.version)


def open_experiment(name: str) -> str:
    """Return the experiment's ID. Create it if necessary, with its files next to a SQLite registry."""
    found = mlflow.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    uri = mlflow.get_tracking_uri()
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    # By default, MLflow would put them into the current folder.
    files = Path(database).resolve().parent / "artifacts" if database else None
    return str(mlflow.create_experiment(name, artifact_location=files.as_uri() if files else None))


def train(
    candidates: Iterable[Candidate] = CANDIDATES,
    *,
    rows: int = 6_000,
    experiment: str = "churn",
    model_name: str | None = "churn",
) -> list[Trained]:
    """Train and log every candidate, and register each as a version of `model_name`, unless that's None."""
    data = load_data(rows)
    experiment_id = open_experiment(experiment)
    return [train_one(candidate, data, experiment_id, model_name) for candidate in candidates]


def as_table(trained: Sequence[Trained]) -> str:
    rows = [
        {"version": each.version or "-", "estimator": each.estimator, **each.metrics, "run": each.run_id}
        for each in trained
    ]
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train churn models and register them in MLflow.")
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument(
        "--register", action=argparse.BooleanOptionalAction, default=True, help="register each run as a version"
    )
    parser.add_argument(
        "--trap",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also train the version that looks excellent but is bad in Production",
    )
    parser.add_argument("--experiment", default="churn", help="the runs' experiment (default: churn)")
    parser.add_argument("--rows", type=int, default=6_000, help="how many customers (default: 6000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # MLflow logs the commit, and warns if there's no git
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    trained = train(
        [each for each in CANDIDATES if chosen.trap or not each.joined_too_late],
        rows=chosen.rows,
        experiment=chosen.experiment,
        model_name=chosen.model_name if chosen.register else None,
    )
    print(json.dumps([asdict(each) for each in trained], indent=2) if chosen.json else as_table(trained))


if __name__ == "__main__":
    main()
