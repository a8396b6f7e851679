"""The packages of localslack: each imports only from those before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import localslack

FOLDER = Path(localslack.__file__).parent
ORDER = (
    "core",
    "payloads",
    "signing",
    "manifest",
    "seed",
    "blocks",
    "workspace",
    "delivery",
    "calls",
    "backend",
    "interactions",
    "api",
    "web",
    "client",
    "local_slack",
    "__init__",
    "__main__",
)
MODULES = sorted(path.relative_to(FOLDER).with_suffix("").parts for path in FOLDER.rglob("*.py"))


def imported_packages(module: tuple[str, ...]) -> set[str]:
    tree = ast.parse(FOLDER.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = [f"{node.module}.{alias.name}".split(".") for node in imports for alias in node.names]
    return {name[1] for name in names if name[0] == "localslack"}


@pytest.mark.parametrize("module", MODULES, ids="/".join)
def test_packages_import_only_lower_ones(module: tuple[str, ...]) -> None:
    lower = ORDER[: ORDER.index(module[0])]
    assert imported_packages(module) - {module[0], *lower} == set()
