"""Serve the churn model that's in Production, and push its metrics to Registrar.

    MLFLOW_TRACKING_URI=sqlite:///churn.db REGISTRAR_URL=http://127.0.0.1:3000 REGISTRAR_TOKEN=… \\
        python examples/churn/serve.py --port 8080

It scores customers, finds out a moment later who actually left, and pushes accuracy, f1, and latency_ms. When another
version enters Production, it loads that one; `GET /version` returns the version that serves. Without REGISTRAR_URL, it
pushes nothing.

With --keep FOLDER, it keeps a copy of the model that serves, and serves it right away at the next start, without
waiting for MLflow, which takes seconds to import and can be unavailable.

With --trust KEY.pub, it loads only files that were approved in Registrar, as a passport signed with that key says. It
refuses any others, and the current model keeps serving. If Registrar is down, a kept copy serves for --grace DAYS.

With --end-with-stdin, the line `break 4` on standard input makes version 4 wrong until another version replaces it.

To adapt it, replace `arriving` with your own requests and answers.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pandas as pd
from common import TARGET, TREES, load_data  # type: ignore[import-not-found]  # it is next to this file
from sklearn.metrics import accuracy_score, f1_score
from skops.io import load

CUSTOMERS = 1_000  # in one round: enough to measure accuracy to within a percent
DEARER = 0.01  # how much more everyone pays with each round, to simulate drift
DEAREST = 2.0  # the limit of that drift: a good model stays good, however long this runs
LOOK = 1.0  # seconds between two checks of which version is in Production
TRIES = 4  # attempts at one push
PATIENCE = 10.0  # seconds to wait for one answer
REFRESH = 600.0  # seconds after which the kept passport's status is fetched again; less than its lifetime

Tell = Callable[[str], None]


# -- which version serves ----------------------------------------------------------------------------------------------


@dataclass
class Served:
    """The model that serves. It's replaced as one object, so running predictions aren't affected."""

    version: int
    model: Any


class Mlflow:
    """The registry. MLflow is imported at the first call, so that a kept model can serve before that."""

    @cached_property
    def _client(self) -> Any:
        import mlflow  # noqa: PLC0415 - it takes seconds

        return mlflow.MlflowClient()

    def in_production(self, name: str, alias: str) -> int | None:
        """Return the version that has the alias, or else the one in the Production stage; None if there's none."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        try:
            return int(self._client.get_model_version_by_alias(name, alias).version)
        except MlflowException:  # the alias or the model doesn't exist
            found = self._client.search_model_versions(f"name = '{name}'")
            return max((int(one.version) for one in found if one.current_stage == "Production"), default=None)

    def files(self, name: str, version: int, folder: Path) -> Path:
        """Download a version's files to a folder; return the one that they're in."""
        import mlflow  # noqa: PLC0415 - as above

        return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(folder)))

    def load(self, files: Path) -> Any:
        """Return the model in these files."""
        from mlflow.sklearn import load_model  # noqa: PLC0415 - as above

        return load_model(str(files))  # type: ignore[no-untyped-call]


class Trust:
    """Says whether files were approved in Registrar. It raises NotVerified if they weren't.

    To adapt this, copy registrar/verifier.py next to this file. `keys` are the trusted public keys. If Registrar is
    down, a kept passport's status is accepted for `grace` after it expired.
    """

    def __init__(self, keys: Sequence[Path], url: str, token: str, grace: timedelta = timedelta(0)) -> None:
        from registrar import verifier  # noqa: PLC0415 - only with --trust

        self._verifier, self._keys, self._grace = verifier, keys, grace
        self._registrar = verifier.Verifier(keys, url, token=token)

    def passport(self, name: str, version: int) -> Any:
        """Return the valid passport of a version in Production, with the files that it's for."""
        return self._registrar.check_passport(model=name, version=version)

    def compare(self, passport: Any, files: Path) -> None:
        """Compare a folder with the files in the passport."""
        self._verifier.compare(passport, self._verifier.hash_folder(files))

    def check_kept(self, name: str, version: int, files: Path, bundle: Path) -> None:
        """Verify a kept copy. `bundle` is used if Registrar is down."""
        try:
            passport = self.passport(name, version)
        except self._verifier.NotVerified as refused:
            if refused.code != "unreachable":
                raise
            offline = self._verifier.Verifier(self._keys, bundle, grace=self._grace)
            passport = offline.check_passport(model=name, version=version)
        self.compare(passport, files)


@dataclass
class Serving:
    """The version that serves now. `follow` loads the version that's in Production.

    `keep` is the folder for a copy of the model; None keeps no copy. `trust` says which files can be loaded; None
    trusts MLflow. `broken` is the version that's wrong on purpose; it's forgotten once another version replaces it.
    """

    name: str
    alias: str = "champion"
    tell: Tell = print
    registry: Any = field(default_factory=Mlflow)
    keep: Path | None = None
    trust: Trust | None = None
    now: Served | None = None
    broken: int | None = None

    def resume(self) -> None:
        """Serve the kept model. If there's none, or it can't be loaded, nothing serves until `follow`."""
        for kept in self._kept():
            try:
                version = int(kept.name.rpartition("-")[2])
                with TemporaryDirectory() as folder:  # as in `follow`
                    files = shutil.copytree(kept / "files", Path(folder, "files"), symlinks=True)
                    if self.trust:
                        self.trust.check_kept(self.name, version, files, kept / "bundle.json")
                    self._serve(version, load(files / "model.skops", trusted=TREES))
            except Exception as error:  # from another scikit-learn, incomplete, or refused: MLflow has the original
                self.tell(f"can't load {kept}: {type(error).__name__}: {error}")

    def follow(self) -> None:
        """Load the version in Production, unless it already serves. If that fails, the current one keeps serving."""
        try:
            version = self.registry.in_production(self.name, self.alias)
            if version is None:
                return
            if self.now and version == self.now.version:
                self._refresh(version)
                return
            passport = self.trust.passport(self.name, version) if self.trust else None
            with TemporaryDirectory() as folder:  # our own copy: nobody changes it between the check and the load
                files = self.registry.files(self.name, version, Path(folder))
                if self.trust:
                    self.trust.compare(passport, files)
                self._serve(version, self.registry.load(files))
                self._keep(version, files, passport)
        except Exception as error:  # something is down, missing, or refused: keep serving, and try again
            self.tell(f"can't load the Production version: {type(error).__name__}: {str(error).splitlines()[0]}")

    def follow_until(self, ended: threading.Event) -> None:
        """Follow once a second."""
        while not ended.wait(LOOK):
            self.follow()

    def _serve(self, version: int, model: Any) -> None:
        before, self.now = self.now, Served(version, model)
        if before and before.version == self.broken:
            self.broken = None
        self.tell(f"serving {self.name} v{version}" + (f" instead of v{before.version}" if before else ""))

    def _kept(self) -> list[Path]:
        return sorted(self.keep.glob(f"{self.name}-*[0-9]")) if self.keep else []

    def _keep(self, version: int, files: Path, passport: Any) -> None:
        """Keep a copy of the files, replacing the previous one, and of what verifies them offline."""
        if self.keep is None or not (files / "model.skops").exists():
            return
        before, half = self._kept(), self.keep / "half"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(files, half / "files")
        if passport:
            (half / "bundle.json").write_text(json.dumps(passport.bundle), encoding="utf-8")
        for one in before:
            shutil.rmtree(one)
        half.replace(self.keep / f"{self.name}-{version}")

    def _refresh(self, version: int) -> None:
        """Fetch the kept passport's status again from time to time, so that grace begins when Registrar goes down."""
        bundle = self.keep / f"{self.name}-{version}" / "bundle.json" if self.keep and self.trust else None
        if self.trust and bundle and bundle.exists() and time.time() - bundle.stat().st_mtime > REFRESH:
            os.utime(bundle)  # whatever comes, not again right away
            text = json.dumps(self.trust.passport(self.name, version).bundle)
            half = bundle.with_name("half")
            half.write_text(text, encoding="utf-8")
            half.replace(bundle)


def answer_probes(serving: Serving, port: int) -> ThreadingHTTPServer:
    """Answer `GET /version` on this machine, on a thread. Raises OSError if the port is in use."""

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = serving.now
            is_there = self.path == "/version" and now is not None
            body = json.dumps({"model": serving.name, "version": now.version if now and is_there else None}).encode()
            self.send_response(200 if is_there else 404 if now else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing, because probes come every second."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Probe)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="version", daemon=True).start()
    return server


# -- metrics -----------------------------------------------------------------------------------------------------------


@dataclass
class Scored:
    """The model's predictions for some customers, and the answers, which come later."""

    version: int
    predicted: Any
    truth: "pd.Series[bool]"
    took_ms: float  # for one customer


def arriving(seed: int, round_number: int) -> pd.DataFrame:
    """Return one round's customers, with the answers: like the training data, but paying a little more each time."""
    customers: pd.DataFrame = load_data(CUSTOMERS, seed=seed + round_number, dearer=min(DEARER * round_number, DEAREST))
    return customers


def score(served: Served, customers: pd.DataFrame, *, is_broken: bool = False) -> Scored:
    """Score customers. A broken version gets their tenure in years instead of months, which is easy to overlook."""
    features = customers.drop(columns=TARGET)
    if is_broken:
        features["tenure"] /= 12
    began = time.perf_counter()
    predicted = served.model.predict(features)
    took = (time.perf_counter() - began) * 1_000 / len(customers)
    return Scored(served.version, predicted, customers[TARGET], took)


def measured(scored: Scored) -> dict[str, float]:
    return {
        "accuracy": float(accuracy_score(scored.truth, scored.predicted)),
        "f1": float(f1_score(scored.truth, scored.predicted, zero_division=0.0)),
        "latency_ms": scored.took_ms,
    }


# -- pushing to Registrar ----------------------------------------------------------------------------------------------


@dataclass
class Registrar:
    """Pushes metrics to Registrar. `source` is a source of type push in its policy."""

    url: str
    token: str
    source: str = "live"
    web: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=PATIENCE))
    wait: Callable[[float], object] = time.sleep

    def push(self, name: str, version: int, metrics: Mapping[str, float], at: datetime) -> str:
        """Push a version's metrics; return the result as text. It never raises.

        A retry with the same body and key is safe: Registrar stores the readings only once.
        """
        readings = [
            {"model": name, "version": version, "metric": metric, "value": value, "at": at.isoformat()}
            for metric, value in metrics.items()
        ]
        body = json.dumps({"source": self.source, "readings": readings}).encode()
        key, said = str(uuid.uuid4()), ""
        for attempt in range(TRIES):
            if attempt:
                self.wait(0.5 * 2 ** (attempt - 1))
            try:
                answer = self.web.post(f"{self.url}/v1/metrics", content=body, headers=self._headers(body, key))
            except httpx2.HTTPError as error:
                said = f"not pushed: {type(error).__name__}"
                continue
            if answer.is_success:
                return "pushed"
            said = f"not pushed: {answer.status_code} {answer.text[:300]}"
            if answer.status_code < 500 and answer.status_code != 429:
                break  # a retry would get the same answer
        return said

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        stamp = str(int(time.time()))
        signature = hmac.new(self.token.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "X-Registrar-Timestamp": stamp,
            "X-Registrar-Signature": f"v1={signature}",
        }


# -- the loop ----------------------------------------------------------------------------------------------------------


def serve(
    serving: Serving,
    registrar: Registrar | None,
    *,
    every: float,
    seed: int,
    rounds: int | None,
    ended: threading.Event,
) -> None:
    """Score a round, and push the metrics of the previous round, until `ended` is set or `rounds` are done."""
    waiting: Scored | None = None
    number = 0
    while rounds is None or number < rounds:
        if serving.now is None:
            serving.tell(f"no version of {serving.name} is in Production yet")
        else:
            if waiting is not None:
                metrics = measured(waiting)
                came = registrar.push(serving.name, waiting.version, metrics, datetime.now(UTC)) if registrar else ""
                figures = "  ".join(f"{metric} {value:.3f}" for metric, value in metrics.items())
                serving.tell(f"{serving.name} v{waiting.version}: {figures}  {came}".rstrip())
            served = serving.now
            waiting = score(served, arriving(seed, number), is_broken=served.version == serving.broken)
            number += 1
        if ended.wait(every if number > 1 else 0.0):  # the first round's answers come right away
            return


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the churn model in Production, and push its metrics.")
    parser.add_argument("--model-name", default="churn", help="the registered model (default: churn)")
    parser.add_argument("--alias", default="champion", help="the Production alias; if it isn't set, the stage is used")
    parser.add_argument("--source", default="live", help="the push source in Registrar's policy (default: live)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two rounds (default: 5)")
    parser.add_argument("--port", type=int, default=8080, help="the port for GET /version (default: 8080)")
    parser.add_argument("--seed", type=int, default=1, help="the seed for the customers (default: 1)")
    parser.add_argument("--rounds", type=int, help="stop after this many rounds (default: never)")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep a copy of the model there, and serve it at the next start"
    )
    parser.add_argument(
        "--trust", type=Path, action="append", metavar="KEY.pub", help="load only what was approved in Registrar"
    )
    parser.add_argument("--grace", type=float, default=2.0, help="with --trust: days that Registrar can be down")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="stop when standard input ends; `break 4` there breaks version 4"
    )
    return parser.parse_args(arguments)


def follow_stdin(serving: Serving, ended: threading.Event, descriptor: int = 0) -> None:
    """Follow the lines of standard input until it ends. Not sys.stdin: its lock would keep the interpreter from ending.

    The demo writes each line at once, so one read never returns half of it.
    """
    while received := os.read(descriptor, 1024):
        for version in re.findall(rb"^break (\d+)$", received, re.MULTILINE):
            serving.broken = int(version)
            serving.tell(f"breaking {serving.name} v{serving.broken}: it gets each tenure in years instead of months")
    ended.set()


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse_arguments(arguments)
    url, token = os.environ.get("REGISTRAR_URL", "").rstrip("/"), os.environ.get("REGISTRAR_TOKEN", "")
    if url and not token:
        print("REGISTRAR_TOKEN isn't set. Set it to the client's token, or unset REGISTRAR_URL.", file=sys.stderr)
        return 2
    if chosen.trust and not url:
        print("REGISTRAR_URL isn't set. With --trust, set it to the bot's address.", file=sys.stderr)
        return 2
    registrar = Registrar(url, token, chosen.source) if url else None
    try:
        trust = Trust(chosen.trust, url, token, timedelta(days=chosen.grace)) if chosen.trust else None
    except Exception as error:  # a key can't be read
        print(error, file=sys.stderr)
        return 2
    serving = Serving(chosen.model_name, chosen.alias, _say, keep=chosen.keep, trust=trust)
    ended = threading.Event()
    try:
        answer_probes(serving, chosen.port)
    except OSError as error:
        print(f"Can't use port {chosen.port}: {error.strerror}. Choose another with --port.", file=sys.stderr)
        return 2
    if chosen.end_with_stdin:
        threading.Thread(target=follow_stdin, args=(serving, ended), name="stdin", daemon=True).start()
    try:
        serving.resume()
        if serving.now is None:
            serving.follow()
        threading.Thread(target=serving.follow_until, args=(ended,), name="follow", daemon=True).start()
        serve(serving, registrar, every=chosen.every, seed=chosen.seed, rounds=chosen.rounds, ended=ended)
    except KeyboardInterrupt:
        return 0
    finally:
        ended.set()
    return 0


if __name__ == "__main__":
    sys.exit(main())
