"""The policy file, filled in with the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.setup.workspace import SlackChoice
from handlers.terminal.init import POLICY_TEMPLATE


@dataclass(frozen=True, slots=True)
class PolicyAnswers:
    """The answers that go into the policy: where requests are posted, who approves them, the admin, and the user.

    `login` is the user name of the person at the keyboard on this machine, and `user` is that person in Slack.
    """

    channel: SlackChoice
    approvers: Sequence[SlackChoice]
    admin: SlackChoice
    login: str
    user: SlackChoice


def policy_text(answers: PolicyAnswers) -> str:
    """Return the `registrar init` template with the answers filled in; its other lines and comments stay."""
    names = ", ".join(approver.label for approver in answers.approvers)
    ids = ", ".join(approver.id for approver in answers.approvers)
    channel = _line(f"channel: {answers.channel.id}", f"{answers.channel.label}, where requests are posted")
    admin = _line(f"  admin: [{answers.admin.id}]", f"{answers.admin.label}: admins can cancel anyone's request")
    login = _line(f"  {json.dumps(answers.login)}: {answers.user.id}", answers.user.label)
    text = _replace_line(POLICY_TEMPLATE, "channel:", channel)
    text = _replace_line(text, "  lead:", _line(f"  lead: [{ids}]", f"{names}: the people who approve"))
    operators = _line("operators:", "users of this machine, for commands in the terminal")
    return _replace_line(text, "  admin:", f"{admin}\n\n{operators}\n{login}")


def _line(setting: str, comment: str) -> str:
    return f"{setting:<30} # {comment}"


def _replace_line(text: str, start: str, line: str) -> str:
    return re.sub(rf"^{start}.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
