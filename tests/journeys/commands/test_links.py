"""Links to a version's page in MLflow show the version's state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Stage
from bot.registry.mlflow.adapter import links
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, running_app
from tests.support.app.harness import only_request
from tests.support.registry.memory import MemoryRegistry

MLFLOW = "https://mlflow.example.com"
PAGE = f"{MLFLOW}/#/models/churn/versions"


@pytest.fixture
def linked(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with `churn`, whose versions have runs and pages; v1 is in Production."""
    registry = MemoryRegistry()
    registry.add_model("churn")
    for number, stage in ((1, Stage.PRODUCTION), (2, Stage.NONE)):
        registry.add_run(f"run{number}", metrics={"f1": 0.8 + number / 100})
        registry.add_version("churn", run_id=f"run{number}", stage=stage)
    with running_app(slack, tmp_path, registry, links=links(MLFLOW)) as app:
        yield app


def preview(app: RunningApp, text: str) -> str:
    """Post a message as carol, and return what appears below it."""
    posted = app.slack.person("carol").types(CHANNEL, text).message
    assert posted is not None
    shown = app.alice.waits_for(CHANNEL, lambda message: message["ts"] == posted["ts"] and message.get("attachments"))
    return str(shown["attachments"])


def test_a_link_shows_the_stage_and_the_metrics(linked: RunningApp) -> None:
    shown = preview(linked, f"this one? {PAGE}/1")
    assert "`churn` `v1`*: *Production*" in shown
    assert "`f1` 0.81" in shown


def test_a_link_shows_the_open_request_with_its_card(linked: RunningApp) -> None:
    linked.alice.types(CHANNEL, "/model promote churn 2 production")
    linked.card()
    shown = preview(linked, f"{PAGE}/2")
    assert f"|Request {only_request(linked.ledger).id}> is pending: `v1` → `v2` in Production" in shown


def test_only_links_to_versions_have_a_preview(linked: RunningApp) -> None:
    shown = preview(linked, f"{MLFLOW}/#/models/churn and {PAGE}/1 and {PAGE}/99x")
    assert shown.count("'from_url'") == 1


@pytest.mark.parametrize(
    ("person", "change", "back"),
    [
        ("alice", {"team_id": "T0OTHER"}, {"team_id": "T0LOCAL"}),
        ("bob", {"team_id": "T0OTHER"}, {"team_id": "T0LOCAL"}),
        ("alice", {"is_bot": True}, {}),
    ],
    ids=["a stranger's link", "a link that strangers can see", "a bot's link"],
)
def test_a_link_that_should_not_be_shown_has_no_preview(
    linked: RunningApp, person: str, change: dict[str, Any], back: dict[str, Any]
) -> None:
    linked.slack.change_person(person, **change)
    linked.alice.types(CHANNEL, f"{PAGE}/1")
    linked.slack.change_person(person, **back)
    preview(linked, f"{PAGE}/2")
    assert [message.get("attachments") is None for message in linked.alice.sees(CHANNEL)] == [True, False]


def test_links_to_several_versions_have_a_preview_each(linked: RunningApp) -> None:
    shown = preview(linked, f"{PAGE}/1 or {PAGE}/2")
    assert "`v1`" in shown
    assert "`v2`" in shown
