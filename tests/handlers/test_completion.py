"""What a shell offers behind `registrar`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from handlers.cli import OWN, main
from handlers.terminal.completion import SHELLS, script
from handlers.terminal.grammar import VERBS
from handlers.terminal.listed import GROUPS

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def sourced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, in a file."""
    file = tmp_path_factory.mktemp("completion") / "registrar.bash"
    file.write_text(script("bash", OWN[:-1]), encoding="utf-8")
    return file


def offered(sourced: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of these words."""
    assert BASH
    typed = " ".join(f"'{word}'" for word in ("registrar", *words))
    prints = "printf '%s\\n' \"${COMPREPLY[@]}\""
    line = f"source {sourced}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _registrar; {prints}"
    done = subprocess.run([BASH, "--norc", "-eu", "-c", line], text=True, capture_output=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
class TestBash:
    def test_every_command_is_offered(self, sourced: Path) -> None:
        single = {name for name in VERBS if " " not in name}
        assert set(offered(sourced, "")) == single | set(GROUPS) | set(OWN)

    def test_what_begins_so_is_offered(self, sourced: Path) -> None:
        assert offered(sourced, "pro") == ["promote"]

    def test_the_second_word_of_a_group_is_offered(self, sourced: Path) -> None:
        assert set(offered(sourced, "audit", "")) == {"show", "verify", "export"}
        assert offered(sourced, "monitor", "back") == ["backtest"]

    def test_the_flags_of_a_verb_are_offered(self, sourced: Path) -> None:
        assert offered(sourced, "promote", "churn", "4", "production", "--wa") == ["--wait"]
        assert "--greater-than" in offered(sourced, "monitor", "add", "churn", "--gr")
        assert offered(sourced, "doctor", "--l") == ["--live"]


def test_every_shell_gets_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        printed = capsys.readouterr().out
        assert all(name.split()[-1] in printed for name in VERBS), shell
