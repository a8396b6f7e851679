"""The docs site in a browser, opened from its files, without a server or a network."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from os import environ
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.paths import ROOT

pytestmark = pytest.mark.browser

QUESTIONS = {
    "two approvers": "how-to/require-two-approvers.html",
    "roll back": "how-to/roll-back.html",
    "restore a backup": "operations/database.html",
    "lock mlflow": "how-to/lock-mlflow.html",
    "promote from ci": "how-to/promote-from-ci.html",
    "move to postgresql": "how-to/move-to-postgresql.html",
}
PAGES = ["index.html", "get-started/demo.html", "reference/policy.html", "explanation/statistics.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make site` does, in a folder of its own; skip if its tool isn't installed."""
    if not (ROOT / ".tools" / "bin" / "zensical").exists():
        pytest.skip("no tools here; scripts/install-tools fetches them")
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    built = subprocess.run(
        [ROOT / "scripts" / "site"], env={**environ, "SITE": str(folder)}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


@pytest.fixture
def open_page(browser: Browser, site: Path) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens a page of the site; fail afterward if it had errors or asked another server."""
    requested: list[str] = []
    problems: list[str] = []
    contexts = []

    def open_it(name: str, width: int = 1280, scheme: str = "light") -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme))  # type: ignore[arg-type] # a string
        page = contexts[-1].new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((site / name).as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert [url for url in requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert problems == []


@pytest.mark.parametrize(("question", "answer"), QUESTIONS.items(), ids=QUESTIONS)
def test_the_search_finds_the_right_page_without_a_network(
    open_page: Callable[..., Page], question: str, answer: str
) -> None:
    page = open_page("index.html")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("combobox", name="Search").fill(question)
    results = page.get_by_role("option")
    expect(results.first).to_be_visible()
    found = [str(one.get_attribute("href")) for one in results.all()[:3]]
    assert [url for url in found if f"/{answer}?" in url], found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(open_page: Callable[..., Page], name: str) -> None:
    page = open_page(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_site_follows_the_systems_dark_mode(open_page: Callable[..., Page]) -> None:
    backgrounds = [
        open_page("index.html", scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert backgrounds[0] != backgrounds[1]
