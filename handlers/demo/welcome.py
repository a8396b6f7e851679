"""What people see once the demo is running: which page to open, what to type, how to stop."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from handlers.demo.folder import DemoFolder
from handlers.demo.models import BAD_VERSION, BETTER_VERSION, MODEL, PRODUCTION_VERSION

CHANNEL = "#ml-models"


def page_url(port: int) -> str:
    """Return the URL that shows the channel to Alice."""
    return f"http://127.0.0.1:{port}/?as=alice&channel={CHANNEL[1:]}"


def welcome_lines(port: int, folder: DemoFolder, first_step: str, *, has_monitors: bool = True) -> list[str]:
    """Return what the terminal prints once everything is running. `has_monitors`: the policy has a monitor."""
    if has_monitors:
        story = [
            f"  4. Do the same for v{BAD_VERSION}, which looks excellent. "
            "Within a minute, Registrar rolls it back automatically.",
            f"  5. Type:  /model history {MODEL}   and   /model monitor show {MODEL} accuracy-live",
        ]
    else:
        story = [
            f"  4. Type:  /model show {MODEL}",
            "",
            f"{folder.policy_file} is from an earlier demo and has no monitor. "
            "To see automatic rollbacks, press Ctrl-C, move that file away, and start again.",
        ]
    return [
        "",
        f"Ready. Open {page_url(port)}",
        *_tunnel_lines(port),
        "",
        f"  1. {first_step}",
        "  2. Click Approve on the card. Registrar refuses: you can't approve your own request.",
        "  3. Switch to Bob (top right, or Alt+2) and click Approve again. Watch the card and its thread.",
        *story,
        "",
        f"Press Ctrl-C to stop. Everything is kept in {folder.path}; run the same command to continue.",
        "",
    ]


def _tunnel_lines(port: int) -> list[str]:
    """Return how to reach the page from the local side of an SSH session."""
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
    """Open the page in a browser if this machine has one."""
    has_display = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if has_display and sys.stdout.isatty() and "SSH_CONNECTION" not in os.environ:
        webbrowser.open(page_url(port))


def post_greeting(token: str, api_url: str) -> None:
    """Post a greeting in the channel, once, for people who have left the terminal for the browser."""
    client = WebClient(token=token, base_url=api_url)
    try:
        channel = next(room["id"] for room in client.conversations_list()["channels"] if room["name"] == CHANNEL[1:])
        if not client.conversations_history(channel=channel, limit=1)["messages"]:
            client.chat_postMessage(channel=channel, text=GREETING)
    except (SlackApiError, StopIteration):
        return  # someone archived or renamed the channel


GREETING = f"""\
Hello, I'm Registrar. I promote models when the right people approve.
`{MODEL}` v{PRODUCTION_VERSION} is in Production, and v{BETTER_VERSION} is slightly better. Request it here:
```/model promote {MODEL} {BETTER_VERSION} production```
Try to approve it yourself, then approve it as Bob (top right). Then do the same for v{BAD_VERSION}, which looks \
excellent, and watch. `/model help` lists everything I can do."""
