"""How Registrar's answers look: on a desktop, on a phone, and in dark mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.support.app.app_fixture import MANIFEST, RunningApp, running_app
from tests.support.app.workspaces import local_slack
from tests.support.registry.memory import MemoryRegistry
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """Run one bot for all read-only tests: starting and stopping it takes longer than a test."""
    with (
        local_slack(MANIFEST) as slack,
        running_app(slack, tmp_path_factory.mktemp("library"), MemoryRegistry()) as app,
    ):
        yield app


@pytest.mark.parametrize(
    ("typed", "answered", "name"),
    [
        ("/model", "What would you like", "menu"),
        ("/model show churn", "champion", "show"),
        ("/model show churn 3", "Production", "show-version"),
        ("/model list", "churn", "list"),
        ("/model help", "/model promote", "help"),
        ("/model help promote", "Example: ", "help-promote"),
        ("/model history churn", "serving now", "history"),
        ("/model requests", "No open requests", "requests"),
        ("/model promot churn 4", "promote", "typo"),
        ("/model promote churm 4 production", "churn", "typo-in-model"),
        ("/model promote churn 9 production", "9", "no-such-version"),
        ("/model promote churn 3 production", "3", "serves-already"),
    ],
)
def test_an_answer_is_shown_to_the_person_who_asked(
    library: RunningApp, open_window: Callable[..., Screen], typed: str, answered: str, name: str
) -> None:
    library.slack.reset()
    screen = open_window(library.slack.url)
    screen.types(typed)
    expect_text(screen.answer(), answered)
    screen.picture(f"answer-{name}")
    screen.becomes("Bob Tanaka")
    expect(screen.answer()).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("phone", {"viewport": {"width": 390, "height": 844}}),
        ("dark", {"color_scheme": "dark"}),
        ("phone-dark", {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}),
    ],
)
def test_a_card_fits_the_page(
    app: RunningApp, open_window: Callable[..., Screen], name: str, how: dict[str, object]
) -> None:
    screen = open_window(app.slack.url, **how)
    screen.types('/model promote churn 4 production --reason "better f1"')
    expect_text(screen.card(), "better f1")
    expect_text(screen.answer(), "Requested")
    screen.picture(f"card-{name}")
    assert screen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screen.becomes("Bob Tanaka")
    screen.presses("Approve")
    screen.confirms("Approve")
    expect_text(screen.card(), "✓ Verified in MLflow")
    screen.picture(f"done-{name}")
