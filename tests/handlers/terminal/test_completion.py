"""Shell completion for `registrar`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from handlers.terminal.command_line.grammar import TERMINAL_COMMANDS
from handlers.terminal.command_line.index import COMMAND_GROUPS, OWN_COMMANDS
from handlers.terminal.main import main

BASH = shutil.which("bash")


@pytest.fixture
def sourced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a file with the script for bash."""
    assert main(["completion", "bash"]) == 0
    file = tmp_path / "registrar.bash"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def offered(sourced: Path, *words: str) -> list[str]:
    """Return bash's completions of the last word."""
    assert BASH
    typed = " ".join(f"'{word}'" for word in ("registrar", *words))
    prints = "printf '%s\\n' \"${COMPREPLY[@]}\""
    line = f"source {sourced}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_registrar; {prints}"
    done = subprocess.run([BASH, "--norc", "-eu", "-c", line], text=True, capture_output=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
class TestBash:
    def test_every_command_is_completed(self, sourced: Path) -> None:
        single = {name for name in TERMINAL_COMMANDS if " " not in name}
        assert set(offered(sourced, "")) == single | set(COMMAND_GROUPS) | set(OWN_COMMANDS)

    def test_a_prefix_is_completed(self, sourced: Path) -> None:
        assert offered(sourced, "pro") == ["promote"]

    def test_a_groups_subcommands_are_completed(self, sourced: Path) -> None:
        assert set(offered(sourced, "audit", "")) == {"show", "verify", "export", "evidence"}
        assert offered(sourced, "monitor", "back") == ["backtest"]

    def test_a_commands_flags_are_completed(self, sourced: Path) -> None:
        assert offered(sourced, "promote", "churn", "4", "production", "--wa") == ["--wait"]
        assert "--greater-than" in offered(sourced, "monitor", "add", "churn", "--gr")
        assert offered(sourced, "doctor", "--l") == ["--live"]

    @pytest.mark.parametrize(
        ("words", "choices"),
        [
            (["promote", "churn", "4", "--to"], "production staging"),
            (["monitor", "edit", "churn", "accuracy", "--action"], "ask auto dry_run notify"),
            (["audit", "export", "--format"], "csv jsonl"),
            (["register", "--bump"], "major minor patch"),
            (["completion"], "bash fish zsh"),
        ],
    )
    def test_fixed_choices_are_completed(self, sourced: Path, words: list[str], choices: str) -> None:
        assert " ".join(sorted(offered(sourced, *words, ""))) == choices

    def test_a_positional_stage_is_completed(self, sourced: Path) -> None:
        assert offered(sourced, "promote", "churn", "4", "p") == ["production"]
        assert offered(sourced, "promote", "churn", "p") == []

    def test_free_values_are_left_to_the_shell(self, sourced: Path) -> None:
        assert offered(sourced, "promote", "churn", "--reason", "") == []

    def test_file_arguments_complete_files(self, sourced: Path) -> None:
        beginning = str(sourced)[:-2]
        assert offered(sourced, "audit", "verify", "--anchor", beginning) == [str(sourced)]
        assert offered(sourced, "history", "import", beginning) == [str(sourced)]

    @pytest.mark.parametrize("name", sorted({*OWN_COMMANDS} - {"completion"}))
    def test_other_commands_complete_the_flags_in_their_help(
        self, sourced: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        helped = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
        assert helped == set(offered(sourced, name, "--"))

    def test_the_script_registers_itself_for_the_command(self, sourced: Path) -> None:
        assert BASH
        line = f"source {sourced}; complete -p registrar"
        done = subprocess.run([BASH, "--norc", "-c", line], text=True, capture_output=True, check=True)
        # If nothing matches, bash falls back to its default completion.
        assert done.stdout == "complete -o bashdefault -o nosort -F _registrar registrar\n"


def test_every_shell_script_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        printed = capsys.readouterr().out
        assert all(name.split()[-1] in printed for name in TERMINAL_COMMANDS), shell
