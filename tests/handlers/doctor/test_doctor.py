"""`registrar doctor`: its diagnoses, and that it changes nothing and reveals no secrets."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from handlers.doctor.check import (
    CheckSkippedError,
    Diagnosis,
    DiagnosisState,
    DoctorCheck,
    exit_code,
    failure,
    ok,
    run_checks,
    summarize_diagnoses,
    warning,
)
from handlers.doctor.clock import check_clock
from handlers.terminal.doctor import diagnosis_line, render_diagnoses
from handlers.terminal.main import main
from localslack import LocalSlack
from tests.support.paths import ROOT
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.doctor import RunDoctor

# -- all together ------------------------------------------------------------------------------------------------------


def test_a_healthy_setup_has_no_problems(
    doctor: RunDoctor, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, sqlite_url: str
) -> None:
    mlflow_backend.add_model("churn", versions=1)
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri, REGISTRAR_DATABASE_URL=sqlite_url)
    assert (said.code, said.err, said.document["healthy"]) == (0, "", True)
    assert [one["area"] for one in said.document["findings"] if one["state"] != "ok"] == ["MLflow access"]


def test_the_page_lists_every_part() -> None:
    calls = r'(?:_AREA = |\b(?:DoctorCheck|Diagnosis|ok|warning|failure)\(\s*)"([^"]+)"'
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "handlers" / "doctor").rglob("*.py"))
    page = (ROOT / "docs" / "reference/doctor.md").read_text(encoding="utf-8")
    parts = set(re.findall(calls, code))
    assert len(parts) > 15
    assert {part for part in parts if f"**{part}**" not in page} == set()


def test_the_document_has_exactly_the_documented_keys(doctor: RunDoctor) -> None:
    document = doctor().document
    assert list(document) == ["healthy", "findings"]
    assert {tuple(one) for one in document["findings"]} == {("area", "state", "sentence", "advice")}


def test_without_live_nothing_is_changed(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    doctor()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert {call["method"] for call in slack.calls()} == {
        "auth.test",
        "conversations.list",
        "users.info",
        "usergroups.list",
        "blocks.validate",
    }


def test_without_live_mlflow_is_only_read(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    doctor(MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert {request.split()[0] for request in mlflow_server.requests} == {"GET"}


def test_live_checks_post_nothing(doctor: RunDoctor, slack: LocalSlack) -> None:
    doctor("--live")
    assert [call for call in slack.calls() if call["method"].startswith(("chat.", "files.", "views."))] == []


def test_a_pipe_gets_one_line_per_part(doctor: RunDoctor) -> None:
    lines = doctor(as_json=False).out.splitlines()
    assert "ok        Slack channels: The bot is in #churn." in lines
    assert not any("\x1b" in one for one in lines)


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    printed = capsys.readouterr().out
    assert [
        word for word in ("--live", "--json", "  2  the configuration", "  3  the configuration") if word not in printed
    ] == []


def test_an_invalid_setting_hides_no_other_check(doctor: RunDoctor) -> None:
    said = doctor(REGISTRAR_POLL="soon", REGISTRAR_THREADS="1")
    assert said.states("settings") == ["error", "error"]
    assert said.states("Slack token") == ["ok"]


def test_no_secret_is_ever_printed(doctor: RunDoctor, tmp_path: Path) -> None:
    hidden = {
        "SLACK_BOT_TOKEN": "xoxb-hush-1",
        "SLACK_APP_TOKEN": "xapp-hush-2",
        "SLACK_SIGNING_SECRET": "hush-3",
        "MLFLOW_TRACKING_URI": "http://ann:hush-4@127.0.0.1:9/?token=hush-5",
        "REGISTRAR_DATABASE_URL": "postgresql://ann:hush-6@127.0.0.1:9/registrar?password=hush-7",
        "PGPASSWORD": "hush-9",
        "SLACK_API_URL": "http://ann:hush-8@127.0.0.1:9/api/",
    }
    said = [doctor("--live", **hidden), doctor("--live", as_json=False, **hidden)]
    assert [one for one in said if "hush" in one.out + one.err] == []


# -- one never hides the others ----------------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[DoctorCheck]:
    """Yield a check that reports one diagnosis and then hangs."""
    end = threading.Event()

    def look() -> Iterator[Diagnosis]:
        yield ok("first", "This was found before.")
        end.wait(20)

    yield DoctorCheck("hangs", look, "Look there.", timeout=0.05)
    end.set()


def test_a_hanging_check_hides_neither_other_checks_nor_its_earlier_results(hanging: DoctorCheck) -> None:
    found = run_checks([hanging, DoctorCheck("other", lambda: [ok("other", "Fine.")])])
    assert [(one.area, one.state) for one in found] == [
        ("first", DiagnosisState.OK),
        ("hangs", DiagnosisState.NO_REPLY),
        ("other", DiagnosisState.OK),
    ]
    assert found[1].advice == "Look there."


def test_the_states_in_json_stay_as_they_are() -> None:
    values = {state.label: state.value for state in DiagnosisState}
    assert values == {"ok": "ok", "warning": "mind", "error": "wrong", "no reply": "silent", "skipped": "skipped"}


def failing(error: Exception) -> DoctorCheck:
    """Return a check that raises."""

    def look() -> list[Diagnosis]:
        raise error

    return DoctorCheck("fails", look, "Mend it.")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Misconfigured("Wrong."), DiagnosisState.ERROR),
        (LedgerUnavailable("Away."), DiagnosisState.NO_REPLY),
        (CheckSkippedError("No."), DiagnosisState.SKIPPED),
        (KeyError("secret"), DiagnosisState.NO_REPLY),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_failing_check_becomes_a_diagnosis(error: Exception, state: DiagnosisState) -> None:
    [one, other] = run_checks([failing(error), DoctorCheck("other", lambda: [ok("other", "Fine.")])])
    assert (one.state, other.state) == (state, DiagnosisState.OK)
    assert "secret" not in one.sentence


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((DiagnosisState.OK, DiagnosisState.WARNING, DiagnosisState.SKIPPED), 0),
        ((DiagnosisState.OK, DiagnosisState.NO_REPLY), 3),
        ((DiagnosisState.NO_REPLY, DiagnosisState.ERROR), 2),
    ],
)
def test_an_error_decides_the_exit_code_over_no_reply(states: tuple[DiagnosisState, ...], code: int) -> None:
    found = [Diagnosis("part", state, "") for state in states]
    assert exit_code(found) == code


def test_the_last_line_counts_the_states() -> None:
    assert summarize_diagnoses([ok("a", "")]) == "No problems found."
    assert summarize_diagnoses([warning("a", "", "")]) == "No problems found: 1 warning."
    bad = [
        failure("a", "", ""),
        failure("b", "", ""),
        Diagnosis("c", DiagnosisState.NO_REPLY, ""),
        Diagnosis("d", DiagnosisState.SKIPPED, ""),
    ]
    assert summarize_diagnoses(bad) == "Problems found: 2 errors, 1 without a reply, 1 skipped."


def test_each_state_is_clear_without_color() -> None:
    lines = [diagnosis_line(Diagnosis("part", state, "So it is.", "Do that.")) for state in DiagnosisState]
    assert len({text.split()[0] for text in lines}) == len(DiagnosisState)
    assert all(text.endswith("So it is. → Do that.") for text in lines)
    assert len(render_diagnoses([], is_terminal=True)) == 3


# -- the clock ---------------------------------------------------------------------------------------------------------


NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("apart", "told"), [(timedelta(seconds=130), "2m 10s ahead of"), (timedelta(hours=-1), "1h behind")]
)
def test_a_wrong_clock_is_an_error(apart: timedelta, told: str) -> None:
    found = check_clock("Slack", format_datetime(NOON, usegmt=True), NOON + apart)
    assert found.state is DiagnosisState.ERROR
    assert told in found.sentence


def test_a_clock_can_be_off_by_a_minute() -> None:
    assert (
        check_clock("Slack", format_datetime(NOON, usegmt=True), NOON + timedelta(seconds=60)).state
        is DiagnosisState.OK
    )


def test_a_server_without_a_date_header_is_skipped() -> None:
    with pytest.raises(CheckSkippedError):
        check_clock("Slack", "", NOON)
