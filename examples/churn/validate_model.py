"""Load a registered churn model in its own process, score customers that it wasn't trained on, and compare the metrics.

    python examples/churn/validate_model.py --version 4              # before a request
    python examples/churn/validate_model.py --version 4 --benchmark  # also log its latency
    python examples/churn/validate_model.py --deployed               # the models that models:/churn@champion and
                                                                     # models:/churn/Production load

Training measured a model in memory. This script loads the registered files, as a serving system does, and checks that
they perform as well on the same customers. The exit codes are like Registrar's:

    0  every metric is as logged
    1  a metric differs, the model doesn't load or answer, or the alias and the stage name different versions
    2  wrong arguments: no such version, or its held-out customers can't be found
    3  MLflow isn't responding

To adapt it, replace `held_out`.
"""

import argparse
import json
import logging
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from train import (  # type: ignore[import-not-found]  # it is next to this file
    TARGET,
    evaluate,
    join_too_late,
    load_data,
    measure_latency_ms,
    split,
)

PATIENCE = 300.0  # seconds in which a model must load and answer
CALLS = 200  # predictions in a benchmark
LATENCY = "latency_ms"
DIFFERENT, WRONG, UNREACHABLE = 1, 2, 3  # exit codes
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's error codes; the second is for an alias
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")


class NotValidError(Exception):
    """The model doesn't perform as registered. The message is for people; `code` is the exit code."""

    code = DIFFERENT


class NotFoundError(NotValidError):
    """There's nothing to validate."""

    code = WRONG


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The result for one model: its measured metrics, and those that its run logged."""

    model: str
    version: int
    run_id: str
    uri: str
    metrics: dict[str, float]
    logged: dict[str, float]
    latency_ms: float
    differs: dict[str, float]  # the difference of each metric that isn't as logged

    @property
    def sentence(self) -> str:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        head = f"{self.model} v{self.version}, loaded as {self.uri}: {shown}."
        if not self.differs:
            return f"{head} These match the logged metrics. Latency: {self.latency_ms:.1f} ms for one customer."
        far = ", ".join(f"{name} by {gap:+.4f}" for name, gap in self.differs.items())
        return (
            f"{head} These differ from the logged metrics: {far}. Don't promote it: check how its files were created."
        )


# -- which version, and which customers --------------------------------------------------------------------------------


def find(client: mlflow.MlflowClient, name: str, word: str) -> ModelVersion:
    """Return the version that a word names: 7, v7, 2.1.0, @champion, staging, or production."""
    if number := re.fullmatch(r"v?(\d+)", word):
        return client.get_model_version(name, number[1])
    if word.startswith("@"):
        return client.get_model_version_by_alias(name, word[1:])
    for one in client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"]):
        if word in (one.tags.get("semver"), (one.current_stage or "").lower()):
            return one
    raise NotFoundError(f"{name} has no version {word}. Try a number, a semver, @champion, staging, or production.")


def held_out(run: Run) -> pd.DataFrame:
    """Return the customers that the run's metrics were measured on, identified by the digest that it logged."""
    sizes = {
        tag.value: (json.loads(each.dataset.profile or "{}").get("num_rows", 0), each.dataset.digest)
        for each in (run.inputs.dataset_inputs if run.inputs else ())
        for tag in each.tags
    }
    rows, (_, digest) = sum(count for count, _ in sizes.values()), sizes.get("testing", (0, ""))
    for data in _tables(rows):
        test_set: pd.DataFrame = split(data)[1]
        if from_pandas(test_set, name="churn", targets=TARGET).digest == digest:
            return test_set
    raise NotFoundError(
        f"Can't recreate the customers for run {run.info.run_id}: train.py has changed since. "
        "Train again, or check out the run's commit."
    )


def _tables(rows: int) -> Iterator[pd.DataFrame]:
    if rows:
        data = load_data(rows)
        yield data
        yield join_too_late(data)


# -- in a separate process ---------------------------------------------------------------------------------------------


def score(uri: str, tracking_uri: str, customers: pd.DataFrame, calls: int) -> dict[str, float]:
    """Load the URI's model and measure it, in a new process, so that a model can crash only that process."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(theirs, uri, tracking_uri, customers, calls), daemon=True
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            raise NotValidError(f"{uri} didn't answer within {PATIENCE:.0f} seconds.")
        answer = ours.recv()
    except EOFError:
        process.join()
        raise NotValidError(f"{uri} crashed the process that loaded it (exit code {process.exitcode}).") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, str):
        raise NotValidError(f"Can't use {uri}: {answer}")
    return dict(answer)


def _answer(there: Connection, uri: str, tracking_uri: str, customers: pd.DataFrame, calls: int) -> None:
    """Send the metrics, or an error message."""
    quieten()
    mlflow.set_tracking_uri(tracking_uri)
    try:
        model = mlflow.sklearn.load_model(uri)
        features = customers.drop(columns=TARGET)
        metrics = evaluate(model, features, customers[TARGET])
        there.send(metrics | {LATENCY: measure_latency_ms(model, features, calls)})
    except Exception as error:  # whatever it is, the parent process must report it
        there.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


# -- one model ---------------------------------------------------------------------------------------------------------


def validate(
    client: mlflow.MlflowClient, version: ModelVersion, uri: str, *, tolerance: float, calls: int
) -> Validated:
    """Score the URI's model, and compare the metrics with those that the version's run logged."""
    if not version.run_id:
        raise NotFoundError(f"{version.name} v{version.version} has no run, so there's nothing to compare it with.")
    run = client.get_run(version.run_id)
    measured = score(uri, mlflow.get_tracking_uri(), held_out(run), calls)
    latency = measured.pop(LATENCY)
    logged = {name: value for name, value in run.data.metrics.items() if name in measured}
    return Validated(
        model=version.name,
        version=int(version.version),
        run_id=version.run_id,
        uri=uri,
        metrics=measured,
        logged=logged,
        latency_ms=latency,
        differs=different(measured, logged, tolerance),
    )


def different(measured: Mapping[str, float], logged: Mapping[str, float], tolerance: float) -> dict[str, float]:
    """Return each metric's difference from its logged value, if it's over `tolerance` or NaN."""
    gaps = {name: measured[name] - value for name, value in logged.items()}
    return {name: gap for name, gap in gaps.items() if not abs(gap) <= tolerance}


def chosen_models(client: mlflow.MlflowClient, chosen: argparse.Namespace) -> Iterator[tuple[ModelVersion, str]]:
    """Yield each version to validate, and its URI. Raises NotValidError if the alias and the stage disagree."""
    name = chosen.model_name
    if not chosen.deployed:
        version = find(client, name, chosen.version.lower())
        yield version, f"models:/{name}/{version.version}"
        return
    champion, production = find(client, name, f"@{chosen.alias}"), find(client, name, "production")
    if champion.version != production.version:
        raise NotValidError(
            f"{chosen.alias} is v{champion.version}, but Production is v{production.version}, so they load different "
            "models. Use the button in Registrar's channel to fix it."
        )
    yield champion, f"models:/{name}@{chosen.alias}"
    yield production, f"models:/{name}/Production"


def write_down(client: mlflow.MlflowClient, found: Validated) -> None:
    """Log the benchmark's latency to the run, for the gates and the comparison."""
    client.log_metric(found.run_id, LATENCY, found.latency_ms)


# -- the terminal ------------------------------------------------------------------------------------------------------


def quieten() -> None:
    """Keep MLflow from printing between this script's lines, and let it give up after a minute without an answer."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    for name, value in {
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)


def tell_later_steps(found: Validated) -> None:
    """Pass the input of `registrar promote --validation` to later steps, if this runs in GitHub Actions."""
    if file := os.environ.get("GITHUB_OUTPUT"):
        results = ",".join(f"{name}={value:.6g}" for name, value in found.metrics.items())
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(f"validation={results}\nversion={found.version}\n")


def explain(error: MlflowException) -> int:
    """Print MLflow's error and the next step; return the exit code."""
    said = str(error).splitlines()[0][:300]
    if error.error_code in _ABSENT:
        print(f"MLflow has no such model: {said}", file=sys.stderr)
        return WRONG
    if error.error_code in _REFUSED:
        print(f"MLflow denied access. Check MLFLOW_TRACKING_USERNAME: {said}", file=sys.stderr)
        return WRONG
    print(f"MLflow isn't responding. Check MLFLOW_TRACKING_URI, and try again. ({said})", file=sys.stderr)
    return UNREACHABLE


def as_document(found: Validated) -> dict[str, Any]:
    return asdict(found) | {"passed": not found.differs, "sentence": found.sentence}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Load a registered churn model, score it, and compare its metrics.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--version", help="7, v7, 2.1.0, @champion, staging, or production")
    which.add_argument(
        "--deployed", action="store_true", help="the models that the alias and the Production stage load"
    )
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument("--alias", default="champion", help="the alias on Production (default: champion)")
    parser.add_argument(
        "--tolerance", type=float, default=0.001, help="largest difference of a metric (default: 0.001)"
    )
    parser.add_argument(
        "--benchmark", action="store_true", help=f"time {CALLS} predictions, and log {LATENCY} to the run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse_arguments(arguments)
    quieten()
    client, found = mlflow.MlflowClient(), []
    calls = CALLS if chosen.benchmark else 25
    try:
        for version, uri in chosen_models(client, chosen):
            found.append(validate(client, version, uri, tolerance=chosen.tolerance, calls=calls))
            if chosen.benchmark:
                write_down(client, found[-1])
            print(found[-1].sentence, file=sys.stderr if chosen.json else sys.stdout, flush=True)
    except NotValidError as error:
        print(error, file=sys.stderr)
        return error.code
    except MlflowException as error:
        return explain(error)
    tell_later_steps(found[-1])
    if chosen.json:
        print(json.dumps([as_document(one) for one in found] if chosen.deployed else as_document(found[0]), indent=2))
    return DIFFERENT if any(one.differs for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
