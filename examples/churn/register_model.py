"""Register the runs from train.py as versions of one model: the best run, or all of them.

    python examples/churn/train.py --no-register --json > trained.json
    python examples/churn/register_model.py trained.json --metric f1

It calls `registrar register`, which proposes each version's semver with a reason, and records the requester in the
audit log. So the exit codes are Registrar's. With REGISTRAR_URL set, as in CI, it uses the running bot.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Trained = dict[str, Any]  # a run in train.py's JSON: estimator, run_id, version, metrics
WRONG = 2  # the exit code for wrong arguments or configuration


class NotPossibleError(Exception):
    """Nothing can be registered. The message is for people."""


def read(file: str) -> list[Trained]:
    """Return the runs that train.py printed. Raises NotPossibleError for any other content."""
    try:
        runs = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
        found = [{**run, "run_id": str(run["run_id"]), "metrics": dict(run["metrics"])} for run in runs]
    except OSError as error:
        raise NotPossibleError(f"Can't read {file}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotPossibleError(f"{file} isn't the output of train.py --json.") from error
    if not found:
        raise NotPossibleError(f"{file} has no runs. Train some first: train.py --no-register --json")
    return found


def best(runs: Sequence[Trained], metric: str, *, lowest: bool) -> Trained:
    """Return the run with the best value, the first one if several are equal. A missing value or NaN never wins."""
    having = [run for run in runs if math.isfinite(run["metrics"].get(metric, math.nan))]
    if not having:
        raise NotPossibleError(f"No run has the metric {metric}. Use --metric with one that train.py prints.")
    return (min if lowest else max)(having, key=lambda run: run["metrics"][metric])


def register(run: Trained, chosen: argparse.Namespace) -> dict[str, Any]:
    """Register this run with Registrar, and return its document. Raises CalledProcessError if `registrar` fails."""
    flags = [f"--tag={tag}" for tag in chosen.tag]
    if chosen.description:
        flags.append(f"--description={chosen.description}")
    words = ["register", "--run-id", run["run_id"], "--model-name", chosen.model_name, *flags, "--json"]
    said = subprocess.run([find_registrar(), *words], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    document: dict[str, Any] = json.loads(said.stdout)
    return document


def find_registrar() -> str:
    """Return the path of the `registrar` command: on the PATH, or else next to this Python."""
    found = shutil.which("registrar") or shutil.which("registrar", path=str(Path(sys.executable).parent))
    if found is None:
        raise NotPossibleError("The registrar command isn't installed. Install it with: make demo-install")
    return found


def tell_later_steps(**outputs: object) -> None:
    """Pass the results to later steps, if this runs in GitHub Actions."""
    if file := os.environ.get("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.writelines(f"{name}={value}\n" for name, value in outputs.items())


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Register the best of train.py's runs, or all of them.")
    parser.add_argument("trained", help="the output of train.py --json: a file, or - for standard input")
    parser.add_argument("--all", action="store_true", help="register every run, not only the best")
    parser.add_argument("--metric", default="f1", help="the metric that decides which run is best (default: f1)")
    parser.add_argument("--lowest", action="store_true", help="the lowest value is best")
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument("--description", default="", help="what's new in this version")
    parser.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag; can be repeated")
    parser.add_argument("--json", action="store_true", help="print the JSON from registrar register")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse_arguments(arguments)
    documents = []
    try:
        runs = read(chosen.trained)
        for run in runs if chosen.all else [best(runs, chosen.metric, lowest=chosen.lowest)]:
            documents.append(register(run, chosen))
            print(documents[-1]["sentence"], file=sys.stderr if chosen.json else sys.stdout, flush=True)
    except NotPossibleError as error:
        print(error, file=sys.stderr)
        return WRONG
    except subprocess.CalledProcessError as error:  # Registrar has printed the reason
        return int(error.returncode)
    tell_later_steps(version=documents[-1]["version"], run_id=documents[-1]["run_id"])
    if chosen.json:
        print(json.dumps(documents if chosen.all else documents[0], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
