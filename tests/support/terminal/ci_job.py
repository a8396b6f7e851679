"""A CI job that runs `registrar promote --wait`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.promotions.request import RequestState
from handlers.terminal.main import main
from localslack import Remote
from tests.support.app.app_fixture import AdjustableClock, RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

TOKEN, OTHER = "t0ken-of-the-ci-job", "t0ken-of-another"


READER, ELSEWHERE = "t0ken-of-a-reader", "t0ken-of-a-reader-of-other-models"


NEARLY_ALL = "t0ken-for-models-that-do-not-start-with-c"


CLIENTS = {
    "github-churn": {"token_env": "CI_TOKEN", "models": ["churn*"], "may": ["request"]},
    "other": {"token_env": "OTHER_TOKEN", "may": ["request"]},
    "reader": {"token_env": "READER_TOKEN", "models": ["churn*"], "may": ["read"]},
    "elsewhere": {"token_env": "ELSEWHERE_TOKEN", "models": ["fraud"], "may": ["read"]},
    "nearly-all": {"token_env": "NEARLY_ALL_TOKEN", "models": ["[!c]*"], "may": ["request", "read", "push"]},
    "pusher": {"token_env": "PUSHER_TOKEN", "may": ["push"]},
}


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/churn",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SHA": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "GITHUB_SERVER_URL": "https://github.com",
}


class CiJob:
    """A terminal command that runs in parallel to the test, like a CI job."""

    def __init__(self, *words: str) -> None:
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, args=(words,), daemon=True)
        self._thread.start()

    def _run(self, words: tuple[str, ...]) -> None:
        self.code = main(words)

    def ends(self) -> int | None:
        """Wait until it ends, and return its exit code."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "it still waits"
        return self.code


@pytest.fixture(autouse=True)
def _as_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CI_TOKEN", "REGISTRAR_TOKEN"):
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("OTHER_TOKEN", OTHER)
    monkeypatch.setenv("READER_TOKEN", READER)
    monkeypatch.setenv("ELSEWHERE_TOKEN", ELSEWHERE)
    monkeypatch.setenv("NEARLY_ALL_TOKEN", NEARLY_ALL)
    monkeypatch.setenv("PUSHER_TOKEN", "t0ken-of-a-pusher")
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


@pytest.fixture
def app(slack: Remote, tmp_path: Path, clock: AdjustableClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApp]:
    """Yield the bot, with clients in its policy, and configure the terminal for it."""
    policy = make_policy({"clients": CLIENTS})
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy, clock=clock) as app:
        monkeypatch.setenv("REGISTRAR_URL", app.service.address)
        yield app


def start_job(*more: str) -> CiJob:
    """Start a job that requests v4 in Production and waits."""
    return CiJob(
        "promote",
        "--model-name",
        "churn",
        "--version",
        "4",
        "--to",
        "production",
        "--reason",
        "better f1",
        "--wait",
        *more,
    )


def wait_for_request(app: RunningApp, state: RequestState = RequestState.PENDING) -> str:
    """Wait for the only request, and return its id."""

    def found() -> str | None:
        with app.ledger.read() as reading:
            return next((one.id for one in reading.requests(states=[state])), None)

    wait_until(lambda: found() is not None)
    return str(found())


def call(app: RunningApp, method: str, path: str, token: str = TOKEN, **more: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return httpx2.request(method, f"{app.service.address}{path}", headers=headers, timeout=30, **more)


BODY = {"model": "churn", "version": 4, "to": "production", "reason": "better f1"}
