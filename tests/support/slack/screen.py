"""The page of the local workspace, as somebody looks at it and clicks."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.paths import ROOT

PICTURES = ROOT / "test-artifacts"
CHANNEL = "ml-models"


class Screen:
    """One window. What is waited for is waited for as long as Playwright waits: five seconds."""

    def __init__(self, page: Page, workspace: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        page.goto(f"{workspace}?as=alice&channel={CHANNEL}")
        # The last thing that the page does when it opens: what is focused before would lose the focus again.
        expect(page.get_by_role("combobox", name=f"Message #{CHANNEL}")).to_be_focused()

    # -- doing ----------------------------------------------------------------------------------------------

    def becomes(self, name: str) -> None:
        """Act as somebody else."""
        self.page.get_by_role("radio", name=name).click()
        expect(self.page.get_by_role("radio", name=name)).to_be_checked()

    def types(self, text: str) -> None:
        """Write into the channel."""
        box = self.page.get_by_role("combobox", name=f"Message #{CHANNEL}")
        box.fill(text)
        box.press("Enter")

    def opens_home(self) -> None:
        """Go to the app's Home tab."""
        self.page.get_by_test_id("open-home").click()

    def presses(self, button: str, where: Locator | None = None) -> None:
        """Press a button of the newest card, or of something else."""
        (where or self.card()).get_by_role("button", name=button, exact=True).click()

    def confirms(self, button: str) -> None:
        """Answer the question before a risky click."""
        self.page.get_by_test_id("confirm").get_by_role("button", name=button, exact=True).click()

    # -- seeing ---------------------------------------------------------------------------------------------

    def card(self) -> Locator:
        """Return the newest message that has a headline: the card of a request."""
        return self.page.get_by_test_id("message").filter(has=self.page.get_by_role("heading")).last

    def answer(self, holds: str = "") -> Locator:
        """Return the newest message that only this person sees, of those that hold these words."""
        return self.page.get_by_test_id("ephemeral").filter(has_text=holds).last

    def modal(self) -> Locator:
        """Return the form in front."""
        return self.page.get_by_test_id("modal")

    def home(self) -> Locator:
        """Return the Home tab."""
        return self.page.get_by_test_id("home")

    def thread(self) -> Locator:
        """Return the open thread."""
        return self.page.get_by_test_id("thread")

    def picture(self, name: str) -> None:
        """Keep what is on the screen, for people to look at."""
        PICTURES.mkdir(exist_ok=True)
        self.page.mouse.move(0, 0)  # hovering shows buttons
        self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled", caret="initial")


def open_screen(browser: Browser, workspace: str, **how: object) -> tuple[Screen, BrowserContext]:
    """Open a window with nothing remembered from another one."""
    settings = {"viewport": {"width": 1200, "height": 800}, "locale": "en-GB", "timezone_id": "Europe/Berlin"}
    context = browser.new_context(**{**settings, **how})  # type: ignore[arg-type]  # the settings are of many types
    context.set_default_timeout(10_000)
    return Screen(context.new_page(), workspace), context


def expect_text(where: Locator, words: str) -> None:
    """Wait until it holds these words, whatever stands between its lines."""
    expect(where).to_contain_text(re.compile(re.escape(words)))
