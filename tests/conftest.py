"""Fixtures for all tests: registries, ledgers, a local Slack, and the whole bot over them."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk.socket_mode.builtin import SocketModeClient

from bot.domain.registry.model import use_product
from bot.registry.mlflow.adapter import MLFLOW
from handlers import logs
from localslack import LocalSlack
from tests.support.app.app_fixture import MANIFEST, RunningApp, running_app
from tests.support.app.workspaces import local_slack
from tests.support.registry.memory import MemoryRegistry

pytest.register_assert_rewrite("bot.registry.contract")

pytest_plugins = (
    "tests.support.registry.registries",
    "tests.support.ledger.ledgers",
    "tests.support.network.prometheus_server",
)

use_product(lambda: MLFLOW.product)  # as every program does: sentences name it

for _name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
    os.environ.setdefault(_name, "true")


# A shell ignores SIGINT for programs in the background, and their child processes would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _leaks_are_told_where_they_are() -> Iterator[None]:
    """Let what was left open be found at the end of its own file, and not by chance in a later one."""
    yield
    gc.collect()
    gc.freeze()  # what is still there stays: modules, caches, servers; to go through it at each file costs a minute


def pytest_collection_finish() -> None:
    """Let the collector pass over thousands of tests and all that they import."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of whoever runs the tests change them."""
    for name in list(os.environ):
        if name.startswith(("REGISTRAR_", "SLACK_", "GITHUB_", "GITLAB_", "MLFLOW_TRACKING_U", "MLFLOW_REGISTRY_U")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_test_sets_up_the_log_for_the_next_one() -> Iterator[None]:
    """Let the loggers be as they were after a test that ran the program in this process."""
    loggers = [logging.getLogger(name) for name in ("", *logs.QUIET_LOGGERS, *logs.INFO_LOGGERS)]
    before = [(logger, logger.level, list(logger.handlers), list(logger.filters)) for logger in loggers]
    yield
    for logger, level, handlers, filters in before:
        logger.setLevel(level)
        logger.handlers, logger.filters = handlers, filters


@pytest.fixture(scope="session", autouse=True)
def _socket_mode_closes_at_once() -> Iterator[None]:
    """Wake the SDK's thread that waits for messages when its client closes; otherwise, it checks once a second."""
    close = SocketModeClient.close

    def closes(client: SocketModeClient) -> None:
        client.closed = True
        client.message_queue.put(None)
        close(client)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SocketModeClient, "close", closes)
        yield


@pytest.fixture(scope="session")
def _workspace() -> Iterator[LocalSlack]:
    with local_slack(MANIFEST) as slack:
        yield slack


@pytest.fixture
def slack(_workspace: LocalSlack) -> LocalSlack:
    """A local Slack workspace in its initial state. The server is shared, so start the bot again in each test."""
    _workspace.heal()
    _workspace.deliver_to(None)
    _workspace.reset()
    _workspace.forget_calls()
    return _workspace


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The whole bot in Socket Mode over a SQLite ledger and a registry in memory: `churn` with v3 in Production."""
    registry = MemoryRegistry()
    with running_app(slack, tmp_path, registry) as app:
        yield app


# What `make test` leaves to CI, beside what is marked slow: the same tests once more, on another registry, another
# database, with other people or another text, and those that play for long. A regular expression of the test's id.
ONCE_MORE = (
    r"tests/contracts/registry/(mlflow/)?test_(?!call_metrics|estimators).*\[.*(http|sqlite with tags)",
    r"test_(registry|sources|races)\.py::.*\[.*(http|sqlite with tags)",
    r"tests/contracts/ledger/test_(?!check_queue|pagination|upgrade).*postgres",
    r"test_(races|ledger_down|jobs)\.py::.*postgres",
    r"test_permissions\.py::test_who_is_no_full_member.*-(?!a guest\])",
    r"test_forged_input\.py::test_(whatever|a_broken|a_lead)",
    r"tests/slack/.*\[(long|ampersands|brackets|backticks|right to left|emoji)",
    r"tests/browser/(?!test_promotion)",  # the journeys play the same without a page
    r"tests/state_machine/",
)


# Files that take longest, so that none of them is begun last, with the other processes idle.
LONGEST = (
    "tests/project/deploy/test_stack.py",
    "tests/journeys/docs/test_workflows.py",
    "tests/journeys/docs/test_walkthrough.py",
    "tests/faults/test_kills.py",
    "tests/faults/test_crashes.py",
    "tests/contracts/registry/test_versions.py",
    "tests/contracts/registry/test_transitions.py",
    "tests/contracts/registry/test_registry.py",
    "tests/browser/test_incidents.py",
    "tests/journeys/docs/test_shell_blocks.py",
    "tests/journeys/docs/test_demo.py",
    "tests/handlers/terminal/cli/test_start.py",
    "tests/state_machine/test_state_machine.py",
    "tests/contracts/ledger/test_requests.py",
    "tests/contracts/ledger/test_transitions.py",
    "tests/contracts/ledger/test_audit_log.py",
    "tests/faults/concurrency/test_races.py",
    "tests/journeys/core/test_permissions.py",
    "tests/contracts/sources/test_sources.py",
    "tests/contracts/registry/test_monitoring_queries.py",
    "tests/project/examples/test_training.py",
    "tests/faults/registry/test_registry_down.py",
    "tests/journeys/monitoring/test_monitors.py",
    "tests/journeys/registry/test_registry.py",
    "tests/faults/test_slack_down.py",
    "tests/browser/test_promotion.py",
    "tests/journeys/policy/test_gates_and_freezes.py",
    "tests/services/monitoring/incidents/test_automatic_rollback.py",
    "tests/services/monitoring/test_scheduler.py",
    "tests/services/monitoring/test_monitors.py",
    "tests/services/promotions/approvals/test_permission_matrix.py",
    "tests/slack/rollbacks/test_history.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what is left to CI, and let what takes long come first."""
    once_more = re.compile("|".join(ONCE_MORE))
    for item in items:
        if once_more.search(item.nodeid):
            item.add_marker(pytest.mark.slow)
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))  # stable: the rest as it was
