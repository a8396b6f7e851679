"""SIGTERM: new work is refused, acknowledged work is finished and reported, and the process ends, even if it hangs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import yaml

from bot.domain.core.sentence import say
from bot.domain.promotions.request import RequestState
from bot.ledger import SqlLedger
from bot.services.core.outbox_messages import channel_message
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, POLICY, RunningApp, message_text, running_app
from tests.support.app.demo_process import clean_environment
from tests.support.app.workspaces import SPEED
from tests.support.faults.crashing_bot import MODEL
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import PATIENCE, wait_until

READY = "Registrar is ready: "


@dataclass
class Bot:
    """`registrar run` in its own process."""

    process: subprocess.Popen[str]
    address: str

    def status(self, path: str) -> tuple[int, str]:
        """Return a response's status code, and the process status in its body."""
        answer = httpx2.get(f"{self.address}{path}", timeout=PATIENCE, trust_env=False)
        return answer.status_code, str(answer.json()["status"])

    def signal(self) -> None:
        """Send it a signal to stop."""
        self.process.send_signal(signal.SIGTERM)

    def ends(self) -> tuple[int, str]:
        """Wait until it has ended; return its exit code, and its output since it was ready."""
        said, _ = self.process.communicate(timeout=2 * PATIENCE)
        return self.process.returncode, said


@contextmanager
def bot(slack: LocalSlack, home: Path, **settings: str) -> Iterator[Bot]:
    """Run Registrar in a folder with its own ledger and MLflow, until the block ends."""
    (home / "registrar.yml").write_text(yaml.safe_dump(POLICY))
    given = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "REGISTRAR_HOME": str(home),
        "REGISTRAR_PORT": "0",
        "PYTHONPATH": str(ROOT),
        "REGISTRAR_SLACK_PACE": str(1 / SPEED),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"],
        cwd=home,
        text=True,
        env=clean_environment(**given, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            assert process.stdout is not None
            ready = next(line for line in process.stdout if line.startswith(READY))
            address = ready.partition("HTTP at ")[2].partition(",")[0]
            slack.wait_until_connected()
            yield Bot(process, address)
        finally:
            process.kill()


def home_with(templates: Path, folder: Path) -> Path:
    """Return a folder with a new ledger, and an MLflow with v3 of the model in Production."""
    return Path(shutil.copytree(templates, folder / "home"))


def test_acknowledged_work_is_finished_before_the_process_ends(
    slack: LocalSlack, tmp_path: Path, templates: Path
) -> None:
    home = home_with(templates, tmp_path)
    with bot(slack, home, REGISTRAR_LOG="json") as running_bot:
        # MLflow is being imported, which takes seconds, so the acknowledged command isn't executed yet.
        assert slack.person("alice").types(CHANNEL, f"/model promote {MODEL} 4 production").acked
        running_bot.signal()
        code, log = running_bot.ends()
    assert code == 0, log
    cards = [message for message in slack.person("bob").sees(CHANNEL) if f"Promote {MODEL} v4" in message_text(message)]
    assert len(cards) == 1, log
    ledger = SqlLedger(f"sqlite:///{home / 'ledger.db'}")
    with ledger.read() as reading:
        assert [request.state for request in reading.requests()] == [RequestState.PENDING]
        assert reading.backlog(reading.requests()[0].opened_at).messages == {}
        [request] = reading.requests()
    ledger.close()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = [line["message"] for line in lines if line.get("request") == request.id]
    assert [message for message in told if "person:promotion:asked" in message or "request:opened" in message] == [
        f"person:promotion:asked ask:{request.id}",
        f"registrar:request:opened {request.id}",
    ]
    assert len({line["process"] for line in lines}) == 1


@pytest.mark.slow
def test_a_draining_process_is_alive_but_not_ready_until_a_second_signal(
    slack: LocalSlack, tmp_path: Path, templates: Path
) -> None:
    with bot(slack, home_with(templates, tmp_path), REGISTRAR_DRAIN="10m") as draining:
        wait_until(lambda: draining.status("/readyz") == (200, "ready"))
        draining.signal()
        wait_until(lambda: draining.status("/readyz") == (503, "stopping"))
        assert draining.status("/healthz") == (200, "alive")
        assert slack.status()["connections"] == 0
        draining.signal()
        code, log = draining.ends()
    assert code == 0, log
    assert "Stopping: finishing work in progress." in log


@pytest.mark.parametrize(
    ("arguments", "code"), [pytest.param("0.1", 0, id="on SIGTERM"), pytest.param("0.1, 2", 2, id="after an error")]
)
def test_the_process_ends_even_if_something_hangs(arguments: str, code: int) -> None:
    script = (
        f"from handlers.serve import exit_after; import threading; exit_after({arguments}); threading.Event().wait()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment(PYTHONPATH=str(ROOT)), timeout=2 * PATIENCE, check=False
    )
    assert ended.returncode == code


def test_work_started_during_shutdown_is_done_immediately(app: RunningApp) -> None:
    begun = threading.Event()
    app.registrar.worker_pool.shutdown(wait=True)
    app.registrar.submit(begun.set)
    assert begun.is_set()


def test_a_stopping_process_delivers_pending_messages(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        app.service._scheduler.pause()
        app.registrar.worker_pool.shutdown(wait=True)  # the jobs from startup would deliver it, too
        with app.ledger.write() as tx:
            tx.add_message(channel_message("left", CHANNEL, say("This was left over.")))
    assert [message for message in slack.person("bob").sees(CHANNEL) if "This was left over." in message_text(message)]
