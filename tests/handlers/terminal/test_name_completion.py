"""Completion of names in the ledger and in MLflow, with TAB in real shells."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import RegistrySnapshot
from bot.ledger.database import SqlLedger
from handlers.terminal.command_line import complete
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import a_request
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.shell_session import ShellSession, open_shell

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
SHELLS = ["bash", "zsh", "fish"]
ODD_NAMES = [
    "a model",
    "b's",
    'c "b"',
    "d$(touch pwned)",
    "e`touch pwned`",
    "f;touch pwned",
    "g*",
    "h\\slash",
    "i🚀",
    "jмодель",
    "k@y",
    "l=v",
    "m!no",
]


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with an empty ledger."""
    folder = tmp_path / ".registrar"
    folder.mkdir()
    (folder / "ledger.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("REGISTRAR_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return folder


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[ShellSession]:
    """Return each shell, with the completion, in a folder of its own."""
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} here")
    with open_shell(request.param, tmp_path) as session:
        yield session


def keep_model(home: Path, *names: str) -> None:
    """Add models with v9 in no stage, v8 in Production, and v7 in Staging."""
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as ledger, ledger.write() as tx:
        for name in names:
            stages = {7: Stage.STAGING, 8: Stage.PRODUCTION, 9: Stage.NONE}
            tx.save_registry_snapshot(RegistrySnapshot(model=name, at=NOW, stages=stages, aliases={"champion": 8}))


def test_an_odd_name_is_completed_as_one_word(shell: ShellSession, home: Path, tmp_path: Path) -> None:
    keep_model(home, *ODD_NAMES)
    assert [shell.words(f"registrar show {name[0]}\t") for name in ODD_NAMES] == [["show", name] for name in ODD_NAMES]
    assert not (tmp_path / "pwned").exists()


def test_an_open_quote_is_closed(shell: ShellSession, home: Path, tmp_path: Path) -> None:
    keep_model(home, "a'b$(touch pwned)\"c\\")
    for quote in ("'", '"'):
        assert shell.words(f"registrar show {quote}a\t") == ["show", "a'b$(touch pwned)\"c\\"]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_that_ends_with_the_open_quote_is_one_word(
    shell: ShellSession, home: Path, tmp_path: Path, quote: str
) -> None:
    keep_model(home, f"a$(touch pwned){quote}")
    # The typed quotes end a line that's still open, so that a failure isn't a wait.
    line = f"registrar show {quote}a\t; : {quote}{quote}"
    assert shell.words(line) == ["show", f"a$(touch pwned){quote}"]
    assert not (tmp_path / "pwned").exists()


def test_the_words_after_an_odd_name_are_completed(shell: ShellSession, home: Path, tmp_path: Path) -> None:
    name = "a[$(touch pwned)]'\"`touch pwned`;"
    keep_model(home, name)
    assert shell.words("registrar promote a\t8\tprod\t") == ["promote", name, "8", "production"]
    assert not (tmp_path / "pwned").exists()


def test_a_name_that_begins_like_a_command_substitution_is_completed(
    shell: ShellSession, home: Path, tmp_path: Path
) -> None:
    keep_model(home, "$(touch pwned)")
    assert shell.words("registrar show \t") == ["show", "$(touch pwned)"]
    assert not (tmp_path / "pwned").exists()


def test_no_name_is_completed_as_a_home_folder(shell: ShellSession, home: Path) -> None:
    keep_model(home, "~root")
    assert shell.words("registrar show \t") in (["show", "~root"], ["show"])  # fish can't quote it


def test_a_version_and_a_stage_are_completed_after_the_model(shell: ShellSession, home: Path) -> None:
    keep_model(home, "churn")
    assert shell.words("registrar promote ch\t9\tp\t") == ["promote", "churn", "9", "production"]
    assert shell.words("registrar promote churn @ch\t") == ["promote", "churn", "@champion"]


def test_requests_and_monitors_are_completed(shell: ShellSession, home: Path) -> None:
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as ledger, ledger.write() as tx:
        tx.add_request(a_request(id="r4k7q"))
        tx.add_monitor(a_monitor())
    assert shell.words("registrar approve \t") == ["approve", "r4k7q"]
    assert shell.words("registrar monitor show churn \t") == ["monitor", "show", "churn", "accuracy"]


def test_the_value_of_a_flag_is_completed(shell: ShellSession, home: Path) -> None:
    keep_model(home, "churn")
    typed = "registrar promote --model-name ch\t--version @ch\t"
    assert shell.words(typed) == ["promote", "--model-name", "churn", "--version", "@champion"]
    assert shell.words("registrar show --model=ch\t") == ["show", "--model=churn"]


def test_a_name_with_a_leading_dash_is_completed_where_it_is_no_flag(shell: ShellSession, home: Path) -> None:
    keep_model(home, "-dash")
    assert shell.words("registrar show -- -\t") == ["show", "--", "-dash"]


def test_what_a_completion_reads_creates_no_ledger(shell: ShellSession, home: Path) -> None:
    (home / "ledger.db").unlink()
    assert shell.words("registrar show ch\t") == ["show", "ch"]
    assert list(home.iterdir()) == []


# -- what the program answers ------------------------------------------------------------------------------------------


@pytest.fixture
def patient(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wait for each answer as long as it takes; return the cache folder."""
    monkeypatch.setattr(complete, "MAX_WAIT", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "registrar"


def answers(capfd: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the lines that zsh gets, and check that nothing else is printed."""
    assert complete.complete(["zsh", *words]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out.splitlines() if out.strip() else []


pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


def test_versions_are_offered_newest_first_with_their_stage(
    patient: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keep_model(home, "churn")
    lines = answers(capfd, "promote", "churn", "")
    assert lines == ["9\t", "8\tProduction · @champion", "@champion\tv8 · Production", "7\tStaging"]


def test_names_come_from_mlflow_without_a_ledger(
    patient: Path,
    home: Path,
    mlflow_backend: MlflowBackend,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (home / "ledger.db").unlink()
    run = mlflow_backend.add_run(metrics={"f1": 0.9, "auc": 0.8})
    mlflow_backend.add_model("fraud")
    mlflow_backend.add_version("fraud", run_id=run, stage=Stage.PRODUCTION, tags={"semver": "1.0.0"})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    assert "fraud\t" in answers(capfd, "show", "")
    assert answers(capfd, "promote", "fraud", "") == ["1\tProduction · 1.0.0", "1.0.0\tv1 · Production"]
    assert answers(capfd, "best", "fraud", "") == ["auc\t", "f1\t"]


def test_requests_and_monitors_come_from_the_ledger(
    patient: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as ledger, ledger.write() as tx:
        tx.add_request(a_request(id="r4k7q"))
        tx.add_monitor(a_monitor())
    assert answers(capfd, "approve", "") == ["r4k7q\tchurn: v5 → v7 in Production"]
    assert [line.partition("\t")[0] for line in answers(capfd, "monitor", "show", "churn", "")] == ["accuracy"]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense", ""],
        ["show", "churn", "7", "more", ""],
        ["promote", "churn", "7", "production", "--reason", ""],
        ["monitor", "add", "churn", ""],
        ["show"],
        [],
    ],
)
def test_nothing_is_printed_where_there_is_nothing_to_offer(
    patient: Path, home: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    keep_model(home, "churn")
    assert answers(capfd, *words) == []


def test_a_broken_ledger_is_silent(patient: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "ledger.db").write_bytes(b"no database")
    assert answers(capfd, "show", "") == []


def test_only_the_user_can_read_the_cache(patient: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keep_model(home, "churn")
    answers(capfd, "show", "")
    [file] = patient.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (patient, file)] == [0o700, 0o600]


def test_an_answer_is_fresh_for_a_few_seconds_and_kept_if_nothing_answers(
    patient: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep_model(home, "churn")
    assert answers(capfd, "show", "") == ["churn\t"]
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a fresh answer isn't read again"))
    assert answers(capfd, "show", "") == ["churn\t"]
    monkeypatch.setattr("time.time", lambda: 4e9)
    monkeypatch.setattr(complete, "_ask_child", lambda words, path: "")
    assert answers(capfd, "show", "") == ["churn\t"]


def test_an_answer_that_others_could_write_is_not_used(
    patient: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep_model(home, "churn")
    assert answers(capfd, "show", "") == ["churn\t"]
    [file] = patient.iterdir()
    file.write_text('[4e9, [["planted", ""]]]')
    assert answers(capfd, "show", "") == ["planted\t"]
    file.chmod(0o666)
    assert answers(capfd, "show", "") == ["churn\t"]


def test_a_cache_folder_that_others_can_list_is_closed(
    patient: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keep_model(home, "churn")
    patient.mkdir(parents=True, exist_ok=True)
    patient.chmod(0o755)
    answers(capfd, "show", "")
    assert stat.S_IMODE(patient.stat().st_mode) == 0o700
