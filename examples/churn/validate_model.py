"""Load a registered churn model in a process of its own, score customers that it was not trained on, and compare.

    python examples/churn/validate_model.py --version 4              # before anybody is asked
    python examples/churn/validate_model.py --version 4 --benchmark  # the same, and write down how fast it is
    python examples/churn/validate_model.py --deployed               # what models:/churn@champion and
                                                                     # models:/churn/Production give whoever loads them

What was measured at training was measured on a model in memory. Here the files are loaded that the registry hands out,
as whoever serves them does, and have to do as well on the same customers. Exit codes are as Registrar's:

    0  every metric is as it was logged
    1  one is not, or the model cannot be loaded or does not answer, or alias and stage name different versions
    2  what was typed is wrong: no such version, or none whose held-out customers can be found
    3  MLflow does not answer

Replace `held_out` to make it yours.
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
from train import (  # type: ignore[import-not-found]  # it lies beside this file
    TARGET,
    evaluate,
    join_too_late,
    load_data,
    measure_latency_ms,
    split,
)

PATIENCE = 300.0  # seconds in which a model has to be loaded and to answer
CALLS = 200  # predictions of a benchmark
LATENCY = "latency_ms"
DIFFERENT, WRONG, UNREACHABLE = 1, 2, 3  # exit codes
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's words; it has the second for an alias
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")


class NotValidError(Exception):
    """The model is not what was registered; its text is for people, and so is the exit code."""

    code = DIFFERENT


class NotFoundError(NotValidError):
    """There is nothing that could be validated."""

    code = WRONG


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What came of one model: what it does, and what the run says that it did."""

    model: str
    version: int
    run_id: str
    uri: str
    metrics: dict[str, float]
    logged: dict[str, float]
    latency_ms: float
    differs: dict[str, float]  # by how much, of each metric that is not as logged

    @property
    def sentence(self) -> str:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        head = f"{self.model} v{self.version}, loaded as {self.uri}: {shown}."
        if not self.differs:
            return f"{head} That is as it was logged. {self.latency_ms:.1f} ms for one customer."
        far = ", ".join(f"{name} by {gap:+.4f}" for name, gap in self.differs.items())
        return f"{head} That is not as it was logged: {far}. Do not promote it: look at what its files were made of."


# -- which version, and which customers --------------------------------------------------------------------------------


def find(client: mlflow.MlflowClient, name: str, word: str) -> ModelVersion:
    """Return the version that a word names: 7, v7, 2.1.0, @champion, staging or production."""
    if number := re.fullmatch(r"v?(\d+)", word):
        return client.get_model_version(name, number[1])
    if word.startswith("@"):
        return client.get_model_version_by_alias(name, word[1:])
    for one in client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"]):
        if word in (one.tags.get("semver"), (one.current_stage or "").lower()):
            return one
    raise NotFoundError(f"{name} has no version {word}. Write a number, a semver, @champion, staging or production.")


def held_out(run: Run) -> pd.DataFrame:
    """Return the customers on whom the run's metrics were measured: the very same, by the digest that it logged."""
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
        f"The customers on whom run {run.info.run_id} was measured cannot be had any more: train.py makes others now. "
        "Train anew, or check out the commit that the run names."
    )


def _tables(rows: int) -> Iterator[pd.DataFrame]:
    if rows:
        data = load_data(rows)
        yield data
        yield join_too_late(data)


# -- in a process of its own -------------------------------------------------------------------------------------------


def score(uri: str, tracking_uri: str, customers: pd.DataFrame, calls: int) -> dict[str, float]:
    """Load what the URI names and measure it, in a new process that dies with whatever a model does to it."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(theirs, uri, tracking_uri, customers, calls), daemon=True
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            raise NotValidError(f"{uri} did not answer within {PATIENCE:.0f} seconds.")
        answer = ours.recv()
    except EOFError:
        process.join()
        raise NotValidError(f"{uri} ended the process that loaded it (exit code {process.exitcode}).") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, str):
        raise NotValidError(f"{uri} cannot be used: {answer}")
    return dict(answer)


def _answer(there: Connection, uri: str, tracking_uri: str, customers: pd.DataFrame, calls: int) -> None:
    """Send the metrics, or a sentence that says what went wrong."""
    quieten()
    mlflow.set_tracking_uri(tracking_uri)
    try:
        model = mlflow.sklearn.load_model(uri)
        features = customers.drop(columns=TARGET)
        metrics = evaluate(model, features, customers[TARGET])
        there.send(metrics | {LATENCY: measure_latency_ms(model, features, calls)})
    except Exception as error:  # whatever it is, whoever asked should read it
        there.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


# -- one model ---------------------------------------------------------------------------------------------------------


def validate(
    client: mlflow.MlflowClient, version: ModelVersion, uri: str, *, tolerance: float, calls: int
) -> Validated:
    """Score what the URI gives, and compare it with what the version's run has logged."""
    if not version.run_id:
        raise NotFoundError(f"{version.name} v{version.version} was made of no run: there is nothing to compare with.")
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
    """Return by how much each metric is away from what was logged; NaN is away from everything."""
    gaps = {name: measured[name] - value for name, value in logged.items()}
    return {name: gap for name, gap in gaps.items() if not abs(gap) <= tolerance}


def chosen_models(client: mlflow.MlflowClient, chosen: argparse.Namespace) -> Iterator[tuple[ModelVersion, str]]:
    """Yield the versions to look at, and the URI by which each is loaded. Raises NotValidError where two disagree."""
    name = chosen.model_name
    if not chosen.deployed:
        version = find(client, name, chosen.version.lower())
        yield version, f"models:/{name}/{version.version}"
        return
    champion, production = find(client, name, f"@{chosen.alias}"), find(client, name, "production")
    if champion.version != production.version:
        raise NotValidError(
            f"{chosen.alias} is v{champion.version} and Production is v{production.version}: whoever loads one gets "
            "another model than whoever loads the other. Registrar's channel has a button that mends it."
        )
    yield champion, f"models:/{name}@{chosen.alias}"
    yield production, f"models:/{name}/Production"


def write_down(client: mlflow.MlflowClient, found: Validated) -> None:
    """Write the benchmark's latency to the run, where the gates and the comparison find it."""
    client.log_metric(found.run_id, LATENCY, found.latency_ms)


# -- the terminal ------------------------------------------------------------------------------------------------------


def quieten() -> None:
    """Let MLflow say nothing between our lines, and give up in a minute where nobody answers."""
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
    """Say to the steps after this one, where GitHub Actions runs us, what `registrar promote --validation` takes."""
    if file := os.environ.get("GITHUB_OUTPUT"):
        results = ",".join(f"{name}={value:.6g}" for name, value in found.metrics.items())
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(f"validation={results}\nversion={found.version}\n")


def explain(error: MlflowException) -> int:
    """Say what MLflow said, and what to do about it; return the exit code."""
    said = str(error).splitlines()[0][:300]
    if error.error_code in _ABSENT:
        print(f"MLflow has no such model: {said}", file=sys.stderr)
        return WRONG
    if error.error_code in _REFUSED:
        print(f"MLflow lets nobody see it without the right MLFLOW_TRACKING_USERNAME: {said}", file=sys.stderr)
        return WRONG
    print(f"MLflow does not answer. Check MLFLOW_TRACKING_URI, and try again. ({said})", file=sys.stderr)
    return UNREACHABLE


def as_document(found: Validated) -> dict[str, Any]:
    return asdict(found) | {"passed": not found.differs, "sentence": found.sentence}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Load a registered churn model, score it, and compare.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--version", help="7, v7, 2.1.0, @champion, staging or production")
    which.add_argument("--deployed", action="store_true", help="what the alias and the stage Production give, both")
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument("--alias", default="champion", help="the alias on Production (default: champion)")
    parser.add_argument("--tolerance", type=float, default=0.001, help="how far a metric may be away (default: 0.001)")
    parser.add_argument(
        "--benchmark", action="store_true", help=f"time {CALLS} predictions, write {LATENCY} to the run"
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
