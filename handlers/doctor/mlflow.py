"""Checks of MLflow: does it answer, its version, its speed, and, with `live`, whether we can write."""

from __future__ import annotations

import os
import re
import secrets
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from urllib.parse import urlsplit

import httpx

from bot.bootstrap.storage import open_registry
from bot.domain.core.errors import Misconfigured, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.numbers import pluralize
from bot.domain.policy.policy import Policy
from bot.registry.mlflow.adapter import MlflowVariables
from bot.registry.mlflow.probe import CleanupFailed, MlflowProbe, ProbeResponse
from bot.settings import Settings
from handlers.doctor.check import (
    CheckSkippedError,
    Diagnosis,
    DoctorCheck,
    check_clock,
    display_url,
    error_sentence,
    failure,
    join_names,
    ok,
    warning,
)

MAX_ROUNDS = 30  # the system acknowledges the first answers of a connection at once, so the pause shows only later
MAX_MEASURE_SECONDS = 2.5  # seconds at most
NEAR_SECONDS = 0.010  # seconds in which a server of the same room answers a knock
PAUSE_SECONDS = 0.030  # seconds that an answer takes beyond the connection: MLflow's default server pauses for 40 ms
SLOW_LOGIN_SECONDS = 0.150  # MLflow's basic auth takes 240 ms to check a password
MAX_MANAGED_MODELS = 20  # models for which we try whether we can manage them


def mlflow_checks(
    settings: Settings, policy: Policy | None, *, live: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[DoctorCheck]:
    """Return the checks of MLflow, or of another registry that the settings name. `now`: our clock."""
    if settings.registry != "mlflow":
        advice = "docs/registries.md says what the adapter has to do."
        return [DoctorCheck("registry", lambda: [_check_models(settings, "The registry")], advice, timeout=20)]
    turn, variables = Lock(), MlflowVariables(os.environ, settings.home)
    setting = "MLFLOW_REGISTRY_URI" if variables.registry_uri else "MLFLOW_TRACKING_URI"
    away = f"Look whether MLflow runs there, and at {setting}."
    return [
        DoctorCheck("MLflow", lambda: check_registry(settings, turn, now), away, timeout=20),
        DoctorCheck("MLflow speed", lambda: check_speed(settings, turn), away, timeout=15),
        DoctorCheck("MLflow rights", lambda: check_rights(settings, policy, turn, live=live), away, timeout=60),
    ]


@contextmanager
def open_probe(settings: Settings, lock: Lock) -> Iterator[MlflowProbe]:
    """Open a probe. For a database, checks run one after another: MLflow has one engine for the process."""
    variables = MlflowVariables(os.environ, settings.home)
    probe = MlflowProbe(variables.tracking_uri, variables.registry_uri)
    with lock if probe.is_database else nullcontext(), closing(probe):
        yield probe


# -- is it there -------------------------------------------------------------------------------------------------------


def check_registry(settings: Settings, lock: Lock, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Yield whether MLflow answers, its version, its models, and its stages. Raises what its calls raise."""
    opened = open_registry(settings)
    if unset := opened.unset:
        yield warning("MLflow", str(unset.sentence), str(unset.advice))
    with open_probe(settings, lock) as probe:
        if probe.is_database and not probe.has_tables():
            if not unset or probe.setting == "MLFLOW_REGISTRY_URI":
                problem = f"MLflow's tables of this version are not in {probe.location}; `registrar run` makes them."
                advice = f"If there are older ones, back them up first; if it's elsewhere, fix {probe.setting}."
                yield warning("MLflow", problem, advice)
            return
        date = ""
        if probe.is_server:
            reply = probe.get("/version")
            yield _check_version(probe, reply)
            if reply.status != 200:
                return
            date = reply.headers.get("date", "")
            at = now()
        where = "The registry" if probe.is_server else f"The registry in {probe.location.removeprefix('its ')}"
        yield _check_models(settings, where)
    why = "as REGISTRAR_STAGES says" if settings.stages == "tags" else "for this registry has no stages"
    by_tag = f"Versions move by alias, and their stage is a tag, {why}."
    yield ok("MLflow", "Versions move by stage and alias." if opened.has_stages else by_tag)
    if date:
        yield check_clock("MLflow", date, at)


def _check_version(probe: MlflowProbe, response: ProbeResponse) -> Diagnosis:
    """Return the diagnosis of the answer to /version. Raises RegistryUnreachable and Misconfigured."""
    location, version = probe.location, response.text.strip()
    if response.status in {401, 407}:
        advice = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; for its basic auth a token does not do."
        return failure("MLflow", f"MLflow ({location}) does not know us.", advice)
    if response.status == 403:
        advice = f"Start its server with --allowed-hosts {urlsplit(location).netloc}."
        return failure("MLflow", f"MLflow ({location}) forbids us to look.", advice)
    if response.status >= 500 or response.status == 429:
        raise RegistryUnreachable(f"MLflow ({location}) was reached but cannot answer now (HTTP {response.status}).")
    if response.status != 200 or not _VERSION_PATTERN.fullmatch(version):
        raise Misconfigured(f"What answers at {location} is not an MLflow server.")
    if version.split(".")[0] != _SUPPORTED_MAJOR:
        problem = f"MLflow {version} answers at {location}; Registrar is made for MLflow {_SUPPORTED_MAJOR}."
        return warning("MLflow", problem, "Try a promotion of a model that nobody uses first.")
    return ok("MLflow", f"MLflow {version} answers at {location}.")


_VERSION_PATTERN = re.compile(r"\d+\.\d+[\w.+-]{0,30}")
_SUPPORTED_MAJOR = "3"


def _check_models(settings: Settings, where: str) -> Diagnosis:
    number, area = len(model_names(settings)), "MLflow" if settings.registry == "mlflow" else "registry"
    if not number:
        return warning(
            area,
            "The registry is read, and has no model yet.",
            "`registrar register RUN_ID MODEL` makes one of a run.",
        )
    return ok(area, f"{where} is read: {pluralize(number, 'model')}.")


def model_names(settings: Settings) -> list[str]:
    """Return the models, as the bot reads them."""
    with closing(open_registry(settings).registry) as registry:
        return [model.name for model in registry.models()]


def models_covered_by(policy: Policy | None, names: Iterable[str]) -> list[str]:
    """Return the models that the policy covers; all of them without a policy."""
    return [name for name in names if policy is None or policy.pattern_for(name) is not None]


# -- how fast ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds: to knock at the server, for an answer to any client, and for one to ours, which is logged in."""

    connect: float
    anonymous: float
    authenticated: float


def check_speed(settings: Settings, lock: Lock) -> Iterator[Diagnosis]:
    """Yield how long an answer takes, and a fix if a nearby server takes long."""
    with open_probe(settings, lock) as probe:
        if not probe.is_server:
            raise CheckSkippedError("Not measured: MLflow is asked in its database, and not over HTTP.")
        yield diagnose_latencies(measure_latencies(probe), can_quick_ack=sys.platform == "linux")


def measure_latencies(probe: MlflowProbe) -> Latencies:
    """Return the median of each latency, over kept-alive connections.

    Raises RegistryUnreachable and CheckSkippedError.
    """
    require_answer(probe)
    url = probe.uri.rstrip("/") + "/health"
    try:
        with httpx.Client(timeout=4) as client:
            plain = _median_seconds(lambda: client.get(url))
        knock = _connect_seconds(url)
    except (httpx.HTTPError, OSError) as error:
        raise RegistryUnreachable(f"MLflow ({display_url(url)}) does not answer.") from error
    return Latencies(knock, plain, _median_seconds(lambda: probe.get("/version")))


def require_answer(probe: MlflowProbe) -> None:
    """Raise CheckSkippedError if MLflow doesn't answer or refuses us: the first check already reports why."""
    try:
        if probe.get("/version").status == 200 and probe.get("/health").status == 200:
            return
    except RegistrarError:
        pass
    raise CheckSkippedError("Not looked at: MLflow does not answer as it should, see above.")


def _median_seconds(call: Callable[[], object]) -> float:
    """Return the median duration in seconds of repeated calls, without the first ones."""
    durations: list[float] = []
    end = time.monotonic() + MAX_MEASURE_SECONDS
    while len(durations) < MAX_ROUNDS and time.monotonic() < end:
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations[-10:])


def _connect_seconds(url: str) -> float:
    """Return how many seconds a connection takes: the round trip, without the server's work."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname or "", port), timeout=4):
        return time.perf_counter() - began


def diagnose_latencies(latencies: Latencies, *, can_quick_ack: bool) -> Diagnosis:
    """Return the diagnosis of the latencies. `can_quick_ack`: this system can avoid the pause in answers."""
    authenticated, connect = f"{latencies.authenticated * 1000:.0f} ms", f"{latencies.connect * 1000:.0f} ms"
    if latencies.connect > NEAR_SECONDS:
        if latencies.authenticated < 0.1:
            return ok(_SPEED_AREA, f"An answer takes {authenticated}, of which the way there is {connect}.")
        return warning(
            _SPEED_AREA,
            f"An answer takes {authenticated}: MLflow is far away ({connect} for the way alone).",
            "Run Registrar nearer to it.",
        )
    if latencies.authenticated >= SLOW_LOGIN_SECONDS > latencies.anonymous:
        return warning(
            _SPEED_AREA,
            f"An answer takes {authenticated}, most of it to look our password up.",
            "Set auth_cache_ttl_seconds = 60 in the server's basic_auth.ini.",
        )
    if latencies.anonymous - latencies.connect >= PAUSE_SECONDS:
        cure = "start the server with --workers 1, or with uvloop or gunicorn."
        plain = f"{latencies.anonymous * 1000:.0f} ms"
        if can_quick_ack and latencies.authenticated < PAUSE_SECONDS:
            return warning(
                _SPEED_AREA,
                f"The server holds each answer back, as MLflow's does with its default "
                f"of four workers: other clients wait {plain}, we {authenticated}.",
                f"For the others: {cure}",
            )
        return warning(
            _SPEED_AREA,
            f"An answer takes {authenticated}: the server holds each one back, as MLflow's does "
            "with its default of four workers.",
            cure[:1].upper() + cure[1:],
        )
    return ok(_SPEED_AREA, f"An answer takes {authenticated}.")


_SPEED_AREA = "MLflow speed"

# -- write access ------------------------------------------------------------------------------------------------------


def check_rights(settings: Settings, policy: Policy | None, lock: Lock, *, live: bool) -> Iterator[Diagnosis]:
    """Yield whether we can create, transition, and change things; tried only with `live`, and undone."""
    if not live:
        raise CheckSkippedError("Not tried: `registrar doctor --live` makes a model, moves it, and deletes it again.")
    with open_probe(settings, lock) as probe:
        if probe.uri.startswith(("databricks", "uc:")):
            raise CheckSkippedError(
                "Not tried: on Databricks a model needs a catalog and a schema that we do not know."
            )
        if probe.is_database and not probe.has_tables():
            raise CheckSkippedError("Not tried: MLflow's tables are not there yet.")
        if probe.is_server:
            require_answer(probe)
        yield _check_transition(settings, probe)
        if probe.is_server:
            yield from _check_managed_models(settings, policy, probe)


def _check_transition(settings: Settings, probe: MlflowProbe) -> Diagnosis:
    name = f"registrar-doctor-{secrets.token_hex(6)}"
    try:
        archives = probe.try_transition(name, has_stages=open_registry(settings).has_stages)
    except CleanupFailed as error:
        return failure(_RIGHTS_AREA, error_sentence(error), "Delete it in MLflow; give our user MANAGE there.")
    except RegistryRefused as error:
        problem = f"We may not make or move a model. {error_sentence(error)}"
        return failure(_RIGHTS_AREA, problem, "Let our user create registered models in MLflow.")
    if not archives:
        return warning(
            _RIGHTS_AREA,
            "MLflow's server runs on psycopg 3, on which it cannot archive in the same "
            "step (mlflow#24592): a stage has two holders for a moment when we move.",
            "Start it with --backend-store-uri postgresql+psycopg2://…",
        )
    return ok(_RIGHTS_AREA, "We may make, move and delete a model; the one that was made to try it is gone.")


def _check_managed_models(settings: Settings, policy: Policy | None, probe: MlflowProbe) -> Iterator[Diagnosis]:
    """Yield which models that the policy covers we can't manage: with basic auth each has rights of its own."""
    covered = models_covered_by(policy, model_names(settings))
    refused = [model for model in covered[:MAX_MANAGED_MODELS] if not probe.can_manage(model)]
    if refused:
        yield failure(
            _RIGHTS_AREA, f"We can't manage {join_names(refused)}.", "Give our user MANAGE on each of them in MLflow."
        )
    elif covered:
        number = min(len(covered), MAX_MANAGED_MODELS)
        yield ok(
            _RIGHTS_AREA,
            f"We can manage {'the 1 model' if number == 1 else f'{number} models'} that the policy covers.",
        )


_RIGHTS_AREA = "MLflow rights"
