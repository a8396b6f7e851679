"""Open pages in a browser, if this terminal has a display."""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Mapping, Sequence

from handlers.terminal.output.command_output import CommandOutput


def open_pages(urls: Sequence[str]) -> CommandOutput:
    """Return the HTTP addresses as output, and open the page if there's only one. Other addresses are left out."""
    pages = [url for url in urls if re.match("https?://", url) and url.isprintable()]
    if len(pages) == 1:
        open_page(pages[0])
    return CommandOutput("".join(f"{url}\n" for url in pages))


def open_page(url: str) -> None:
    """Open a page in a browser, if this terminal has a display."""
    if has_display(os.environ, sys.platform):
        webbrowser.open(url)


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser can open a window; if not, Python would start a text browser in this terminal."""
    if environ.get("BROWSER"):
        return True
    if "SSH_CONNECTION" in environ:  # the person sits somewhere else
        return False
    return platform in {"darwin", "win32"} or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
