"""`--web`: pages of MLflow and cards in Slack, in a browser."""

from __future__ import annotations

import re
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slack_sdk import WebClient

from bot.ports import MessageRef
from handlers.terminal.output.browser import has_display, open_pages
from localslack import LocalSlack
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.operator_terminal import OperatorTerminal

MLFLOW = "https://mlflow.example"


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a browser that appends each address to a file, and return the file."""
    file, browser = tmp_path / "opened", tmp_path / "browser"
    file.touch()
    browser.write_text(f'#!/bin/sh\necho "$1" >> {file}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it reads the variable once in a process
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setenv("REGISTRAR_MLFLOW_URL", MLFLOW)
    return file


def post_card(terminal: OperatorTerminal, slack: LocalSlack) -> None:
    """Post a message, and record it as the request's card."""
    client = WebClient(slack.bot_token, base_url=slack.api_url)
    posted = client.chat_postMessage(channel="#ml-models", text="card")
    with terminal.ledger() as ledger, ledger.write() as tx:
        [card] = tx.due_messages(datetime.now(UTC))
        tx.mark_delivered(card, MessageRef(channel=posted["channel"], ts=posted["ts"]))


@pytest.mark.parametrize(
    ("words", "page"), [(["churn"], "/#/models/churn"), (["churn", "production"], "/#/models/churn/versions/2")]
)
def test_show_opens_the_page_in_mlflow_and_prints_its_address(
    terminal: OperatorTerminal, opened: Path, words: list[str], page: str
) -> None:
    said = terminal.types("show", *words, "--web")
    assert (said.code, said.out, opened.read_text()) == (0, f"{MLFLOW}{page}\n", f"{MLFLOW}{page}\n")


def test_a_models_name_is_quoted_in_the_address(terminal: OperatorTerminal, mlflow_backend: MlflowBackend) -> None:
    mlflow_backend.add_model("my #1 & $(model)")
    assert (
        terminal.types("show", "my #1 & $(model)", "--web").out
        == f"{MLFLOW}/#/models/my%20%231%20%26%20%24%28model%29\n"
    )


def test_without_a_web_address_the_setting_is_named(
    terminal: OperatorTerminal, opened: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRAR_MLFLOW_URL")
    said = terminal.types("show", "churn", "--web")
    assert (said.code, said.out, opened.read_text()) == (2, "", "")
    assert said.err == "There's no page to open. Set REGISTRAR_MLFLOW_URL to MLflow's web address.\n"


def test_requests_opens_the_card_in_slack(terminal: OperatorTerminal, slack: LocalSlack, opened: Path) -> None:
    terminal.asks()
    post_card(terminal, slack)
    said = terminal.types("requests", "churn", "--web")
    assert re.fullmatch(r"http://\S+/archives/\S+\n", said.out)
    assert (said.code, opened.read_text()) == (0, said.out)


def test_a_card_that_is_not_posted_yet_has_no_address(terminal: OperatorTerminal, opened: Path) -> None:
    terminal.asks()
    said = terminal.types("requests", "--web")
    assert (said.code, opened.read_text()) == (3, "")
    assert said.err == "Slack has no link to the card yet. Try again in a moment.\n"


def test_one_of_two_pages_is_not_opened(opened: Path) -> None:
    assert open_pages([f"{MLFLOW}/1", f"{MLFLOW}/2"]).text == f"{MLFLOW}/1\n{MLFLOW}/2\n"
    assert opened.read_text() == ""


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "--help", "https://a\x1b[31m"])
def test_only_web_pages_are_opened(opened: Path, url: str) -> None:
    assert open_pages([url]).text == ""
    assert opened.read_text() == ""


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "firefox"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "darwin", False),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "DISPLAY": "localhost:10.0"}, "linux", False),
    ],
)
def test_a_browser_needs_a_display(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_display(environ, platform) is expected
