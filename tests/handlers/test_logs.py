"""The log has no text from people and no secrets, even at DEBUG."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot import logging_context
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.registry.model import VersionInfo
from bot.ledger import SqlLedger
from bot.settings import Settings, read_settings
from handlers import logs
from localslack import LocalSlack, payloads
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app, settings_for
from tests.support.app.harness import ALICE, BOB, click, command, only_request, signed_client, type_and_read_reply
from tests.support.registry.memory import MemoryRegistry

PRIVATE = "plum-in-the-body"  # text from people, in every possible place


@pytest.fixture
def written(slack: LocalSlack, tmp_path: Path) -> Iterator[io.StringIO]:
    """Yield the log of all loggers at DEBUG, set up as in `registrar run`."""
    names = [*logs.QUIET_LOGGERS, *logs.INFO_LOGGERS, ""]
    before = {name: logging.getLogger(name).level for name in names}
    out = io.StringIO()
    handler = logs.build_handler(out, settings_for(slack, tmp_path).secrets)
    logs.set_up_logging(level=logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield out
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def live(app: RunningApp) -> None:
    """Have people use the bot with private text everywhere, including mistakes."""
    app.alice.types(CHANNEL, f"/model promote churn 4 production --reason '{PRIVATE}'")
    app.card()
    for typed in (
        PRIVATE,
        f"show {PRIVATE}",
        f"promote churn 4 {PRIVATE}",
        f"validate churn 4 --validation {PRIVATE}=x",
        f"promote {PRIVATE} 4 production",
        f"show {PRIVATE} 1",
        f"history churn --last {PRIVATE}",
        f"list churn --page {PRIVATE}",
        f"tag churn 4 owner={PRIVATE}",
    ):
        type_and_read_reply(app.alice, f"/model {typed}")
    request = only_request(app.ledger)
    app.bob.clicks(app.card(), "Reject")
    app.bob.waits_for_modal()
    app.bob.submits({"reason": PRIVATE})
    app.card(holds="rejected")
    app.alice.waits_for_direct_message(lambda message: request.model in message_text(message))


def broken(app: RunningApp) -> None:
    """Send invalid payloads, signed and unsigned, and unhandled events."""
    wire = signed_client(app)
    view = {
        "type": "modal",
        "id": "V1",
        "callback_id": "nobody's",
        "private_metadata": PRIVATE,
        "state": {"values": {}},
    }
    for payload in (
        click(BOB, PRIVATE, "nobody's"),
        click(BOB, PRIVATE),
        payloads.view_submission(view, actor=BOB),
        command(ALICE, PRIVATE) | {"team_id": ""},
        click(BOB, PRIVATE) | {"user": PRIVATE},
        {"type": "block_suggestion", "value": PRIVATE, "action_id": "x"},
    ):
        wire.send(payload)
        wire.send(payload, secret="another")
    wire.post(f"payload={PRIVATE}".encode())
    wire.post(json.dumps({PRIVATE: PRIVATE}).encode(), "application/json")


def secrets_of(slack: LocalSlack) -> list[str]:
    """Return the secrets: tokens, the signing secret, and response URLs."""
    return [slack.bot_token, slack.app_token, slack.signing_secret, "/hooks/"]


@pytest.mark.parametrize("http", [True, False], ids=["signed HTTP", "Socket Mode"])
def test_the_log_has_no_bodies_and_no_secrets(
    slack: LocalSlack, tmp_path: Path, written: io.StringIO, http: bool
) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=http) as app:
        live(app)
        broken(app)
    assert "slack_bolt: Unhandled request" in written.getvalue()  # only the log is checked
    for secret in (PRIVATE, *secrets_of(slack)):
        assert [line[:300] for line in written.getvalue().splitlines() if secret in line] == []


# -- one line ----------------------------------------------------------------------------------------------------------

SECRETS = [
    "xoxb-1234-5678-abcDEF",
    "xoxe.xoxp-1-Mi0yLTM",
    "xapp-1-A012-345-abcdef",
    "https://hooks.slack.com/commands/T1/2/s3cret",
    "8f742231b10e8888abcd99yyyzzz85a5",
]


FORMS: list[logs.LogFormat] = ["text", "json"]


def line_of(*message: object, error: BaseException | None = None, form: logs.LogFormat = "text") -> str:
    """Return the output for one log line, with the traceback of an error."""
    out = io.StringIO()
    record = logging.LogRecord("bot", logging.ERROR, __file__, 1, str(message[0]), message[1:], None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    logs.build_handler(out, ["8f742231b10e8888abcd99yyyzzz85a5", 'with"quote'], form).handle(record)
    return out.getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [*SECRETS, 'with"quote'])
def test_a_secret_is_masked_anywhere_in_a_line(secret: str, form: logs.LogFormat) -> None:
    with logging_context.bound(note=f"of {secret}"):
        line = line_of("before %s after", secret, error=OSError(f"because of {secret}."), form=form)
    assert json.dumps(secret)[1:-1] not in line
    text = line if form == "text" else " ".join(json.loads(line).values())
    assert secret not in text
    assert "before … after" in text
    assert "OSError: because of …" in text


def test_credentials_in_a_url_are_masked() -> None:
    assert "to postgresql://…@db/registrar failed" in line_of("to postgresql://bot:p1um@db/registrar failed")


def test_other_text_is_logged_unchanged() -> None:
    assert line_of("request %s is open: see https://mlflow.example/#/models", "r4k7q").endswith(
        " ERROR bot: request r4k7q is open: see https://mlflow.example/#/models\n"
    )


def test_a_failed_statement_does_not_log_its_values(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")  # the ledger has no tables
    with closing(ledger), pytest.raises(LedgerUnavailable) as failed, ledger.read() as reading:
        reading.request(PRIVATE)
    line = line_of("failed", error=failed.value)
    assert "no such table" in line
    assert PRIVATE not in line


def test_a_json_line_has_the_traceback_and_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_process_fields", {})
    logs.set_process_name("host:1:abc")
    with logging_context.bound(request="r4k7q", model="churn", move=None):
        line = line_of("it is %s", "open", error=ValueError("two\nlines"), form="json")
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["time"].endswith("Z")
    assert told.pop("time") < told.pop("exception")  # a year, and “Traceback”
    assert told == {
        "level": "error",
        "logger": "bot",
        "message": "it is open",
        "process": "host:1:abc",
        "request": "r4k7q",
        "model": "churn",
    }


def test_a_text_line_ends_with_the_context() -> None:
    with logging_context.bound(request="r4k7q", model="churn\nof 2026"):
        assert line_of("it is open").endswith(' ERROR bot: it is open [request=r4k7q model="churn\\nof 2026"]\n')


# -- forged lines ------------------------------------------------------------------------------------------------------

FORGED = "2026-11-03 04:05:06,789 INFO bot.ledger.database: person:request:voted r4k7q"
BREAKS = [
    "\n",
    "\r\n",
    "\r",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\n\x1b[2K\x1b[1G",
    "\x1b[1E",
    "\b" * 80,
    "\u202e",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line_break", BREAKS, ids=ascii)
def test_no_text_from_outside_begins_a_line_of_the_log(line_break: str, form: logs.LogFormat) -> None:
    """The text is a model's name, and what MLflow's error says; a terminal may show the log, too."""
    name = f"churn{line_break}{FORGED}"
    with logging_context.bound(model=name):
        text = line_of("unknown model %s", name, error=ValueError(f"no {name}"), form=form)
    first, *others = text.splitlines()
    assert FORGED in first
    assert all(line.startswith("    ") for line in others)
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


def test_a_forged_line_in_a_stack_or_a_note_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    error = ExceptionGroup("two", [ValueError(f"one\n{FORGED}"), KeyError("other")])
    error.add_note(f"a note\n{FORGED}")
    lines = line_of("failed", error=error).splitlines()
    assert len([line for line in lines if FORGED in line]) == 2
    assert [line for line in lines[1:] if not line.startswith("    ")] == []


class ForgingRegistry(MemoryRegistry):
    """A registry whose error repeats what someone wrote in MLflow."""

    def versions(self, name: str) -> list[VersionInfo]:
        """Raise an unexpected error with a line break."""
        raise ZeroDivisionError(f"x\n{FORGED}\r{FORGED}")


def test_an_error_from_the_registry_cannot_forge_a_line_of_the_bots_log(
    written: io.StringIO, slack: LocalSlack, tmp_path: Path
) -> None:
    with running_app(slack, tmp_path, ForgingRegistry()) as app:
        type_and_read_reply(app.alice, "/model show churn")
    assert FORGED in written.getvalue()
    assert [line for line in written.getvalue().splitlines() if line.startswith(FORGED)] == []


# -- the context -------------------------------------------------------------------------------------------------------


def test_the_context_ends_with_its_block() -> None:
    with logging_context.bound(request="r4k7q"):
        with logging_context.bound(model="churn"):
            logging_context.bind(move="m1")
            assert logging_context.current() == {"request": "r4k7q", "model": "churn", "move": "m1"}
        assert logging_context.current() == {"request": "r4k7q"}
    logging_context.bind(move="m1")
    assert logging_context.current() == {}


def test_the_context_follows_work_to_another_thread(app: RunningApp) -> None:
    told: list[dict[str, str]] = []
    with logging_context.bound(quote="q1"):
        app.registrar.submit(lambda: told.append(dict(logging_context.current()))).result(10)
        app.registrar.submit_query(lambda: told.append(dict(logging_context.current()))).result(10)
    app.registrar.submit(lambda: told.append(dict(logging_context.current()))).result(10)
    assert told == [{"quote": "q1"}, {"quote": "q1"}, {}]


@pytest.fixture
def documents(slack: LocalSlack, tmp_path: Path) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """Yield the log lines of the block as documents."""
    out = io.StringIO()
    handler, root = logs.build_handler(out, log_format="json"), logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


Documents = Callable[[], list[dict[str, str]]]


def test_a_request_id_finds_every_log_line_about_it(documents: Documents, app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert app.bob.clicks(app.card(), "Approve").acked
    app.card(holds="is in Production")
    request = only_request(app.ledger)
    mine = [line for line in documents() if request.id in (line.get("request"), line["message"].rpartition(" ")[2])]
    tags = [line["message"].partition(" ")[0] for line in mine if line["logger"] == "bot.ledger.database"]
    assert tags == [
        "person:promotion:asked",
        "registrar:request:opened",
        "person:request:voted",
        "registrar:request:approved",
        "registrar:version:moved",
    ]
    assert [line["request"] for line in mine] == [request.id] * len(mine)
    assert {line["actor"] for line in mine} == {"slack:T0LOCAL/U0ALICE", "slack:T0LOCAL/U0BOB"}


class OddRegistry(MemoryRegistry):
    """A registry with a bug."""

    def versions(self, name: str) -> list[VersionInfo]:
        """Raise an unexpected error."""
        raise ZeroDivisionError("nobody foresaw this")


def test_a_quoted_error_id_finds_the_traceback_and_the_person(
    documents: Documents, slack: LocalSlack, tmp_path: Path
) -> None:
    registry = OddRegistry()
    with running_app(slack, tmp_path, registry) as app:
        told = type_and_read_reply(app.alice, "/model show churn")
    shown = told.rstrip("`").rpartition("`")[2]
    mine = [line for line in documents() if line.get("quote") == shown]
    assert [line["actor"] for line in mine if "nobody foresaw this" in line.get("exception", "")] == [
        "slack:T0LOCAL/U0ALICE"
    ]


# -- settings ----------------------------------------------------------------------------------------------------------

GIVEN: dict[str, Any] = {
    "SLACK_BOT_TOKEN": "xoxb-plum",
    "SLACK_APP_TOKEN": "xapp-plum",
    "SLACK_SIGNING_SECRET": "plum1",
    "REGISTRAR_DATABASE_URL": "postgresql://bot:plum@db/x",
    "PGPASSWORD": "plum3",
    "REGISTRAR_MLFLOW_WEBHOOK_SECRET": "plum2",
}


@pytest.mark.parametrize("show", [repr, str, lambda it: it.model_dump_json(), lambda it: str(it.model_dump())])
def test_the_settings_do_not_show_secrets(show: Callable[[Settings], str]) -> None:
    assert "plum" not in show(Settings(**GIVEN))


def test_every_secret_in_the_settings_is_masked() -> None:
    assert sorted(Settings(**GIVEN).secrets) == sorted(GIVEN.values())


def test_an_invalid_secret_setting_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (GIVEN | {"REGISTRAR_PORT": "plum"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as wrong:
        read_settings()
    assert "plum" not in str(wrong.value)
