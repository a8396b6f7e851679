"""Read the values that completion offers, from this machine's ledger or else from the registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bot.domain.commands.base import Argument, Command
from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import sanitize_text
from bot.domain.promotions.messages import describe_change
from bot.domain.promotions.request import OPEN_STATES
from bot.domain.registry.model import Stage
from bot.settings import Settings, read_settings
from handlers.terminal.command_line.completion import field_choices
from handlers.terminal.command_line.grammar import find_command

if TYPE_CHECKING:
    from bot.ports import LedgerReader, OpenRegistry

LEDGER_FRESH_FOR, REGISTRY_FRESH_FOR = 5.0, 60.0  # seconds until they're read again
MAX_RUNS = 100  # newest versions whose metrics are read
SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")  # MLflow's client creates tables in anything else


class Candidate(NamedTuple):
    """A value that can be typed, and its description."""

    value: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Blank:
    """The argument to fill in, and the model given on the line."""

    command: type[Command]
    field: str
    model: str


def read_candidates(words: Sequence[str]) -> tuple[float, list[Candidate]]:
    """Return the values for the last word, and how many seconds they stay fresh. Changes and creates nothing.

    Raises RegistrarError.
    """
    if (blank := find_blank(words)) is None:
        return LEDGER_FRESH_FOR, []
    seconds, found = _read_values(blank)
    is_dash_allowed = "--" in words[:-1] or words[-1].startswith("--")
    return seconds, [
        Candidate(value, sanitize_text(about))
        for value, about in found
        if value == sanitize_text(value) and (is_dash_allowed or not value.startswith("-"))
    ]


def _read_values(blank: Blank) -> tuple[float, list[Candidate]]:
    names = "" if blank.command.verb.endswith(" add") else "name"  # a new monitor has a new name
    kind = {"versions": "version", "name": names}.get(blank.field, blank.field)
    if kind not in {*_FROM_LEDGER, *_FROM_REGISTRY}:
        return REGISTRY_FRESH_FOR, [Candidate(value) for value in field_choices(blank.command, blank.field)]
    settings = read_settings()
    if kind in _FROM_LEDGER and not settings.bot_url:
        with suppress(RegistrarError):
            if found := _read_ledger(settings, kind, blank):
                return LEDGER_FRESH_FOR, found
    return (REGISTRY_FRESH_FOR, _read_registry(settings, kind, blank.model)) if kind in _FROM_REGISTRY else (0.0, [])


# -- the line ----------------------------------------------------------------------------------------------------------


def find_blank(words: Sequence[str]) -> Blank | None:
    """Return the argument that the last word is for, or None if it isn't for one.

    Raises BadInput for an unknown command.
    """
    command, before = find_command(words[:-1], ())
    arguments = {name: arg for name, _, arg in command.arguments()}
    given, placed, open_flag = _match_words(command, arguments, before)
    left = [name for name, arg in arguments.items() if arg.positional and name not in given]
    given |= dict(zip(left, placed, strict=False))
    flag, equals, _ = words[-1].partition("=")
    if not open_flag and words[-1].startswith("-") and "--" not in before:
        open_flag = _field_of(flag, arguments) if equals else ""
        left = []
    elif len(placed) >= len(left):
        left = [name for name in left[-1:] if arguments[name].takes_many]
    field = open_flag or next(iter(left[len(placed) :] or left[-1:]), "")
    return Blank(command, field, given.get("model", "")) if field else None


def _match_words(
    command: type[Command], arguments: dict[str, Argument], words: Sequence[str]
) -> tuple[dict[str, str], list[str], str]:
    """Return the fields given with flags, the other words, and the field whose flag still needs its value.

    The last is empty unless the last word is such a flag.
    """
    switches = {flag for _, field, arg in command.arguments() if field.annotation is bool for flag in arg.flags}
    given: dict[str, str] = {}
    placed: list[str] = []
    waiting = ""
    for at, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if waiting:
            given[waiting], waiting = word, ""
        elif word == "--":
            return given, [*placed, *words[at + 1 :]], ""
        elif not word.startswith("-"):
            placed.append(word)
        elif (name := _field_of(flag, arguments)) and flag not in switches:
            given |= {name: value} if equals else {}
            waiting = "" if equals else name
    return given, placed, waiting


def _field_of(flag: str, arguments: dict[str, Argument]) -> str:
    return next((name for name, arg in arguments.items() if flag in arg.flags), "")


# -- the ledger --------------------------------------------------------------------------------------------------------


def _read_ledger(settings: Settings, kind: str, blank: Blank) -> list[Candidate]:
    from bot.bootstrap.ledger_tools import SqlLedger  # noqa: PLC0415

    with closing(SqlLedger(settings.ledger_url, connections=1)) as ledger:
        ledger.require_ledger()
        with ledger.read() as reader:
            return list(_FROM_LEDGER[kind](reader, blank))


def _models(reader: LedgerReader, blank: Blank) -> Iterable[Candidate]:
    return map(Candidate, reader.model_names())


def _versions(reader: LedgerReader, blank: Blank) -> Iterable[Candidate]:
    if (snapshot := reader.registry_snapshot(blank.model)) is None:
        return []
    semvers = {request.version: request.semver for request in reader.requests(model=blank.model)}
    return _version_candidates(snapshot.stages, semvers, snapshot.aliases)


def _requests(reader: LedgerReader, blank: Blank) -> Iterable[Candidate]:
    is_review = blank.command.verb == "review"
    requests = reader.requests_to_review() if is_review else reader.requests(states=OPEN_STATES)
    return (Candidate(it.id, f"{it.model}: {describe_change(it)}") for it in requests)


def _monitors(reader: LedgerReader, blank: Blank) -> Iterable[Candidate]:
    return (Candidate(monitor.name, monitor.rule.query) for monitor in reader.monitors(blank.model))


_FROM_LEDGER: Mapping[str, Callable[[LedgerReader, Blank], Iterable[Candidate]]] = {
    "model": _models,
    "version": _versions,
    "request": _requests,
    "name": _monitors,
}


def _version_candidates(
    stages: Mapping[int, Stage], semvers: Mapping[int, str | None], aliases: Mapping[str, int]
) -> Iterable[Candidate]:
    """Yield each version's number, its semver, and its aliases, newest first."""
    for number in sorted(stages, reverse=True):
        names = [f"@{alias}" for alias, version in sorted(aliases.items()) if version == number]
        semver, stage = semvers.get(number), "" if stages[number] is Stage.NONE else stages[number].value
        yield Candidate(str(number), " · ".join(filter(None, [stage, semver, *names])))
        for name in [*([semver] if semver else []), *names]:
            yield Candidate(name, " · ".join(filter(None, [f"v{number}", stage])))


# -- the registry ------------------------------------------------------------------------------------------------------


def _models_in(registry: OpenRegistry, model: str) -> Iterable[Candidate]:
    return (Candidate(found.name) for found in registry.registry.models())


def _versions_in(registry: OpenRegistry, model: str) -> Iterable[Candidate]:
    versions = registry.registry.versions(model)
    return _version_candidates(
        {it.version: it.stage for it in versions},
        {it.version: it.semver for it in versions},
        registry.registry.model(model).aliases,
    )


def _metrics_in(registry: OpenRegistry, model: str) -> Iterable[Candidate]:
    ids = [it.run_id for it in registry.registry.versions(model)[:MAX_RUNS] if it.run_id]
    return map(Candidate, sorted({name for run in registry.tracker.runs(ids).values() for name in run.metrics}))


_FROM_REGISTRY: Mapping[str, Callable[[OpenRegistry, str], Iterable[Candidate]]] = {
    "model": _models_in,
    "version": _versions_in,
    "metric": _metrics_in,
}


def _read_registry(settings: Settings, kind: str, model: str) -> list[Candidate]:
    from bot.bootstrap.storage import open_registry  # noqa: PLC0415

    uris = [os.environ.get(name, "") for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")]
    if settings.registry == "mlflow" and not any((urlsplit(uri).scheme or uri) in SERVERS for uri in uris):
        return []
    return list(_FROM_REGISTRY[kind](open_registry(settings), model))
