"""What people see once the demo is running: which page to open, what to try, and how to stop."""

from __future__ import annotations

import getpass
import os
import sys

from handlers.demo.folder import DemoFolder
from handlers.terminal.output.browser import open_page

CHANNEL = "#ml-models"


def page_url(port: int) -> str:
    """Return the URL that shows the channel to Alice."""
    return f"http://127.0.0.1:{port}/?as=alice&channel={CHANNEL[1:]}"


def welcome_lines(port: int, folder: DemoFolder, *, has_monitors: bool = True) -> list[str]:
    """Return the lines to print once everything is running. `has_monitors`: whether the policy has a monitor."""
    older = [
        f"{folder.policy_file} is from an earlier demo and has no monitor. "
        "To see automatic rollbacks, press Ctrl-C, move that file away, and start again.",
        "",
    ]
    return [
        "",
        f"Ready. Open {page_url(port)}",
        f"The checklist in {CHANNEL} shows what to try, and can do each step for you.",
        *_tunnel_lines(port),
        "",
        *([] if has_monitors else older),
        f"Press Ctrl-C to stop. Everything is kept in {folder.path}; run the same command to continue.",
        "",
    ]


def _tunnel_lines(port: int) -> list[str]:
    """Return the lines that say how to open the page on your own machine over SSH; empty without an SSH session."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return []
    _, _, host, ssh_port = connection
    options = "" if ssh_port == "22" else f"-p {ssh_port} "
    return [
        "You're connected over SSH. To open that page on your own machine, run this there first:",
        f"  ssh {options}-L {port}:127.0.0.1:{port} {getpass.getuser()}@{host}",
    ]


def open_browser(port: int) -> None:
    """Open the page in a browser if someone is at the terminal and there's a display."""
    if sys.stdout.isatty():
        open_page(page_url(port))
