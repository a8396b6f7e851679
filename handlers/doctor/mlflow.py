"""MLflow: whether it is there, which, how fast, and, when it is to be tried, whether we may write."""

from __future__ import annotations

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

from bot.domain.core.errors import Misconfigured, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.numbers import counted
from bot.domain.policy.policy import Policy
from bot.registry.mlflow.probe import LeftBehind, MlflowProbe, Reply
from bot.registry.mlflow.registry import MlflowRegistry
from bot.settings import Settings
from handlers.doctor.check import Check, NotLookedAtError, listed, sentence_of, shown
from handlers.doctor.clock import clock
from handlers.doctor.diagnosis import Finding, mind, ok, wrong

ROUNDS = 30  # the system acknowledges the first answers of a connection at once, so the pause shows only later
MEASURED_FOR = 2.5  # seconds at most
NEAR = 0.010  # seconds in which a server of the same room answers a knock
PAUSE = 0.030  # seconds that an answer takes beyond the way there: MLflow's default server pauses for 40 ms
SLOW_LOGIN = 0.150  # MLflow's basic auth takes 240 ms to look a password up
MANAGED_MOST = 20  # models for which we try whether we can manage them


def checks(
    settings: Settings, policy: Policy | None, *, live: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[Check]:
    """Return the looks at MLflow. `now` is our clock."""
    turn = Lock()
    away = f"Look whether MLflow runs there, and at {_probe_setting(settings)}."
    return [
        Check("MLflow", lambda: registry(settings, turn, now), away, seconds=20),
        Check("MLflow speed", lambda: speed(settings, turn), away, seconds=15),
        Check("MLflow rights", lambda: rights(settings, policy, turn, live=live), away, seconds=60),
    ]


@contextmanager
def probing(settings: Settings, turn: Lock) -> Iterator[MlflowProbe]:
    """Open a probe. In a database one look takes its turn after another: MLflow has one engine for all of a process."""
    probe = MlflowProbe(settings.mlflow_uri, settings.registry_uri)
    with turn if probe.is_database else nullcontext(), closing(probe):
        yield probe


def _probe_setting(settings: Settings) -> str:
    return "MLFLOW_REGISTRY_URI" if settings.registry_uri else "MLFLOW_TRACKING_URI"


# -- is it there -------------------------------------------------------------------------------------------------------


def registry(settings: Settings, turn: Lock, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Yield whether MLflow answers, its version, its models and its stages. Raises what asking it raises."""
    if unset := settings.unset_mlflow:
        yield mind("MLflow", str(unset.sentence), str(unset.advice))
    with probing(settings, turn) as probe:
        if probe.is_database and not probe.has_tables():
            if settings.registry_uri or not unset:
                yield _no_tables(probe)
            return
        date = ""
        if probe.is_server:
            reply = probe.get("/version")
            yield _version(probe, reply)
            if reply.status != 200:
                return
            date = reply.headers.get("date", "")
            at = now()
        yield _models(settings, probe)
    yield _stages(settings)
    if date:
        yield clock("MLflow", date, at)


def _no_tables(probe: MlflowProbe) -> Finding:
    what = f"MLflow's tables of this version are not in {probe.place}; `registrar run` makes them."
    return mind("MLflow", what, f"If there are older ones, back them up first; if it's elsewhere, fix {probe.setting}.")


def _version(probe: MlflowProbe, reply: Reply) -> Finding:
    """Return what the answer to /version means. Raises RegistryUnreachable and Misconfigured."""
    where, version = probe.place, reply.text.strip()
    if reply.status in {401, 407}:
        names = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return wrong(
            "MLflow", f"MLflow ({where}) does not know us.", f"Set {names}; for its basic auth a token does not do."
        )
    if reply.status == 403:
        host = urlsplit(where).netloc
        return wrong(
            "MLflow", f"MLflow ({where}) forbids us to look.", f"Start its server with --allowed-hosts {host}."
        )
    if reply.status >= 500 or reply.status == 429:
        raise RegistryUnreachable(f"MLflow ({where}) was reached but cannot answer now (HTTP {reply.status}).")
    if reply.status != 200 or not _VERSION.fullmatch(version):
        raise Misconfigured(f"What answers at {where} is not an MLflow server.")
    if version.split(".")[0] != _OURS:
        what = f"MLflow {version} answers at {where}; Registrar is made for MLflow {_OURS}."
        return mind("MLflow", what, "Try a promotion of a model that nobody uses first.")
    return ok("MLflow", f"MLflow {version} answers at {where}.")


_VERSION = re.compile(r"\d+\.\d+[\w.+-]{0,30}")
_OURS = "3"


def _models(settings: Settings, probe: MlflowProbe) -> Finding:
    number = len(model_names(settings))
    if not number:
        return mind(
            "MLflow",
            "The registry is read, and has no model yet.",
            "`registrar register RUN_ID MODEL` makes one of a run.",
        )
    return ok("MLflow", f"{_place(probe)} is read: {counted(number, 'model')}.")


def model_names(settings: Settings) -> list[str]:
    """Return the models, as the bot reads them."""
    with closing(MlflowRegistry(settings.mlflow_uri, settings.registry_uri)) as opened:
        return [model.name for model in opened.models()]


def covered_by(policy: Policy | None, names: Iterable[str]) -> list[str]:
    """Return the models that the policy covers; all of them where there is none."""
    return [one for one in names if policy is None or policy.pattern_for(one) is not None]


def _place(probe: MlflowProbe) -> str:
    return "The registry" if probe.is_server else f"The registry in {probe.place.removeprefix('its ')}"


def _stages(settings: Settings) -> Finding:
    if settings.has_stages:
        return ok("MLflow", "Versions move by stage and alias.")
    why = "as REGISTRAR_STAGES says" if settings.stages == "tags" else "for this registry has no stages"
    return ok("MLflow", f"Versions move by alias, and their stage is a tag, {why}.")


# -- how fast ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds: to knock at the server, for an answer to any client, and for one to ours, which is logged in."""

    knock: float
    plain: float
    ours: float


def speed(settings: Settings, turn: Lock) -> Iterator[Finding]:
    """Yield how long an answer takes, and the cure where a server that is near takes long."""
    with probing(settings, turn) as probe:
        if not probe.is_server:
            raise NotLookedAtError("Not measured: MLflow is asked in its database, and not over HTTP.")
        yield judged(measured(probe), can_prompt=sys.platform == "linux")


def measured(probe: MlflowProbe) -> Speeds:
    """Return the median of each, over kept connections. Raises RegistryUnreachable and NotLookedAtError."""
    must_answer(probe)
    url = probe.uri.rstrip("/") + "/health"
    try:
        with httpx.Client(timeout=4) as client:
            plain = _median(lambda: client.get(url))
        knock = _knock(url)
    except (httpx.HTTPError, OSError) as error:
        raise RegistryUnreachable(f"MLflow ({shown(url)}) does not answer.") from error
    return Speeds(knock, plain, _median(lambda: probe.get("/version")))


def must_answer(probe: MlflowProbe) -> None:
    """Raise NotLookedAtError where no MLflow answers that knows us: the first look at it says why."""
    try:
        if probe.get("/version").status == 200 and probe.get("/health").status == 200:
            return
    except RegistrarError:
        pass
    raise NotLookedAtError("Not looked at: MLflow does not answer as it should, see above.")


def _median(ask: Callable[[], object]) -> float:
    """Return how long the later ones of many answers take, in the middle."""
    taken: list[float] = []
    end = time.monotonic() + MEASURED_FOR
    while len(taken) < ROUNDS and time.monotonic() < end:
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[-10:])


def _knock(url: str) -> float:
    """Return how long a connection takes to be made: the way there and back, and nothing of the server's."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname or "", port), timeout=4):
        return time.perf_counter() - began


def judged(speeds: Speeds, *, can_prompt: bool) -> Finding:
    """Return what the seconds mean. `can_prompt`: on this system we can have answers come without the pause."""
    ours, knock = f"{speeds.ours * 1000:.0f} ms", f"{speeds.knock * 1000:.0f} ms"
    if speeds.knock > NEAR:
        if speeds.ours < 0.1:
            return ok(_SPEED, f"An answer takes {ours}, of which the way there is {knock}.")
        return mind(
            _SPEED,
            f"An answer takes {ours}: MLflow is far away ({knock} for the way alone).",
            "Run Registrar nearer to it.",
        )
    if speeds.ours >= SLOW_LOGIN > speeds.plain:
        return mind(
            _SPEED,
            f"An answer takes {ours}, most of it to look our password up.",
            "Set auth_cache_ttl_seconds = 60 in the server's basic_auth.ini.",
        )
    if speeds.plain - speeds.knock >= PAUSE:
        cure = "start the server with --workers 1, or with uvloop or gunicorn."
        plain = f"{speeds.plain * 1000:.0f} ms"
        if can_prompt and speeds.ours < PAUSE:
            return mind(
                _SPEED,
                f"The server holds each answer back, as MLflow's does with its default "
                f"of four workers: other clients wait {plain}, we {ours}.",
                f"For the others: {cure}",
            )
        return mind(
            _SPEED,
            f"An answer takes {ours}: the server holds each one back, as MLflow's does "
            "with its default of four workers.",
            cure[:1].upper() + cure[1:],
        )
    return ok(_SPEED, f"An answer takes {ours}.")


_SPEED = "MLflow speed"

# -- may we write ------------------------------------------------------------------------------------------------------


def rights(settings: Settings, policy: Policy | None, turn: Lock, *, live: bool) -> Iterator[Finding]:
    """Yield whether we may make, move and change things there; all of it is taken back, and only done when `live`."""
    if not live:
        raise NotLookedAtError("Not tried: `registrar doctor --live` makes a model, moves it, and deletes it again.")
    with probing(settings, turn) as probe:
        if probe.uri.startswith(("databricks", "uc:")):
            raise NotLookedAtError("Not tried: on Databricks a model needs a catalog and a schema that we do not know.")
        if probe.is_database and not probe.has_tables():
            raise NotLookedAtError("Not tried: MLflow's tables are not there yet.")
        if probe.is_server:
            must_answer(probe)
        yield _moving(settings, probe)
        if probe.is_server:
            yield from _managing(settings, policy, probe)


def _moving(settings: Settings, probe: MlflowProbe) -> Finding:
    name = f"registrar-doctor-{secrets.token_hex(6)}"
    try:
        archives = probe.try_moving(name, has_stages=settings.has_stages)
    except LeftBehind as error:
        return wrong(_RIGHTS, sentence_of(error), "Delete it in MLflow; give our user MANAGE there.")
    except RegistryRefused as error:
        return wrong(
            _RIGHTS,
            f"We may not make or move a model. {sentence_of(error)}",
            "Let our user create registered models in MLflow.",
        )
    if not archives:
        return mind(
            _RIGHTS,
            "MLflow's server runs on psycopg 3, on which it cannot archive in the same "
            "step (mlflow#24592): a stage has two holders for a moment when we move.",
            "Start it with --backend-store-uri postgresql+psycopg2://…",
        )
    return ok(_RIGHTS, "We may make, move and delete a model; the one that was made to try it is gone.")


def _managing(settings: Settings, policy: Policy | None, probe: MlflowProbe) -> Iterator[Finding]:
    """Yield which models that the policy covers we can't manage: with basic auth each has rights of its own."""
    covered = covered_by(policy, model_names(settings))
    barred = [one for one in covered[:MANAGED_MOST] if not probe.may_manage(one)]
    if barred:
        yield wrong(_RIGHTS, f"We can't manage {listed(barred)}.", "Give our user MANAGE on each of them in MLflow.")
    elif covered:
        number = min(len(covered), MANAGED_MOST)
        yield ok(
            _RIGHTS, f"We can manage {'the 1 model' if number == 1 else f'{number} models'} that the policy covers."
        )


_RIGHTS = "MLflow rights"
