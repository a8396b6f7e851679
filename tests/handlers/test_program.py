"""How the program `registrar` ends its process."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from tests.support.paths import ROOT


def run(*words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"""
import sys
{dedent(before)}
from registrar.__main__ import main

sys.argv[1:] = {list(words)!r}
sys.exit(main())
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False
    )


def test_a_library_that_crashes_while_python_is_torn_down_does_not_fail_a_command() -> None:
    ended = run(
        "--version",
        before="""
            import os

            class Library:
                def __del__(self, crash=os.abort):
                    crash()

            sys.kept = Library()
        """,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("registrar ")


def test_exit_handlers_still_run() -> None:
    ended = run(
        "--version",
        before="""
            import handlers.terminal.main, atexit

            shown = handlers.terminal.main.main
            handlers.terminal.main.main = lambda: (atexit.register(print, "tidied up"), shown())[1]
        """,
    )
    assert ended.stdout.splitlines()[-1] == "tidied up"


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["promote", "--nonsense"], 2), (["no-such-command"], 2)])
def test_the_exit_code_is_the_commands(words: list[str], code: int) -> None:
    assert run(*words).returncode == code


def test_an_unexpected_error_is_shown_and_exits_with_1() -> None:
    ended = run(
        "--version",
        before="""
            import handlers.terminal.main

            handlers.terminal.main.main = lambda: 1 / 0
        """,
    )
    assert ended.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert ended.returncode == 1


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(
            [sys.executable, "-m", "handlers", "--version"], cwd=ROOT, stdout=full, timeout=120, check=False
        )
    assert ended.returncode != 0
