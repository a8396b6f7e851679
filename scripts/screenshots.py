"""Take screenshots of every screen on a desktop, on a phone, and in dark mode, to review after a change.

It starts `registrar demo` in a temporary folder, plays its story, and types commands as people would. The pictures go
to test-artifacts/screens, or to the given folder. To take only some screens, pass their names, such as
`scripts/screenshots.py show`. With `--docs`, it only takes the three pictures that the docs show, and writes them to
docs/pictures.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from handlers.demo.story import DemoStory  # noqa: E402 - the line above lets this run as a script
from localslack import Remote  # noqa: E402
from scripts.record_demo import demo  # noqa: E402

LOOKS = {"desktop": (1280, 900, "light"), "phone": (390, 844, "light"), "dark": (1280, 900, "dark")}
SETTLED = 500  # milliseconds until the page has changed its layout
ANSWER, MESSAGE, MODAL = "ephemeral", "message", "modal"  # how the page marks them

# What people type.
TYPED = {
    "menu": "/model",
    "help": "/model help",
    "help-group": "/model monitor help",
    "help-command": "/model help promote",
    "list": "/model list",
    "show": "/model show churn",
    "show-version": "/model show churn 2",
    "status": "/model status churn",
    "status-all": "/model status",
    "compare": "/model compare churn",
    "best": "/model best churn f1",
    "validate": "/model validate churn 4 --to production",
    "requests": "/model requests",
    "history": "/model history churn",
    "policy": "/model policy churn",
    "audit": "/model audit churn",
    "monitors": "/model monitor list churn",
    "monitor": "/model monitor show churn accuracy-live",
    "typo": "/model promot churn 4 production",
    "typo-in-model": "/model promote chrun 4 production",
    "no-such-version": "/model promote churn 99 production",
    "blocked-version": "/model promote churn 4 production",
    "form-promote": "/model promote",
    "form-rollback": "/model rollback",
    "form-monitor": "/model monitor add",
}


class Gallery:
    """Takes pictures of a workspace's page."""

    def __init__(self, page: Page, folder: Path, only: set[str]) -> None:
        self._page, self._folder, self._only = page, folder, only
        folder.mkdir(parents=True, exist_ok=True)

    def wants(self, name: str) -> bool:
        """Return whether this screen was asked for."""
        return not self._only or name in self._only

    def take(self, name: str, part: Locator | None = None) -> None:
        """Take a picture of a screen in each of the `LOOKS`, if it's wanted; `part` is scrolled into view first."""
        if not self.wants(name):
            return
        for look, (width, height, scheme) in LOOKS.items():
            self._page.set_viewport_size({"width": width, "height": height})
            self._page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of Playwright's words
            self._page.mouse.move(0, 0)  # hovering shows buttons
            self._page.wait_for_timeout(SETTLED)
            if part:
                part.evaluate("part => part.scrollIntoView()")
            self._page.screenshot(path=self._folder / f"{name}-{look}.png", animations="disabled", caret="hide")
        width, height, scheme = LOOKS["desktop"]
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(color_scheme="light")
        print(f"  picture: {name}", flush=True)

    def card(self, words: str) -> Locator:
        """Return the newest message with a headline that contains these words."""
        return self._page.get_by_test_id(MESSAGE).filter(has=self._page.get_by_role("heading", name=words)).last

    def type(self, text: str) -> Locator:
        """Type a command; return the answer, message, or form that appears. Raises TimeoutError if nothing does."""
        kinds = [self._page.get_by_test_id(kind) for kind in (ANSWER, MESSAGE, MODAL)]
        before = [kind.count() for kind in kinds]
        box = self._page.get_by_role("combobox").first
        box.fill(text)
        box.press("Enter")
        for _ in range(60):
            self._page.wait_for_timeout(SETTLED)
            for kind, count in zip(kinds, before, strict=True):
                if kind.count() > count:
                    return kind.last
        raise TimeoutError(text)

    def close_form(self) -> None:
        """Close the form, if one is open."""
        form = self._page.get_by_test_id(MODAL)
        if form.count():
            form.get_by_role("button", name=re.compile("Cancel|Close|Back")).last.click()
            form.wait_for(state="detached")

    def visit_messages(self) -> None:
        """Take pictures of cards, alerts, threads, direct messages, and the Home tab."""
        self.take("card-decided", self.card("is in Production"))
        alert = self.card("restored to")
        self.take("alert", alert)
        alert.get_by_role("button", name=re.compile("repl(y|ies)")).click()
        self.take("review")
        self._page.get_by_test_id("thread").get_by_role("button", name="Close").click()
        self.type('/model promote churn 3 production --reason "v4 drifts on the new plan"')
        card = self.card("churn v3")
        card.wait_for()
        self.take("card", card)
        self.become("Bob Tanaka")
        card.get_by_role("button", name="Details").click()
        self._page.get_by_test_id(MODAL).get_by_text("Framework").wait_for()
        self.take("details")
        self.close_form()
        self.open_home("home-approver")
        self.type('/model rollback churn --reason "support sees wrong letters"')
        rollback = self.card("rolled back")
        rollback.wait_for()
        self.take("rollback", rollback)
        self.become("Alice Moreau")
        self.open_home("home")
        self._page.get_by_test_id("channel-registrar").click()
        self.take("direct-messages")

    def become(self, name: str) -> None:
        """Act as another person."""
        self._page.get_by_role("radio", name=name).click()
        self._page.wait_for_timeout(SETTLED)

    def open_home(self, picture: str) -> None:
        """Take pictures of the Home tab, then return to the channel."""
        self._page.get_by_test_id("open-home").click()
        self._page.get_by_test_id("home").wait_for()
        self._page.wait_for_timeout(SETTLED)
        self.take(picture)
        self._page.get_by_test_id("channel-ml-models").click()


class DocsPictures:
    """Takes the pictures for the docs as the story plays."""

    FOLDER = ROOT / "docs" / "pictures"
    WIDE, PHONE = {"width": 940, "height": 1400}, {"width": 390, "height": 706}

    def __init__(self, page: Page) -> None:
        self._gallery, self._page = Gallery(page, self.FOLDER, {""}), page

    def tell(self, line: str) -> None:
        """Process a line of the story; take a picture of the request's card before anyone decides."""
        print(line, flush=True)
        if line.startswith("Alice clicks Approve"):
            self._page.set_viewport_size(self.WIDE)  # type: ignore[arg-type]  # Playwright's own dictionary
            self._gallery.become("Bob Tanaka")
            self._save("card", self._gallery.card("churn v4"))

    def finish(self) -> None:
        """Take pictures of the history and, on a phone, of the incident with its thread."""
        self._page.set_viewport_size(self.WIDE)  # type: ignore[arg-type]  # Playwright's own dictionary
        self._gallery.become("Bob Tanaka")
        self._save("history", self._gallery.type("/model history churn"))
        alert = self._gallery.card("restored to")
        self._page.set_viewport_size(self.PHONE)  # type: ignore[arg-type]  # Playwright's own dictionary
        alert.get_by_role("button", name=re.compile("repl(y|ies)")).click()
        self._page.wait_for_timeout(SETTLED)
        thread = self._page.get_by_test_id("thread")
        thread.evaluate("part => part.querySelectorAll('*').forEach(each => { each.scrollTop = 0 })")
        self._save("incident-phone", thread)

    def _save(self, name: str, part: Locator) -> None:
        self._page.mouse.move(0, 0)  # hovering shows buttons
        self._page.wait_for_timeout(2 * SETTLED)
        part.evaluate("part => part.scrollIntoView()")
        shot = Image.open(io.BytesIO(part.screenshot(animations="disabled", caret="hide"))).convert("RGB")
        small = shot.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(self.FOLDER / f"{name}.png", optimize=True)
        size = (self.FOLDER / f"{name}.png").stat().st_size
        print(f"  picture: {name}, {small.width} × {small.height}, {size // 1000} kB", flush=True)


def take_docs_pictures(browser: Browser, address: str) -> None:
    """Play the story, and take the pictures for the docs."""
    page = browser.new_page(locale="en-US", timezone_id="UTC", color_scheme="light", device_scale_factor=2)
    page.goto(address)
    pictures = DocsPictures(page)
    with Remote(address.partition("?")[0]) as slack:
        DemoStory(slack, pictures.tell).play()
    pictures.finish()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these screens")
    parser.add_argument("--folder", type=Path, default=ROOT / "test-artifacts" / "screens")
    parser.add_argument("--docs", action="store_true", help="only the pictures for the docs, to docs/pictures")
    options = parser.parse_args()
    chromium = subprocess.check_output(  # noqa: S603 - our own script
        [ROOT / "scripts" / "find-chromium"], text=True
    ).strip()
    with demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        if options.docs:
            take_docs_pictures(browser, address)
            browser.close()
            return
        page = browser.new_page(locale="en-US", timezone_id="UTC")
        page.goto(address)
        gallery = Gallery(page, options.folder, set(options.names))
        with Remote(address.partition("?")[0]) as slack:
            DemoStory(slack, lambda line: print(line, flush=True)).play()
        for name, typed in TYPED.items():
            if gallery.wants(name):
                gallery.take(name, gallery.type(typed))
                gallery.close_form()
        gallery.visit_messages()
        browser.close()


if __name__ == "__main__":
    main()
