"""The floors of the house, read from the imports: an import that goes up or sideways fails here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "handlers", "localslack")

# Lower floors first. A module may import its own package and what lies on lower floors, and nothing beside it.
# The services lie below the plugs, although they call them through the ports: a plug may show what a service
# found (bot/slack draws the views of bot/services/registry/queries.py), while a service that imports a plug would tie
# every rule to one database or one chat.
FLOORS: list[set[str]] = [
    {"bot.domain"},
    {"bot.ports", "bot.logging_context", "bot.version"},
    {"bot.services", "bot.http_client"},
    {"bot.registry", "bot.ledger", "bot.sources", "bot.slack"},
    {
        "bot.settings",
        "bot.malloc",
        "bot.process_identity",
        "bot.policy_file",
        "bot.anchor_file",
        "bot.webhooks",
        "bot.serving_probe",
        "bot.metrics.prometheus",
    },
    {"bot.registrar"},
    {"bot.bootstrap.build"},
]
ON_THE_GROUND = {"pydantic", "pandas", "numpy", "semver"}  # what the domain may use besides the standard library


@cache
def modules() -> dict[str, Path]:
    """Return every module of ours, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    """Return a module as Python reads it."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports anywhere in it, also within functions; ours by their modules."""
    return frozenset(_names(tree(module)))


def _names(parsed: ast.Module) -> Iterator[str]:
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else str(node.module)


def is_in(module: str, package: str) -> bool:
    """Tell whether a module is a package, or lies in it."""
    return module == package or module.startswith(f"{package}.")


def room(module: str) -> str:
    """Return the room of the house that a module of bot lies in."""
    return ".".join(module.split(".")[:2])


def floor(module: str) -> int:
    """Return the floor of a module of bot, the ground being 0."""
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def of(package: str) -> list[str]:
    """Return the modules of a package."""
    return [module for module in modules() if is_in(module, package)]


def users(these: Iterable[str], wrong: Callable[[str], bool]) -> dict[str, list[str]]:
    """Return which of these modules import what is wrong for all of them, and what it is."""
    found = {module: sorted(filter(wrong, imports(module))) for module in these}
    return {module: those for module, those in found.items() if those}


BOT = [module for module in of("bot") if module != "bot"]


def test_every_module_of_bot_lies_on_a_floor() -> None:
    assert [module for module in BOT if not any(room(module) in rooms for rooms in FLOORS)] == []


def test_inside_bot_imports_only_go_down() -> None:
    pairs = [(module, one) for module in BOT for one in imports(module) if is_in(one, "bot")]
    assert [(user, one) for user, one in pairs if room(one) != room(user) and floor(one) >= floor(user)] == []


def test_bot_knows_nothing_of_what_wakes_it() -> None:
    assert users(BOT, lambda one: is_in(one, "handlers") or is_in(one, "localslack")) == {}


def test_the_ground_stands_on_the_standard_library() -> None:
    ground = set(sys.stdlib_module_names) | ON_THE_GROUND | {"bot"}

    def foreign(one: str) -> bool:
        # Of the scheduler only the triggers are pure: a rule and a time in, a time out.
        return one.partition(".")[0] not in ground and not is_in(one, "apscheduler.triggers")

    assert users(of("bot.domain"), foreign) == {}


def test_services_know_no_library_of_slack_mlflow_or_databases() -> None:
    known = set(sys.stdlib_module_names) | ON_THE_GROUND | {"bot"}
    assert users(of("bot.services"), lambda one: one.partition(".")[0] not in known) == {}


def test_of_the_services_a_plug_knows_only_what_it_draws() -> None:
    drawn = {"bot.services.registry.queries", "bot.services.audit.queries", "bot.services.home.home"}
    plugs = [*of("bot.registry"), *of("bot.ledger"), *of("bot.sources")]
    assert users(plugs, lambda one: is_in(one, "bot.services")) == {}
    assert users(of("bot.slack"), lambda one: is_in(one, "bot.services") and one not in drawn) == {}


ABOUT_MLFLOW = [module for module in of("bot.registry") if module.startswith("bot.registry.mlflow.registry")]


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("mlflow", [*ABOUT_MLFLOW, "handlers.demo"]),  # the demo trains the models that it shows
        ("sqlalchemy", ["bot.ledger", *ABOUT_MLFLOW]),  # MLflow lets SQLAlchemy's errors through
        ("slack_sdk", ["bot.slack", "bot.bootstrap.build", "handlers"]),
        ("slack_bolt", ["handlers"]),
        ("fastapi", ["handlers"]),
        ("prometheus_client", ["bot.metrics.prometheus"]),
        ("structlog", ["handlers.logs"]),
        ("apscheduler.schedulers", ["handlers.jobs"]),
        ("apscheduler", ["handlers.jobs", "bot.domain.core.cron_windows"]),
        ("argparse", ["bot.domain.commands.parser", "handlers.terminal.main", "localslack"]),
    ],
)
def test_a_library_has_its_home(library: str, homes: list[str]) -> None:
    strangers = [one for one in [*of("bot"), *of("handlers")] if not any(is_in(one, home) for home in homes)]
    assert users(strangers, lambda one: is_in(one, library)) == {}


def test_the_local_workspace_knows_nothing_of_us() -> None:
    assert users(of("localslack"), lambda one: is_in(one, "bot") or is_in(one, "handlers")) == {}


def test_only_the_demo_knows_the_local_workspace() -> None:
    others = [module for module in of("handlers") if not is_in(module, "handlers.demo")]
    assert users(others, lambda one: is_in(one, "localslack")) == {}


def test_nothing_that_runs_knows_the_tests() -> None:
    assert users(modules(), lambda one: is_in(one, "tests") or is_in(one, "pytest")) == {}


def test_nothing_imports_in_a_circle() -> None:
    assert list(_circles()) == []


def _circles() -> Iterator[str]:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield " → ".join([*path[path.index(module) :], module])
        elif module not in done:
            for one in sorted(imports(module) & modules().keys()):
                yield from visit(one, (*path, module))
            done.add(module)

    for module in modules():
        yield from visit(module, ())


# What opens a connection, starts a thread or reads the world: made in one place, and never by an import.
MADE_BY_NOBODY = {
    "WebClient",
    "WebhookClient",
    "App",
    "AsyncApp",
    "SocketModeHandler",
    "FastAPI",
    "Starlette",
    "create_engine",
    "BackgroundScheduler",
    "ThreadPoolExecutor",
    "Thread",
    "Timer",
    "SqlLedger",
    "MlflowRegistry",
    "Settings",
    "Client",
    "open",
    "connect",
    "run",
    "start",
    "basicConfig",
    "load_policy",
    "read_settings",
}


def _at_import(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that happen when a module is imported: none within functions, or under `__main__`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "__main__" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _at_import(child)


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_importing_changes_nothing() -> None:
    imported = modules().keys() - {"bot.ledger.migrations.env"}  # Alembic runs this file itself; nobody imports it
    called = {module: {_called(call) for call in _at_import(tree(module))} & MADE_BY_NOBODY for module in imported}
    assert {module: calls for module, calls in called.items() if calls} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module in modules() if not ast.get_docstring(tree(module))] == []
