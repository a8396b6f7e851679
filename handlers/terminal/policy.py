"""Commands for a policy file: check it, or show a model's rules. They need nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.core.errors import Misconfigured, WrongPolicy
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, say
from bot.domain.policy.messages import describe_rules
from bot.domain.policy.parser import revision_of
from bot.domain.promotions.approvers import unmeetable_rules
from bot.policy_file import parse_policy, read_policy_text
from bot.settings import read_settings
from handlers.doctor.policy_notices import UNMEETABLE_RULE, policy_notices
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.command_line.terminal_only_commands import PolicyCheck, PolicyShow
from handlers.terminal.output import styles
from handlers.terminal.output.command_output import OutputFormat, print_output


def execute(invocation: Invocation) -> int:
    """Execute the command and return the exit code. Raises Misconfigured."""
    return _HANDLERS[type(invocation.command)](invocation.command, invocation.output_format)


def _check(command: PolicyCheck, output_format: OutputFormat) -> int:
    path = _policy_path(command.file)
    faults: list[str] = []
    notices: list[str] = []
    revision = None
    try:
        text = read_policy_text(path)
        policy = parse_policy(text, path)
    except Misconfigured as error:
        faults = list(error.errors) if isinstance(error, WrongPolicy) else [str(error.sentence)]
        title = say("{path} can't be used. It has {n}:", path=Code(path), n=pluralize(len(faults), "error"))
    else:
        notices, revision, patterns = (
            policy_notices(policy),
            revision_of(text),
            pluralize(len(policy.models), "pattern"),
        )
        title = say("{path} is valid (revision {word}, {n}).", path=Code(path), word=Code(revision), n=patterns)
        if faults := [UNMEETABLE_RULE.format(rule) for rule in unmeetable_rules(policy)]:
            title = say("{path} can be read, but it has {n}:", path=Code(path), n=pluralize(len(faults), "error"))
    document = {"file": str(path), "valid": not faults, "policy": revision, "faults": faults, "notices": notices}
    if faults and output_format is not OutputFormat.JSON:
        print(title, *(f"  {fault}" for fault in faults), sep="\n", file=sys.stderr)
    else:
        print_output(output_format, document, title, *notices, style=styles.GOOD)
    return Misconfigured.exit_code if faults else 0


def _show(command: PolicyShow, output_format: OutputFormat) -> int:
    path = _policy_path(command.file)
    text = read_policy_text(path)
    policy, revision = parse_policy(text, path), revision_of(text)
    lines = describe_rules(policy, command.model, revision)
    document = {
        "model": command.model,
        "pattern": policy.pattern_for(command.model),
        "channel": policy.channel_for(command.model),
        "policy": revision,
        "sentences": [str(line) for line in lines],
    }
    print_output(output_format, document, *lines)
    return 0


def _policy_path(path: str) -> Path:
    return Path(path) if path else read_settings().policy


_HANDLERS: dict[type[Command], Callable[[Any, OutputFormat], int]] = {PolicyCheck: _check, PolicyShow: _show}
