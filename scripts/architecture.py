"""Draw the code's layers and packages from its imports, and list the purpose of each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scripts.drawing import CHIP_HEIGHT, MARGIN, PADDING, TEXT, TITLE, WIDTH, box, svg, text, text_width, wrapped
from scripts.markdown import ROOT, SOURCE

# The packages of every layer, as tests/test_architecture.py enforces them: each imports only those before it.
PACKAGE_ORDER = (
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
    "delivery",
)
# What each layer is for, top to bottom; ROWS says which are side by side. A layer imports only layers in lower rows.
LAYERS = {
    "handlers": "entry points: parse a payload into a command, execute it, render the result",
    "bot.bootstrap": "builds everything; the one place that names every concrete class",
    "bot.registrar": "the services together, their threads, and what the jobs call",
    "bot.slack": "messages, modals, charts; posts them and reads profiles",
    "bot.registry": "the model registry: MLflow",
    "bot.ledger": "Registrar's SQL database: SQLite or PostgreSQL",
    "bot.sources": "metric sources: push, MLflow, Prometheus, plugins",
    "bot.services": "use cases, in terms of the domain and the ports",
    "bot.ports": "protocols: what the services need from outside",
    "bot.domain": "types, rules, state machines, sentences; no I/O, no clock",
}
ROWS = (
    ("handlers",),
    ("bot.bootstrap",),
    ("bot.registrar",),
    ("bot.slack",),
    ("bot.registry", "bot.ledger", "bot.sources"),
    ("bot.services",),
    ("bot.ports",),
    ("bot.domain",),
)


class UpwardImport(Exception):
    """A layer imports one that's drawn next to or above it, so the picture would be wrong."""


def modules() -> dict[str, Path]:
    """Return the files in bot/ and handlers/ by module name, except for database migrations."""
    found = {}
    for path in sorted([*ROOT.glob("bot/**/*.py"), *ROOT.glob("handlers/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "migrations" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(module: str) -> str:
    """Return a module's layer; each module directly in bot/ is its own layer."""
    return "handlers" if module.startswith("handlers") else ".".join(module.split(".")[:2])


def layer_imports() -> dict[str, set[str]]:
    """Return the layers that each layer imports, except itself. Raises UpwardImport."""
    imports: dict[str, set[str]] = {layer: set() for layer in LAYERS}
    for module, path in modules().items():
        layer = layer_of(module)
        if layer in LAYERS:
            imports[layer] |= {layer_of(name) for name in _imported(path)} & LAYERS.keys() - {layer}
    row_of = {layer: number for number, row in enumerate(ROWS) for layer in row}
    for layer, imported in imports.items():
        if upward := sorted(other for other in imported if row_of[other] <= row_of[layer]):
            raise UpwardImport(
                f"{layer} imports {', '.join(upward)}: move it, or change ROWS in scripts/architecture.py"
            )
    return imports


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(layer: str) -> list[str]:
    """Return the packages in a layer: first those in `PACKAGE_ORDER`, in that order, then the others by name."""
    folders = {path.parent.name for path in (ROOT / layer.replace(".", "/")).glob("*/__init__.py")}
    return [name for name in PACKAGE_ORDER if name in folders] + sorted(folders - set(PACKAGE_ORDER))


def layer_table() -> str:
    """Return one table of the layers, top to bottom, and then of the packages in them, in `PACKAGE_ORDER`."""
    imports = layer_imports()
    rows = ["| layer, top to bottom | what it's for | imports |", "|---|---|---|"]
    for layer, purpose in LAYERS.items():
        rows.append(f"| {_folder_link(layer)} | {purpose} | {_names_in_order(imports[layer]) or 'no other layer'} |")
    rows.append("| **package, in order** | **what it's for** | **in** |")
    for package in PACKAGE_ORDER:
        layers = [layer for layer in reversed(LAYERS) if layer != "handlers" and package in packages(layer)]
        if layers:
            folders = {short_name(layer): f"{layer.replace('.', '/')}/{package}" for layer in layers}
            places = ", ".join(f"[{name}]({SOURCE}{folder})" for name, folder in folders.items())
            rows.append(f"| `{package}` | {_package_purpose(layers[0], package)} | {places} |")
    return "\n".join(rows)


def short_name(layer: str) -> str:
    """Return a layer's name without the prefix `bot.`."""
    return layer.removeprefix("bot.")


def _names_in_order(layers: set[str]) -> str:
    return ", ".join(short_name(layer) for layer in LAYERS if layer in layers)


def _folder_link(layer: str) -> str:
    path = layer.replace(".", "/")
    path += "" if (ROOT / path).is_dir() else ".py"
    return f"[`{path}`]({SOURCE}{path})"


def _package_purpose(layer: str, package: str) -> str:
    path = ROOT / layer.replace(".", "/") / package / "__init__.py"
    sentence = (ast.get_docstring(parsed(path)) or "").splitlines()[0].rstrip(".").replace("’", "'")
    return sentence[:1].lower() + sentence[1:]


# -- the picture ---------------------------------------------------------------------------------------------------

GAP = 22  # between rows
CHIP_GAP = 6


class Box(NamedTuple):
    """A layer's box: its SVG parts and its height."""

    parts: list[str]
    height: int


def picture() -> str:
    """Return docs/pictures/architecture.svg: a box for each layer, with its packages; imports point down."""
    imports = layer_imports()
    parts: list[str] = []
    y = MARGIN
    for number, row in enumerate(ROWS):
        if number:
            parts.append(_arrow(y))
            y += GAP
        for place, layer in enumerate(row):
            y += CHIP_GAP if place else 0
            drawn = _layer_box(layer, imports[layer], y)
            parts += [box(MARGIN, y, WIDTH - 2 * MARGIN, drawn.height), *drawn.parts]
            y += drawn.height
    label = "Registrar's layers, top to bottom: " + ", ".join(layer.replace(".", "/") for layer in LAYERS)
    return svg(parts, y + MARGIN, label)


def _layer_box(layer: str, imported: set[str], top: int) -> Box:
    """Draw a layer's title, its purpose, its packages, and what it imports."""
    x, y, room = MARGIN + PADDING, top + PADDING + TITLE - 4, WIDTH - 2 * (MARGIN + PADDING)
    path = layer.replace(".", "/")
    parts = [text(x, y, TITLE, path if (ROOT / path).is_dir() else f"{path}.py", 'font-weight="600"')]
    for line in wrapped(LAYERS[layer].split(), room):
        y += TEXT + 6
        parts.append(text(x, y, TEXT, line, 'class="quiet"'))
    names = packages(layer)
    if layer == "handlers" or set(names) & set(PACKAGE_ORDER):
        y += CHIP_GAP + 4
        chips, y = _chips(names, x, y, room)
        parts += chips
    if imported:
        words = f"imports {_names_in_order(imported)}".split()
        for line in wrapped(words, room):
            y += TEXT + 6
            parts.append(text(x, y, TEXT, line, 'class="quiet" font-style="italic"'))
    return Box(parts, y + PADDING - top)


def _chips(names: Iterable[str], left: int, top: int, room: int) -> tuple[list[str], int]:
    """Draw names side by side, wrapping as needed; return their SVG parts and the y position of their bottom."""
    parts, x, y = [], left, top
    for name in names:
        width = round(text_width(name)) + 20
        if x > left and x + width > left + room:
            x, y = left, y + CHIP_HEIGHT + CHIP_GAP
        parts.append(box(x, y, width, CHIP_HEIGHT, "chip"))
        parts.append(text(x + width // 2, y + 18, TEXT, name, 'text-anchor="middle"'))
        x += width + CHIP_GAP
    return parts, y + CHIP_HEIGHT


def _arrow(top: int) -> str:
    middle, tip = WIDTH // 2, top + GAP - 4
    return f'<path class="arrow" d="M{middle} {top + 3} V{tip} m-6 -7 l6 7 l6 -7"/>'
