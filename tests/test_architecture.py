"""The layers and packages of the code, read from its imports: an import that points up or sideways fails here."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ("bot", "handlers", "localslack")

# Lower layers first. A module imports from its own layer and from lower ones, and never from another layer beside it.
# Services are below the adapters, which they call through the ports; neither imports the other.
LAYERS: list[set[str]] = [
    {"bot.domain"},
    {"bot.ports", "bot.logging_context", "bot.version"},
    {"bot.services", "bot.http_client"},
    {"bot.registry", "bot.ledger", "bot.sources", "bot.slack"},
    {
        "bot.settings",
        "bot.malloc",
        "bot.fair_pool",
        "bot.process_identity",
        "bot.policy_file",
        "bot.anchor_file",
        "bot.key_folder",
        "bot.webhook_sender",
        "bot.id_tokens",
        "bot.serving_probe",
        "bot.metrics",
    },
    {"bot.registrar"},
    {"bot.bootstrap"},
]
# The packages of a layer, lower ones first: a package imports from those before it. Every layer has the same ones.
ORDER = (
    "core",
    "registry",
    "integrity",
    "audit",
    "policy",
    "promotions",
    "transitions",
    "rollbacks",
    "monitoring",
    "evidence",
    "commands",
    "home",
)
PACKAGED = {
    "bot.domain": ORDER,
    "bot.services": ORDER,
    "bot.slack": (*ORDER, "delivery"),  # what's delivered is made of all the others
    "tests.domain": ORDER,
    "tests.services": ORDER,
    "tests.slack": (*ORDER, "delivery"),
}
# Ports and stores have one module per subject.
SUBJECTS = {"bot.ports": (*ORDER, "work_queue"), "bot.ledger.stores": (*ORDER, "work_queue")}
# Modules that plugins written for 0.2 import; they only pass names on.
OLD_PATHS = {"bot.domain.errors", "bot.domain.monitors"}
LONGEST_FILE = 400  # lines
MOST_MODULES = 14  # in a folder, without __init__.py
LONG_FUNCTION = 18  # lines that nine of ten functions don't exceed
PURE = {"pydantic", "pandas", "numpy", "semver"}  # what the domain uses besides the standard library


@cache
def modules() -> dict[str, Path]:
    """Return every module of ours, by its dotted name."""
    found = {}
    for package in PROGRAMS:
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
    """Tell whether a module is a package, or belongs to it."""
    return module == package or module.startswith(f"{package}.")


def unit(module: str) -> str:
    """Return the part of bot that a module belongs to: `bot.domain`, `bot.settings`."""
    return ".".join(module.split(".")[:2])


def layer(module: str) -> int:
    """Return the layer of a module of bot; the domain's is 0."""
    return next(number for number, units in enumerate(LAYERS) if unit(module) in units)


def modules_of(package: str) -> list[str]:
    """Return the modules of a package."""
    return [module for module in modules() if is_in(module, package)]


def importers(of: Iterable[str], forbidden: Callable[[str], bool]) -> dict[str, list[str]]:
    """Return which of these modules import something forbidden, and what it is."""
    found = {module: sorted(filter(forbidden, imports(module))) for module in of}
    return {module: names for module, names in found.items() if names}


BOT = [module for module in modules_of("bot") if module != "bot"]


def test_every_module_of_bot_belongs_to_a_layer() -> None:
    assert [module for module in BOT if not any(unit(module) in units for units in LAYERS)] == []


def test_inside_bot_imports_only_point_to_lower_layers() -> None:
    pairs = [(module, name) for module in BOT for name in imports(module) if is_in(name, "bot") and name != "bot"]
    assert [pair for pair in pairs if unit(pair[0]) != unit(pair[1]) and layer(pair[1]) >= layer(pair[0])] == []


# -- packages ----------------------------------------------------------------------------------------------------------


def folders(package: str) -> list[str]:
    """Return the names of the folders of a package that hold Python."""
    root = ROOT / Path(*package.split("."))
    return sorted(path.name for path in root.iterdir() if path.is_dir() and any(path.rglob("*.py")))


@pytest.mark.parametrize("parent", PACKAGED)
def test_every_layer_has_the_same_packages(parent: str) -> None:
    assert [name for name in folders(parent) if name not in PACKAGED[parent]] == []


@pytest.mark.parametrize("parent", PACKAGED)
def test_a_packaged_layer_has_no_modules_beside_its_packages(parent: str) -> None:
    names = [path.stem for path in (ROOT / Path(*parent.split("."))).glob("*.py")]
    assert [
        name for name in names if name not in {"__init__", "conftest"} and f"{parent}.{name}" not in OLD_PATHS
    ] == []


@pytest.mark.parametrize("parent", [name for name in PACKAGED if name.startswith("bot.")])
def test_packages_import_only_from_those_before_them(parent: str) -> None:
    order = PACKAGED[parent]

    def rank(module: str) -> int:
        return order.index(module.removeprefix(f"{parent}.").partition(".")[0])

    inner = [module for module in modules_of(parent) if module != parent and module not in OLD_PATHS]
    pairs = [(module, name) for module in inner for name in imports(module) if is_in(name, parent) and name != parent]
    assert [(module, name) for module, name in pairs if rank(name) > rank(module)] == []


# -- sizes and names ---------------------------------------------------------------------------------------------------


def python_files(*roots: str) -> list[Path]:
    """Return the Python files in these folders."""
    return [path for root in roots for path in sorted((ROOT / root).rglob("*.py"))]


def test_no_file_is_too_long_to_read_at_once() -> None:
    files = python_files("bot", "handlers", "localslack", "tests", "benchmarks", "scripts")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_folder_has_too_many_modules_to_choose_from() -> None:
    files = python_files("bot", "handlers", "localslack", "tests", "benchmarks")
    migrations = ROOT / "bot" / "ledger" / "migrations" / "versions"  # one more with each change of the tables
    counts = Counter(path.parent for path in files if path.name != "__init__.py" and path.parent != migrations)
    assert {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > MOST_MODULES} == {}


def test_nine_of_ten_functions_fit_on_a_small_screen() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) * 9 // 10] <= LONG_FUNCTION


def test_no_two_classes_have_the_same_name() -> None:
    names = Counter(
        node.name
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, times in names.items() if times > 1] == []


# -- libraries ---------------------------------------------------------------------------------------------------------


def test_bot_does_not_know_its_entry_points() -> None:
    assert importers(BOT, lambda name: is_in(name, "handlers") or is_in(name, "localslack")) == {}


def test_the_entry_points_do_not_know_which_database_the_ledger_is() -> None:
    assert importers(modules_of("handlers"), lambda name: is_in(name, "bot.ledger")) == {}


def test_only_one_place_in_bot_reads_the_clock() -> None:
    calls = {"now", "today", "utcnow"}
    found = {
        module
        for module in BOT
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in calls
        if isinstance(node.func.value, ast.Name) and node.func.value.id in {"datetime", "date"}
    }
    assert found - {"bot.sources.contract"} == {"bot.ports.external"}  # the contract is for tests


def test_the_domain_needs_only_the_standard_library() -> None:
    known = set(sys.stdlib_module_names) | PURE | {"bot"}

    def foreign(name: str) -> bool:
        # Of the scheduler only the triggers are pure: a rule and a time in, a time out.
        return name.partition(".")[0] not in known and not is_in(name, "apscheduler.triggers")

    assert importers(modules_of("bot.domain"), foreign) == {}


def test_services_know_no_library_of_slack_mlflow_or_databases() -> None:
    known = set(sys.stdlib_module_names) | PURE | {"bot"}
    assert importers(modules_of("bot.services"), lambda name: name.partition(".")[0] not in known) == {}


@pytest.mark.parametrize("adapter", ["bot.registry", "bot.ledger", "bot.sources", "bot.slack"])
def test_an_adapter_knows_no_service(adapter: str) -> None:
    assert importers(modules_of(adapter), lambda name: is_in(name, "bot.services")) == {}


COMPLETION = "handlers.terminal.command_line.completion"


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("mlflow", ["bot.registry.mlflow", "handlers.demo"]),  # the demo trains the models that it shows
        ("sqlalchemy", ["bot.ledger", "bot.registry.mlflow"]),  # MLflow lets SQLAlchemy's errors through
        ("slack_sdk", ["bot.slack", "bot.bootstrap", "handlers"]),
        ("slack_bolt", ["handlers"]),
        ("fastapi", ["handlers"]),
        ("prometheus_client", ["bot.metrics"]),
        ("structlog", ["handlers.logs"]),
        ("apscheduler.schedulers", ["handlers.scheduled_jobs"]),
        ("apscheduler", ["handlers.scheduled_jobs", "bot.domain.core.cron_windows"]),
        ("argparse", ["bot.domain.commands.parser", "handlers.terminal.main", COMPLETION, "localslack"]),
        ("shtab", [COMPLETION]),
        ("cryptography", ["bot.key_folder"]),
        ("jinja2", ["handlers.terminal.output.pages"]),
    ],
)
def test_a_library_is_used_in_one_place(library: str, users: list[str]) -> None:
    others = [name for name in [*BOT, *modules_of("handlers")] if not any(is_in(name, user) for user in users)]
    assert importers(others, lambda name: is_in(name, library)) == {}


def test_the_local_workspace_does_not_know_registrar() -> None:
    assert importers(modules_of("localslack"), lambda name: is_in(name, "bot") or is_in(name, "handlers")) == {}


def test_only_other_packages_import_what_plugins_import() -> None:
    verifier = "registrar.verifier"  # imports nothing of ours, so that it can be copied
    others = [module for module in modules() if not is_in(module, "handlers.terminal")]
    assert importers(others, lambda name: is_in(name, "registrar")) == {}
    assert importers(modules(), lambda name: is_in(name, "registrar") and not is_in(name, verifier)) == {}


def test_only_the_demo_uses_the_local_workspace() -> None:
    others = [module for module in modules_of("handlers") if not is_in(module, "handlers.demo")]
    assert importers(others, lambda name: is_in(name, "localslack")) == {}


def test_no_program_imports_the_tests() -> None:
    contract = "bot.registry.contract"  # tests for adapters in other packages; only these need pytest
    programs = [module for module in modules() if not is_in(module, contract)]
    assert importers(programs, lambda name: any(is_in(name, each) for each in ("tests", "pytest", contract))) == {}
    assert importers(modules_of(contract), lambda name: is_in(name, "tests")) == {}


def test_no_import_cycle() -> None:
    assert list(_cycles()) == []


def _cycles() -> Iterator[str]:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield " → ".join([*path[path.index(module) :], module])
        elif module not in done:
            for name in sorted(imports(module) & modules().keys()):
                yield from visit(name, (*path, module))
            done.add(module)

    for module in modules():
        yield from visit(module, ())


# -- importing ---------------------------------------------------------------------------------------------------------

# What opens a connection, starts a thread, or reads a file is called in one place, and never by an import.
NEVER_AT_IMPORT = {
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
    called = {module: {_called(call) for call in _at_import(tree(module))} & NEVER_AT_IMPORT for module in imported}
    assert {module: calls for module, calls in called.items() if calls} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module in modules() if not ast.get_docstring(tree(module))] == []
