"""Register what train.py has trained as versions of one model: the best of the runs, or all of them.

    python examples/churn/train.py --no-register --json > trained.json
    python examples/churn/register_model.py trained.json --metric f1

It asks `registrar register`, which proposes each version's semver and says why, and keeps who asked in its audit. So
the exit codes are Registrar's, and with REGISTRAR_URL and REGISTRAR_TOKEN set a running bot is asked, as CI does.
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

Trained = dict[str, Any]  # what train.py --json says of a run: estimator, run_id, version, metrics
WRONG = 2  # the exit code for what was typed or configured wrongly


class NotPossibleError(Exception):
    """Nothing can be registered; its text is for people."""


def read(file: str) -> list[Trained]:
    """Return what train.py printed. Raises NotPossibleError where it is something else."""
    try:
        runs = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
        found = [{**run, "run_id": str(run["run_id"]), "metrics": dict(run["metrics"])} for run in runs]
    except OSError as error:
        raise NotPossibleError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotPossibleError(f"{file} is not what train.py --json prints.") from error
    if not found:
        raise NotPossibleError(f"{file} holds no run. Train some first: train.py --no-register --json")
    return found


def best(runs: Sequence[Trained], metric: str, *, lowest: bool) -> Trained:
    """Return the run with the best value. One that lacks it, or has NaN, never wins; of equals the first does."""
    having = [run for run in runs if math.isfinite(run["metrics"].get(metric, math.nan))]
    if not having:
        raise NotPossibleError(f"No run has the metric {metric}. Name one that train.py prints with --metric.")
    return (min if lowest else max)(having, key=lambda run: run["metrics"][metric])


def register(run: Trained, chosen: argparse.Namespace) -> dict[str, Any]:
    """Ask Registrar for a version of this run, and return its document. Raises CalledProcessError where it says no."""
    flags = [f"--tag={tag}" for tag in chosen.tag]
    if chosen.description:
        flags.append(f"--description={chosen.description}")
    words = ["register", "--run-id", run["run_id"], "--model-name", chosen.model_name, *flags, "--json"]
    said = subprocess.run([find_registrar(), *words], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    document: dict[str, Any] = json.loads(said.stdout)
    return document


def find_registrar() -> str:
    """Return the command: the one on the PATH, else the one beside this Python."""
    found = shutil.which("registrar") or shutil.which("registrar", path=str(Path(sys.executable).parent))
    if found is None:
        raise NotPossibleError("There is no command registrar here. Install it with: make install")
    return found


def tell_later_steps(**outputs: object) -> None:
    """Say what came out to the steps after this one, where GitHub Actions runs us."""
    if file := os.environ.get("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.writelines(f"{name}={value}\n" for name, value in outputs.items())


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Register the best of the runs that train.py has trained, or all.")
    parser.add_argument("trained", help="what train.py --json printed: a file, or - for standard input")
    parser.add_argument("--all", action="store_true", help="register each of the runs, not only the best")
    parser.add_argument("--metric", default="f1", help="which metric says which is the best (default: f1)")
    parser.add_argument("--lowest", action="store_true", help="the lowest value is the best")
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument("--description", default="", help="what is new")
    parser.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag; can be given again")
    parser.add_argument("--json", action="store_true", help="print the documents of registrar register")
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
    except subprocess.CalledProcessError as error:  # Registrar has said why
        return int(error.returncode)
    tell_later_steps(version=documents[-1]["version"], run_id=documents[-1]["run_id"])
    if chosen.json:
        print(json.dumps(documents if chosen.all else documents[0], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
