"""The policy file, filled in with the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from handlers.setup.workspace import SlackChoice
from handlers.terminal.init import POLICY_TEMPLATE


def policy_text(
    channel: SlackChoice, approvers: Sequence[SlackChoice], admin: SlackChoice, login: str, user: SlackChoice
) -> str:
    """Return the `registrar init` template with the answers filled in; its other lines and comments stay.

    Requests are posted in `channel`. `login` is the user name of the person at the keyboard on this machine, and `user`
    is that person in Slack.
    """
    names = ", ".join(approver.label for approver in approvers)
    ids = ", ".join(approver.id for approver in approvers)
    channel_line = _line(f"channel: {channel.id}", f"{channel.label}, where requests are posted")
    admin_line = _line(f"  admin: [{admin.id}]", f"{admin.label}: admins can cancel anyone's request")
    login_line = _line(f"  {json.dumps(login)}: {user.id}", user.label)
    text = _replace_line(POLICY_TEMPLATE, "channel:", channel_line)
    text = _replace_line(text, "  lead:", _line(f"  lead: [{ids}]", f"{names}: the people who approve"))
    operators = _line("operators:", "users of this machine, for commands in the terminal")
    return _replace_line(text, "  admin:", f"{admin_line}\n\n{operators}\n{login_line}")


def _line(setting: str, comment: str) -> str:
    return f"{setting:<30} # {comment}"


def _replace_line(text: str, start: str, line: str) -> str:
    return re.sub(rf"^{start}.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
