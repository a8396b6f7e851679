"""Checks for MLflow: whether it responds, its version, its speed, and, with `live`, whether the bot can write."""

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

import httpx2

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
    display_url,
    error_sentence,
    failure,
    join_names,
    ok,
    warning,
)
from handlers.doctor.clock import check_clock

MAX_ROUNDS = 30  # calls; the system acknowledges a connection's first answers at once, so the pause shows only later
MAX_MEASURE_SECONDS = 2.5  # time limit for each series of calls
NEAR_SECONDS = 0.010  # longest time to connect to a server nearby
PAUSE_SECONDS = 0.030  # a response that takes this much longer than connecting was delayed: MLflow's default is 40 ms
SLOW_LOGIN_SECONDS = 0.150  # MLflow's basic auth takes 240 ms to check a password
MAX_MANAGED_MODELS = 20  # models that are checked for the MANAGE permission


def mlflow_checks(
    settings: Settings, policy: Policy | None, *, live: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[DoctorCheck]:
    """Return the checks for MLflow, or for the registry that the settings name. `now` returns the current time."""
    if settings.registry != "mlflow":
        advice = "docs/how-to/write-a-registry-adapter.md describes what the adapter must do."
        return [DoctorCheck("registry", lambda: [_check_models(settings, "The registry")], advice, timeout=20)]
    turn, variables = Lock(), MlflowVariables(os.environ, settings.home)
    setting = "MLFLOW_REGISTRY_URI" if variables.registry_uri else "MLFLOW_TRACKING_URI"
    away = f"Check that MLflow is running there, and that {setting} is right."
    return [
        DoctorCheck("MLflow", lambda: check_registry(settings, turn, now), away, timeout=20),
        DoctorCheck("MLflow speed", lambda: check_speed(settings, turn), away, timeout=15),
        DoctorCheck("MLflow rights", lambda: check_rights(settings, policy, turn, live=live), away, timeout=60),
    ]


@contextmanager
def open_probe(settings: Settings, lock: Lock) -> Iterator[MlflowProbe]:
    """Open a probe, and hold `lock` if MLflow is a database.

    Checks run one at a time on a database, because MLflow has one engine per process.
    """
    variables = MlflowVariables(os.environ, settings.home)
    probe = MlflowProbe(variables.tracking_uri, variables.registry_uri)
    with lock if probe.is_database else nullcontext(), closing(probe):
        yield probe


# -- availability ------------------------------------------------------------------------------------------------------


def check_registry(settings: Settings, lock: Lock, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check whether MLflow responds, and its version, number of models, stages, and clock.

    Raises whatever its calls raise.
    """
    opened = open_registry(settings)
    if unset := opened.unset:
        yield warning("MLflow", str(unset.sentence), str(unset.advice))
    with open_probe(settings, lock) as probe:
        if probe.is_database and not probe.has_tables():
            if not unset or probe.setting == "MLFLOW_REGISTRY_URI":
                problem = (
                    f"MLflow ({probe.location}) lacks the tables that this version needs. `registrar run` creates them."
                )
                advice = f"If it has older tables, back them up first. If it's the wrong database, fix {probe.setting}."
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
    why = "REGISTRAR_STAGES is tags" if settings.stages == "tags" else "this registry has no stages"
    by_tag = f"A promotion sets an alias and a stage tag, because {why}."
    yield ok("MLflow", "A promotion sets the stage and an alias." if opened.has_stages else by_tag)
    if date:
        yield check_clock("MLflow", date, at)


def _check_version(probe: MlflowProbe, response: ProbeResponse) -> Diagnosis:
    """Return a diagnosis for the response to /version. Raises RegistryUnreachable and Misconfigured."""
    location, version = probe.location, response.text.strip()
    if response.status in {401, 407}:
        advice = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. MLflow's basic auth doesn't accept tokens."
        return failure("MLflow", f"MLflow ({location}) rejected the bot's credentials.", advice)
    if response.status == 403:
        advice = f"Start its server with --allowed-hosts {urlsplit(location).netloc}."
        return failure("MLflow", f"MLflow ({location}) denied access.", advice)
    if response.status >= 500 or response.status == 429:
        raise RegistryUnreachable(f"MLflow ({location}) can't respond right now (HTTP {response.status}).")
    if response.status != 200 or not _VERSION_PATTERN.fullmatch(version):
        raise Misconfigured(f"The server at {location} isn't an MLflow server.")
    if version.split(".")[0] != _SUPPORTED_MAJOR:
        problem = (
            f"MLflow {version} is responding at {location}, but Registrar supports only MLflow {_SUPPORTED_MAJOR}."
        )
        return warning("MLflow", problem, "Test a promotion with an unused model first.")
    return ok("MLflow", f"MLflow {version} is responding at {location}.")


_VERSION_PATTERN = re.compile(r"\d+\.\d+[\w.+-]{0,30}")
_SUPPORTED_MAJOR = "3"


def _check_models(settings: Settings, where: str) -> Diagnosis:
    number, area = len(model_names(settings)), "MLflow" if settings.registry == "mlflow" else "registry"
    if not number:
        return warning(
            area,
            "The registry is readable, but has no models yet.",
            "To register a run's model: `registrar register RUN_ID MODEL`.",
        )
    return ok(area, f"{where} is readable: {pluralize(number, 'model')}.")


def model_names(settings: Settings) -> list[str]:
    """Return the names of the models, read the way the bot reads them."""
    with closing(open_registry(settings).registry) as registry:
        return [model.name for model in registry.models()]


def models_covered_by(policy: Policy | None, names: Iterable[str]) -> list[str]:
    """Return the models that the policy covers; without a policy, all of them."""
    return [name for name in names if policy is None or policy.pattern_for(name) is not None]


# -- speed -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds to connect to the server, to get a response without a login, and to get one with the bot's login."""

    connect: float
    anonymous: float
    authenticated: float


def check_speed(settings: Settings, lock: Lock) -> Iterator[Diagnosis]:
    """Check how long a response takes, and suggest a fix if it's too long."""
    with open_probe(settings, lock) as probe:
        if not probe.is_server:
            raise CheckSkippedError("Not measured: the bot uses MLflow's database directly, not HTTP.")
        yield diagnose_latencies(measure_latencies(probe), can_quick_ack=sys.platform == "linux")


def measure_latencies(probe: MlflowProbe) -> Latencies:
    """Return the time to connect, and the median response times over kept-alive connections.

    Raises RegistryUnreachable and CheckSkippedError.
    """
    require_answer(probe)
    url = probe.uri.rstrip("/") + "/health"
    try:
        with httpx2.Client(timeout=4) as client:
            plain = _median_seconds(lambda: client.get(url))
        knock = _connect_seconds(url)
    except (httpx2.HTTPError, OSError) as error:
        raise RegistryUnreachable(f"MLflow ({display_url(url)}) isn't responding.") from error
    return Latencies(knock, plain, _median_seconds(lambda: probe.get("/version")))


def require_answer(probe: MlflowProbe) -> None:
    """Raise CheckSkippedError if MLflow isn't responding or rejects the credentials; the first check reports why."""
    try:
        if probe.get("/version").status == 200 and probe.get("/health").status == 200:
            return
    except RegistrarError:
        pass
    raise CheckSkippedError("Not checked: MLflow isn't responding properly (see above).")


def _median_seconds(call: Callable[[], object]) -> float:
    """Make the call repeatedly, and return the median duration of the last 10 calls, in seconds."""
    durations: list[float] = []
    end = time.monotonic() + MAX_MEASURE_SECONDS
    while len(durations) < MAX_ROUNDS and time.monotonic() < end:
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations[-10:])


def _connect_seconds(url: str) -> float:
    """Return the connection time in seconds: the network round trip, excluding server processing."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname or "", port), timeout=4):
        return time.perf_counter() - began


def diagnose_latencies(latencies: Latencies, *, can_quick_ack: bool) -> Diagnosis:
    """Return a diagnosis for the latencies. `can_quick_ack`: whether this system can avoid the server's delay."""
    authenticated, connect = f"{latencies.authenticated * 1000:.0f} ms", f"{latencies.connect * 1000:.0f} ms"
    if latencies.connect > NEAR_SECONDS:
        if latencies.authenticated < 0.1:
            return ok(_SPEED_AREA, f"A response takes {authenticated}, including {connect} on the network.")
        return warning(
            _SPEED_AREA,
            f"A response takes {authenticated}: MLflow is far away ({connect} on the network).",
            "Run Registrar closer to MLflow.",
        )
    if latencies.authenticated >= SLOW_LOGIN_SECONDS > latencies.anonymous:
        return warning(
            _SPEED_AREA,
            f"A response takes {authenticated}, mostly to check the bot's password.",
            "Set auth_cache_ttl_seconds = 60 in the server's basic_auth.ini.",
        )
    if latencies.anonymous - latencies.connect >= PAUSE_SECONDS:
        cure = "start the server with --workers 1, or with uvloop or gunicorn."
        plain = f"{latencies.anonymous * 1000:.0f} ms"
        if can_quick_ack and latencies.authenticated < PAUSE_SECONDS:
            return warning(
                _SPEED_AREA,
                f"The server delays each response, as MLflow does by default with four workers: "
                f"other clients wait {plain}, and the bot waits {authenticated}.",
                f"To speed up other clients, {cure}",
            )
        return warning(
            _SPEED_AREA,
            f"A response takes {authenticated}: the server delays each one, as MLflow does by default "
            "with four workers.",
            cure[:1].upper() + cure[1:],
        )
    return ok(_SPEED_AREA, f"A response takes {authenticated}.")


_SPEED_AREA = "MLflow speed"

# -- write access ------------------------------------------------------------------------------------------------------


def check_rights(settings: Settings, policy: Policy | None, lock: Lock, *, live: bool) -> Iterator[Diagnosis]:
    """Check whether the bot can create, transition, and delete models, using a test model that's then deleted.

    Without `live`, raises CheckSkippedError instead of trying.
    """
    if not live:
        raise CheckSkippedError("Not checked: `registrar doctor --live` creates, moves, and deletes a test model.")
    with open_probe(settings, lock) as probe:
        if probe.uri.startswith(("databricks", "uc:")):
            raise CheckSkippedError("Not checked: on Databricks, a test model would need a catalog and a schema.")
        if probe.is_database and not probe.has_tables():
            raise CheckSkippedError("Not checked: MLflow's tables don't exist yet.")
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
        return failure(
            _RIGHTS_AREA, error_sentence(error), "Delete it in MLflow, and give the bot's user MANAGE there."
        )
    except RegistryRefused as error:
        problem = f"The bot can't create or move a model. {error_sentence(error)}"
        return failure(_RIGHTS_AREA, problem, "Allow the bot's user to create registered models in MLflow.")
    if not archives:
        return warning(
            _RIGHTS_AREA,
            "MLflow's server uses psycopg 3, so it can't archive in the same step (mlflow#24592). "
            "During a promotion, a stage briefly has two versions.",
            "Start it with --backend-store-uri postgresql+psycopg2://…",
        )
    return ok(_RIGHTS_AREA, "The bot can create, move, and delete models. The test model was deleted.")


def _check_managed_models(settings: Settings, policy: Policy | None, probe: MlflowProbe) -> Iterator[Diagnosis]:
    """Check whether the bot can manage each covered model, since with basic auth, each has its own permissions."""
    covered = models_covered_by(policy, model_names(settings))
    refused = [model for model in covered[:MAX_MANAGED_MODELS] if not probe.can_manage(model)]
    if refused:
        yield failure(
            _RIGHTS_AREA,
            f"The bot can't manage {join_names(refused)}.",
            "Give its user MANAGE on each of them in MLflow.",
        )
    elif covered:
        number = min(len(covered), MAX_MANAGED_MODELS)
        yield ok(
            _RIGHTS_AREA,
            f"The bot can manage {'the 1 model' if number == 1 else f'{number} models'} that the policy covers.",
        )


_RIGHTS_AREA = "MLflow rights"
