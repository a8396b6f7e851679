"""Record docs/pictures/demo.gif for the README: run the demo's story and take a screenshot of each step.

It starts `registrar demo` in a temporary folder and runs handlers/demo/story.py. Chromium shows the workspace as the
acting person sees it. For the commands in `SHOWN`, each action and its main results become frames, with the story's
lines as captions.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from handlers.demo.story import DemoStory  # noqa: E402 - the line above lets this run as a script
from localslack import Remote  # noqa: E402

TARGET = ROOT / "docs" / "pictures" / "demo.gif"
WIDTH, HEIGHT, CAPTION = 780, 760, 40  # pixels; the caption is below the page
# The story's commands that are shown (all would be too long), and the kind of their answer on the page.
SHOWN = {"promote": "message", "history": "ephemeral"}
HIDE = "element => { element.style.display = 'none'; }"
TO_THE_END = "list => { list.scrollTop = list.scrollHeight; }"
TO_ITS_HEAD = "message => message.scrollIntoView()"
MARK = "button => { button.style.outline = '4px solid #f2a33a'; button.style.outlineOffset = '2px'; }"
SETTLED = 800  # milliseconds until the page shows the story's last step
SHORT, LONG = 1500, 2600  # milliseconds that an action, and its result, are shown


class Recording:
    """Frames of a page, with captions."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._font = ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 16)
        self._answer = ""  # where this command's answers are on the page; empty if it isn't shown
        self._is_first = False  # of an action's results
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def tell(self, line: str) -> None:
        """Process a line of the story: an action, a result (indented by two spaces), or details (indented by more)."""
        print(line, flush=True)
        if not line.startswith(" "):
            self._act(line)
        elif self._answer and not line.startswith("   ") and (self._is_first or line.endswith(":")):
            self._outcome(line.strip())

    def _act(self, line: str) -> None:
        command = re.search(r"/model (\w+).*", line)
        if command:
            self._answer = SHOWN.get(command[1], "")
        if not self._answer or (line.endswith(":") and not command):
            return  # a line with a colon announces a command
        if actor := re.search(r"\b(Alice|Bob)\b", line):
            self._page.get_by_role("radio", name=actor[1]).click()
        box = self._page.get_by_role("combobox")
        if command:
            box.fill(command[0])
        elif button := re.search(r"clicks (\w+)", line):
            self._page.get_by_role("button", name=button[1], exact=True).last.evaluate(MARK)
        self._add(line, SHORT)
        if command:
            box.fill("")
        self._is_first = True

    def _outcome(self, line: str) -> None:
        """Add a frame that shows the start of a message if the story quotes it; otherwise, the end of the channel."""
        message = self._page.get_by_test_id(self._answer)
        if self._answer == "message":
            message = message.filter(has=self._page.get_by_role("heading"))
        self._add(line.rstrip(":"), LONG, message.last if line.endswith(":") else None)
        self._is_first = False

    def _add(self, caption: str, duration: int, head: Locator | None = None) -> None:
        self._page.mouse.move(0, 0)  # hovering shows buttons
        for _ in range(2):  # edits in the meantime scroll the page
            self._page.wait_for_timeout(SETTLED / 2)
            self._page.get_by_test_id("messages").evaluate(TO_THE_END)
            if head:
                head.evaluate(TO_ITS_HEAD)
        shot = Image.open(io.BytesIO(self._page.screenshot(animations="disabled", caret="hide")))
        frame = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), "#14131f")
        frame.paste(shot)
        middle = (WIDTH / 2, HEIGHT + CAPTION / 2)
        ImageDraw.Draw(frame).text(middle, self._fitting(caption), "#efeefc", self._font, anchor="mm")
        self.frames.append(frame)
        self.durations.append(duration)

    def _fitting(self, text: str) -> str:
        text = re.sub("[\u2600-\u27bf\U0001f000-\U0001faff] *", "", text)  # symbols that the font doesn't have
        while self._font.getlength(text) > WIDTH - 40:
            text = text.rstrip("…")[:-1] + "…"
        return text

    def save(self, target: Path) -> None:
        """Write the frames as a looping animation."""
        small = [frame.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in self.frames]
        small[0].save(target, save_all=True, append_images=small[1:], duration=self.durations, loop=0, optimize=True)


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo in a temporary folder, and yield its page's address."""
    with tempfile.TemporaryDirectory(prefix="registrar-recording-", ignore_cleanup_errors=True) as folder:
        running = subprocess.Popen(
            [sys.executable, "-m", "handlers", "demo"],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "REGISTRAR_HOME": folder, "PYTHONPATH": str(ROOT)},
        )
        try:
            assert running.stdout is not None
            for line in running.stdout:
                print(line, end="", flush=True)
                if found := re.search(r"http://127\.0\.0\.1:\d+/\?\S+", line):
                    yield found[0]
                    break
            else:
                sys.exit("The demo ended before it was ready.")
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate()


def main() -> None:
    """Record the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, help="a folder for the single frames, to check them")
    options = parser.parse_args()
    chromium = subprocess.check_output([ROOT / "scripts" / "find-chromium"], text=True).strip()
    with demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US", timezone_id="UTC", color_scheme="light"
        )
        page.goto(address)
        page.locator("#sidebar").evaluate(HIDE)
        recording = Recording(page)
        with Remote(address.partition("?")[0]) as slack:
            DemoStory(slack, recording.tell).play()
        browser.close()
    recording.save(TARGET)
    if options.frames:
        options.frames.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(recording.frames):
            frame.save(options.frames / f"{number:02}.png")
    print(
        f"{TARGET.relative_to(ROOT)}: {len(recording.frames)} frames, {TARGET.stat().st_size / 1e6:.2f} MB, "
        f"{sum(recording.durations) / 1000:.0f} s"
    )


if __name__ == "__main__":
    main()
