"""What serving MCP costs a bot without agents."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT


def test_the_sdk_and_the_tools_are_loaded_with_the_first_call() -> None:
    modules = {"mcp", "handlers.mcp.http", "handlers.mcp.catalog"}
    code = f"import sys, handlers.serve; print(sorted({modules} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "['handlers.mcp.http']"
