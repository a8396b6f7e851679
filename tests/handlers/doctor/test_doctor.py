"""`registrar doctor`: what it says of each part that is missing or wrong, and that it changes and betrays nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from handlers.doctor.check import Check, NotLookedAtError, look_at
from handlers.doctor.clock import clock
from handlers.doctor.diagnosis import Finding, State, exit_code, is_healthy, mind, ok, summary, wrong
from handlers.terminal.doctor import drawn, line
from handlers.terminal.main import main
from localslack import LocalSlack
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.doctor import RunDoctor

# -- all together ------------------------------------------------------------------------------------------------------


def test_where_all_is_well_nothing_is_wrong(
    doctor: RunDoctor, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, sqlite_url: str
) -> None:
    mlflow_backend.add("churn", versions=1)
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri, REGISTRAR_DATABASE_URL=sqlite_url)
    assert (said.code, said.err, said.document["healthy"]) == (0, "", True)
    assert [one["area"] for one in said.document["findings"] if one["state"] != "ok"] == ["MLflow access"]


def test_the_document_holds_what_is_promised_and_nothing_else(doctor: RunDoctor) -> None:
    document = doctor().document
    assert list(document) == ["healthy", "findings"]
    assert {tuple(one) for one in document["findings"]} == {("area", "state", "sentence", "advice")}


def test_without_being_asked_to_it_changes_nothing(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
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


def test_mlflow_is_only_read_without_being_asked_to_write(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    doctor(MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert {request.split()[0] for request in mlflow_server.requests} == {"GET"}


def test_even_live_it_posts_nothing(doctor: RunDoctor, slack: LocalSlack) -> None:
    doctor("--live")
    assert [call for call in slack.calls() if call["method"].startswith(("chat.", "files.", "views."))] == []


def test_a_pipe_gets_a_line_for_each_part(doctor: RunDoctor) -> None:
    lines = doctor(as_json=False).out.splitlines()
    assert "ok       Slack channels: We are in #churn." in lines
    assert not any("\x1b" in one for one in lines)


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    printed = capsys.readouterr().out
    assert [
        word for word in ("--live", "--json", "  2  something", "  3  the configuration") if word not in printed
    ] == []


def test_a_setting_that_is_wrong_hides_nothing_else(doctor: RunDoctor) -> None:
    said = doctor(REGISTRAR_POLL="soon", REGISTRAR_THREADS="1")
    assert said.states("settings") == ["wrong", "wrong"]
    assert said.states("Slack token") == ["ok"]


def test_no_secret_is_printed_whatever_is_wrong(doctor: RunDoctor, tmp_path: Path) -> None:
    hidden = {
        "SLACK_BOT_TOKEN": "xoxb-hush-1",
        "SLACK_APP_TOKEN": "xapp-hush-2",
        "SLACK_SIGNING_SECRET": "hush-3",
        "MLFLOW_TRACKING_URI": "http://ann:hush-4@127.0.0.1:9/?token=hush-5",
        "REGISTRAR_DATABASE_URL": "postgresql://ann:hush-6@127.0.0.1:9/registrar?password=hush-7",
        "SLACK_API_URL": "http://ann:hush-8@127.0.0.1:9/api/",
    }
    said = [doctor("--live", **hidden), doctor("--live", as_json=False, **hidden)]
    assert [one for one in said if "hush" in one.out + one.err] == []


# -- one never hides the others ----------------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[Check]:
    """Give a check that finds one thing and then never ends."""
    end = threading.Event()

    def look() -> Iterator[Finding]:
        yield ok("first", "This was found before.")
        end.wait(20)

    yield Check("hangs", look, "Look there.", seconds=0.05)
    end.set()


def test_what_hangs_hides_neither_the_others_nor_what_it_found_before(hanging: Check) -> None:
    found = look_at([hanging, Check("other", lambda: [ok("other", "Fine.")])])
    assert [(one.area, one.state) for one in found] == [
        ("first", State.OK),
        ("hangs", State.SILENT),
        ("other", State.OK),
    ]
    assert found[1].advice == "Look there."


def failing(error: Exception) -> Check:
    """Return a check that raises."""

    def look() -> list[Finding]:
        raise error

    return Check("fails", look, "Mend it.")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Misconfigured("Wrong."), State.WRONG),
        (LedgerUnavailable("Away."), State.SILENT),
        (NotLookedAtError("No."), State.SKIPPED),
        (KeyError("secret"), State.SILENT),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_fails_is_a_finding_like_any_other(error: Exception, state: State) -> None:
    [one, other] = look_at([failing(error), Check("other", lambda: [ok("other", "Fine.")])])
    assert (one.state, other.state) == (state, State.OK)
    assert "secret" not in one.sentence


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.OK, State.MIND, State.SKIPPED), 0),
        ((State.OK, State.SILENT), 3),
        ((State.SILENT, State.WRONG), 2),
    ],
)
def test_what_is_wrong_decides_before_what_does_not_answer(states: tuple[State, ...], code: int) -> None:
    found = [Finding("part", state, "") for state in states]
    assert (exit_code(found), is_healthy(found)) == (code, code == 0)


def test_the_last_line_counts() -> None:
    assert summary([ok("a", "")]) == "Nothing is wrong."
    assert summary([mind("a", "", "")]) == "Nothing is wrong: 1 thing to mind."
    bad = [wrong("a", "", ""), wrong("b", "", ""), Finding("c", State.SILENT, ""), Finding("d", State.SKIPPED, "")]
    assert summary(bad) == "2 things are wrong, 1 does not answer and 1 was not looked at."


def test_each_state_is_understood_without_its_colour() -> None:
    lines = [line(Finding("part", state, "So it is.", "Do that.")) for state in State]
    assert len({text.split()[0] for text in lines}) == len(State)
    assert all(text.endswith("So it is. → Do that.") for text in lines)
    assert len(drawn([], is_screen=True)) == 3


# -- the clock ---------------------------------------------------------------------------------------------------------


NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("apart", "told"), [(timedelta(seconds=130), "2m 10s ahead of"), (timedelta(hours=-1), "1h behind")]
)
def test_a_clock_that_is_wrong_is_told(apart: timedelta, told: str) -> None:
    found = clock("Slack", format_datetime(NOON, usegmt=True), NOON + apart)
    assert found.state is State.WRONG
    assert told in found.sentence


def test_a_clock_may_be_a_minute_apart() -> None:
    assert clock("Slack", format_datetime(NOON, usegmt=True), NOON + timedelta(seconds=60)).state is State.OK


def test_who_does_not_say_the_time_is_not_compared_with() -> None:
    with pytest.raises(NotLookedAtError):
        clock("Slack", "", NOON)
