"""The parts of the benchmarks, by name.

`python -m benchmarks.parts PART FILE` runs one and writes its figures as JSON, for `--vs`. Only the part's own module
is imported, because another commit can lack what the others need.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Report

ROOT = Path(__file__).parent.parent
OURS = {"benchmarks", "bot", "handlers", "localslack", "scripts", "tests"}  # packages
PARTS = {  # modules and functions
    "slack": "app.acknowledgements:answering",
    "clicks": "app.clicks:clicking",
    "flood": "app.flood:flooding",
    "compare": "compare:comparing",
    "audit": "audit:auditing",
    "rollback": "rollback:rolling",
    "monitors": "monitors:monitoring",
    "terminal": "terminal:typing",
    "workers": "workers:working",
    "large": "large_registry:large",
    "idle": "idle:idling",
}


def run(part: str, pictures: Path | None = None) -> Report:
    """Run a part in a temporary folder. Pictures that it leaves there are copied to the given folder."""
    module, _, name = PARTS[part].partition(":")
    measure = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
        if pictures:
            for file in Path(folder).glob("*.png"):
                shutil.copy(file, pictures)
    return found if isinstance(found, Report) else Report(found)


def require_tree(tree: Path) -> None:
    """Raise RuntimeError if a loaded module of Registrar's isn't in this tree.

    An installed checkout has the same packages, so a module that's missing here would be found there.
    """
    for package in ("bot", "handlers"):
        importlib.import_module(package)
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in OURS and file and not Path(file).resolve().is_relative_to(tree.resolve()):
            raise RuntimeError(f"{name} is imported from {file}, not from {tree}")


if __name__ == "__main__":
    report = run(sys.argv[1])
    require_tree(ROOT)
    Path(sys.argv[2]).write_text(json.dumps(dict(report.figures)), encoding="utf-8")
