"""Health, readiness, and metrics routes: they answer quickly, whatever hangs, and reveal no secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.core.errors import RegistryRefused, RegistryUnreachable
from bot.domain.registry.model import ModelInfo
from handlers.web.readiness import Component, NotHealthy, Readiness, registry_component
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

WELL = Component("ledger", lambda: "Responding.")
FOREVER = 60.0  # seconds that a part hangs in these tests, unless it is let go


def seen(*parts: Component, **more: Any) -> tuple[int, dict[str, Any]]:
    return Readiness(parts, **more).document()


def unwell() -> str:
    raise NotHealthy("MLflow does not answer.")


@contextmanager
def hanging(name: str = "registry") -> Iterator[tuple[Component, list[int]]]:
    """Yield a part that hangs until the block ends, and a list with an item per check."""
    end, looks = threading.Event(), list[int]()

    def look() -> str:
        looks.append(1)
        end.wait(FOREVER)
        return "Responding."

    yield Component(name, look), looks
    end.set()


# -- readiness ---------------------------------------------------------------------------------------------------------


def test_a_warning_is_reported_and_does_not_change_the_status() -> None:
    status, document = seen(WELL, warnings=lambda: ["The policy file has errors."])
    assert (status, document["status"], document["warnings"]) == (200, "ready", ["The policy file has errors."])


def test_healthy_parts_make_the_bot_ready() -> None:
    says = {"is_well": True, "says": "Responding."}
    assert seen(WELL, Component("registry", lambda: "Responding.")) == (
        200,
        {"status": "ready", "parts": {"ledger": says, "registry": says}, "warnings": []},
    )


def test_an_unhealthy_part_has_a_sentence_and_the_others_are_unaffected() -> None:
    status, document = seen(WELL, Component("registry", unwell))
    assert (status, document["status"]) == (503, "not ready")
    assert document["parts"]["registry"] == {"is_well": False, "says": "MLflow does not answer."}
    assert document["parts"]["ledger"]["is_well"]


def test_an_error_in_a_check_is_not_shown() -> None:
    def look() -> str:
        raise OSError("postgresql://bot:plum@db")

    status, document = seen(Component("ledger", look))
    assert status == 503
    assert "plum" not in str(document)


def test_a_hanging_part_is_checked_once_without_waiting() -> None:
    with hanging() as (part, looks):
        readiness = Readiness([part], timeout=0.01, max_age=0.0)
        answers = [readiness.document() for _ in range(5)]
    assert [status for status, _ in answers] == [503] * 5
    assert answers[0][1]["parts"]["registry"]["says"] == "No response in time."
    assert len(looks) == 1


def test_a_second_call_does_not_wait_again_for_a_hanging_part() -> None:
    with hanging() as (part, _):
        readiness = Readiness([part], timeout=0.01, monotonic=lambda: 0.0)
        first = readiness.document()
        readiness._timeout = 10 * FOREVER  # so that to wait would be to fail
        assert readiness.document() == first


def test_a_hanging_part_does_not_affect_others() -> None:
    with hanging() as (part, _):
        readiness = Readiness([WELL, part], timeout=0.01, max_age=0.0)

        def are_well() -> dict[str, bool]:
            return {name: one["is_well"] for name, one in readiness.document()[1]["parts"].items()}

        assert wait_until(lambda: are_well() == {"ledger": True, "registry": False})


def test_a_part_that_answers_again_is_healthy_again() -> None:
    with hanging() as (part, _):
        readiness = Readiness([part], timeout=0.01, max_age=0.0)
        assert readiness.document()[0] == 503
    wait_until(lambda: readiness.document()[0] == 200)


def test_a_recent_result_is_cached() -> None:
    looks, now = list[int](), [0.0]

    def look() -> str:
        looks.append(1)
        return "Responding."

    readiness = Readiness([Component("registry", look)], max_age=1.0, monotonic=lambda: now[0])
    for now[0] in (0.0, 0.5, 0.9, 1.5):
        readiness.document()
    assert len(looks) == 2


def test_a_stopping_bot_is_not_ready() -> None:
    readiness = Readiness([WELL])
    readiness.is_stopping = True
    status, document = readiness.document()
    assert (status, document["status"], document["parts"]["ledger"]["is_well"]) == (503, "stopping", True)


class UnreadyRegistry(MemoryRegistry):
    """A registry that raises a given error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def model(self, name: str) -> ModelInfo:
        raise self._error


def test_a_registry_that_answers_anything_is_healthy() -> None:
    assert seen(registry_component(MemoryRegistry()))[0] == 200
    assert seen(registry_component(UnreadyRegistry(RegistryRefused("no"))))[0] == 200


def test_a_registry_that_does_not_answer_is_reported_without_its_address() -> None:
    status, document = seen(
        registry_component(UnreadyRegistry(RegistryUnreachable("MLflow does not answer at http://mlflow.intern:5000")))
    )
    assert status == 503
    assert "intern" not in str(document)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def ask(app: RunningApp, path: str) -> httpx2.Response:
    return httpx2.get(f"{app.service.address}{path}", timeout=30, trust_env=False)


def waits_for(app: RunningApp, path: str, holds: Callable[[httpx2.Response], bool]) -> httpx2.Response:
    """Poll until the response meets the condition, and return it."""
    answers: list[httpx2.Response] = []

    def is_there() -> bool:
        answers.append(ask(app, path))
        return holds(answers[-1])

    wait_until(is_there)
    return answers[-1]


def is_ready(answer: httpx2.Response) -> bool:
    return answer.status_code == 200


def is_not_ready(answer: httpx2.Response) -> bool:
    return answer.status_code == 503


def test_the_bot_is_ready_and_reports_each_part(app: RunningApp) -> None:
    parts = waits_for(app, "/readyz", is_ready).json()["parts"]
    assert {name: part["is_well"] for name, part in parts.items()} == dict.fromkeys(
        ("ledger", "registry", "slack", "ticker"), True
    )
    assert parts["slack"]["says"] == "Socket Mode is connected."


def test_without_socket_mode_slack_is_http_only(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        assert ask(app, "/readyz").json()["parts"]["slack"]["says"] == "Slack connects over HTTP only."


def test_a_worker_reports_the_same_parts_without_slack(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), is_worker=True) as app:
        parts = waits_for(app, "/readyz", is_ready).json()["parts"]
        assert sorted(parts) == ["ledger", "registry", "ticker"]
        assert ask(app, "/metrics").status_code == 200
        assert ask(app, "/slack/events").status_code == 404


class HangingRegistry(MemoryRegistry):
    """A registry that a test can make hang."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()

    def model(self, name: str) -> ModelInfo:
        self.free.wait(FOREVER)
        return super().model(name)


def test_a_hanging_registry_is_named_without_waiting(slack: LocalSlack, tmp_path: Path) -> None:
    registry = HangingRegistry()
    with running_app(slack, tmp_path, registry) as app:
        waits_for(app, "/readyz", is_ready)
        registry.free.clear()
        try:
            parts = waits_for(app, "/readyz", is_not_ready).json()["parts"]
        finally:
            registry.free.set()
        assert [name for name, part in parts.items() if not part["is_well"]] == ["registry"]
        waits_for(app, "/readyz", is_ready)


def test_hanging_jobs_are_reported(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    waits_for(app, "/readyz", is_ready)
    monkeypatch.setattr(app.service._scheduler, "seconds_since_last_job", lambda: 31.0)
    parts = waits_for(app, "/readyz", is_not_ready).json()["parts"]
    assert parts["ticker"]["says"].startswith("No scheduled job has finished for 31 seconds")


def test_running_jobs_are_healthy(app: RunningApp) -> None:
    began = time.monotonic()
    assert wait_until(lambda: app.service._scheduler.seconds_since_last_job() < time.monotonic() - began)


def test_metrics_are_served_without_a_token_and_name_neither_people_nor_models(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert app.bob.clicks(app.card(), "Approve").acked
    app.card(holds="is in Production")
    page = waits_for(app, "/metrics", lambda answer: 'moved"} 1.0' in answer.text)
    assert page.headers["content-type"].startswith("text/plain")
    for line in (
        'registrar_votes_total{choice="approve"} 1.0',
        'registrar_decision_seconds_count{end="approved"} 1.0',
        'registrar_requests{state="pending"} 0.0',
        "registrar_ledger_up 1.0",
    ):
        assert line in page.text
    for word in ("churn", "U0BOB", "U0ALICE", app.slack.bot_token):
        assert word not in page.text


def test_slack_s_errors_are_counted_by_slack_s_error_code(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), policy=make_policy({"channel": "#nowhere"})) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        waits_for(app, "/metrics", lambda answer: "registrar_slack_errors_total{code=" in answer.text)
