"""Fixtures: Chromium, and windows in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.support.app.app_fixture import RunningApp
from tests.support.paths import ROOT
from tests.support.slack.screen import Screen, open_screen

FINDER = ROOT / "scripts" / "find-chromium"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Not session-scoped: while Playwright runs, no other test on this thread can have an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run the system's Chromium headless; skip if there is none."""
    found = subprocess.run([FINDER], text=True, capture_output=True, check=False).stdout.strip()
    if not found:
        pytest.skip("There is no Chromium here. To have this tested: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, headless=True, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Yield a function that opens a workspace's page; fail afterward if the page had errors."""
    opened: list[tuple[Screen, BrowserContext]] = []

    def open_it(workspace: str, **how: object) -> Screen:
        opened.append(open_screen(browser, workspace, **how))
        return opened[-1][0]

    yield open_it
    problems = [problem for screen, _ in opened for problem in screen.problems]
    for _, context in opened:
        context.close()
    assert problems == []


@pytest.fixture
def screen(app: RunningApp, open_window: Callable[..., Screen]) -> Screen:
    """Yield Alice's view of the channel, with the bot running."""
    return open_window(app.slack.url)
