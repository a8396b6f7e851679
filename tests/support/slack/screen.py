"""The local workspace's page, as a person uses it."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.paths import ROOT

PICTURES = ROOT / "test-artifacts"
CHANNEL = "ml-models"


class Screen:
    """One window. It waits for at most five seconds, which is Playwright's default."""

    def __init__(self, page: Page, workspace: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        page.goto(f"{workspace}?as=alice&channel={CHANNEL}")
        # The page focuses this last when it opens; anything focused earlier would lose focus.
        expect(page.get_by_role("combobox", name=f"Message #{CHANNEL}")).to_be_focused()

    # -- doing ----------------------------------------------------------------------------------------------

    def becomes(self, name: str) -> None:
        """Act as a different person."""
        self.page.get_by_role("radio", name=name).click()
        expect(self.page.get_by_role("radio", name=name)).to_be_checked()

    def types(self, text: str) -> None:
        """Post a message in the channel."""
        box = self.page.get_by_role("combobox", name=f"Message #{CHANNEL}")
        box.fill(text)
        box.press("Enter")

    def chooses(self, menu: str, typed: str, option: str) -> None:
        """Type in one of the modal's menus, and choose an option."""
        self.modal().get_by_role("combobox", name=menu).fill(typed)
        self.modal().get_by_role("listbox").get_by_role("option", name=option, exact=True).click()

    def opens_home(self) -> None:
        """Open the app's Home tab."""
        self.page.get_by_test_id("open-home").click()

    def presses(self, button: str, where: Locator | None = None) -> None:
        """Press a button on the newest card, or in `where`."""
        (where or self.card()).get_by_role("button", name=button, exact=True).click()

    def confirms(self, button: str) -> None:
        """Answer the confirmation dialog."""
        self.page.get_by_test_id("confirm").get_by_role("button", name=button, exact=True).click()

    # -- seeing ---------------------------------------------------------------------------------------------

    def card(self) -> Locator:
        """Return the newest message with a headline: a request's card."""
        return self.page.get_by_test_id("message").filter(has=self.page.get_by_role("heading")).last

    def answer(self, holds: str = "") -> Locator:
        """Return the newest ephemeral message that contains `holds`."""
        return self.page.get_by_test_id("ephemeral").filter(has_text=holds).last

    def modal(self) -> Locator:
        """Return the open modal."""
        return self.page.get_by_test_id("modal")

    def home(self) -> Locator:
        """Return the Home tab."""
        return self.page.get_by_test_id("home")

    def thread(self) -> Locator:
        """Return the open thread."""
        return self.page.get_by_test_id("thread")

    def picture(self, name: str) -> None:
        """Save a screenshot for people to review."""
        PICTURES.mkdir(exist_ok=True)
        self.page.mouse.move(0, 0)  # hovering shows buttons
        self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled", caret="initial")


def open_screen(browser: Browser, workspace: str, **how: object) -> tuple[Screen, BrowserContext]:
    """Open a window without the state of other windows."""
    settings = {"viewport": {"width": 1200, "height": 800}, "locale": "en-GB", "timezone_id": "Europe/Berlin"}
    context = browser.new_context(**{**settings, **how})  # type: ignore[arg-type]  # the settings are of many types
    context.set_default_timeout(10_000)
    return Screen(context.new_page(), workspace), context


def expect_text(where: Locator, words: str) -> None:
    """Wait until it contains these words."""
    expect(where).to_contain_text(re.compile(re.escape(words)))
