"""The page at /docs: Swagger UI works, and everything comes from the bot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.app.app_fixture import RunningApp

pytestmark = pytest.mark.browser

BEHIND_A_PROXY = "http://registrar.example/bot"
WIDTHS = pytest.mark.parametrize("width", [1280, 390])


class ApiPage:
    """The page in one window, with everything that it requested, and its errors."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requested: list[str] = []
        self.problems: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)

    def opens(self, address: str) -> ApiPage:
        """Open the page, and wait until it has its content."""
        self.page.goto(f"{address}/docs")
        expect(self.page.get_by_text("/v1/versions")).to_be_visible()
        return self

    def elsewhere(self, address: str) -> list[str]:
        """Return what was requested from other addresses."""
        return [url for url in self.requested if not url.startswith((f"{address}/", "data:"))]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[int], ApiPage]]:
    """Yield a function that opens a window of this width, in CSS pixels."""
    pages: list[Page] = []

    def open_it(width: int) -> ApiPage:
        pages.append(browser.new_page(viewport={"width": width, "height": 844}))
        return ApiPage(pages[-1])

    yield open_it
    for page in pages:
        page.close()


@WIDTHS
def test_it_loads_nothing_from_elsewhere(app: RunningApp, open_page: Callable[[int], ApiPage], width: int) -> None:
    address = app.service.address
    window = open_page(width).opens(address)
    assert (window.elsewhere(address), window.problems) == ([], [])
    assert len(window.requested) >= 4  # the page, its script and style, and the document


def test_it_works_below_a_proxy_s_prefix(app: RunningApp, open_page: Callable[[int], ApiPage]) -> None:
    def forward(route: Route) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace(BEHIND_A_PROXY, app.service.address)))

    window = open_page(1280)
    window.page.route(f"{BEHIND_A_PROXY}/**", forward)
    window.opens(BEHIND_A_PROXY)
    assert (window.elsewhere(BEHIND_A_PROXY), window.problems) == ([], [])


@WIDTHS
def test_a_call_can_be_tried(app: RunningApp, open_page: Callable[[int], ApiPage], width: int) -> None:
    page = open_page(width).opens(app.service.address).page
    page.get_by_role("button", name="POST /v1/metrics Push readings").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text("The policy has no clients").first).to_be_visible()


def test_its_security_policy_allows_only_its_own_files_and_script(app: RunningApp) -> None:
    answer = httpx2.get(f"{app.service.address}/docs")
    directives = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "//" not in answer.headers["content-security-policy"]
