"""Commands for a policy file: is it valid, and what does it say about a model. They need nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.core.errors import Misconfigured, WrongPolicy
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.messages import describe_rules
from bot.domain.promotions.approvers import unmeetable_rules
from bot.policy_file import parse_policy, read_policy_text
from bot.services.policy.reload import revision_of
from bot.settings import read_settings
from handlers.doctor.policy_notices import UNMEETABLE_RULE, policy_notices
from handlers.terminal.command_line.commands import PolicyCheck, PolicyShow
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.output import console, documents
from handlers.terminal.output.command_output import OutputFormat


def execute(invocation: Invocation) -> int:
    """Execute the command and return the exit code. Raises Misconfigured."""
    return _HANDLERS[type(invocation.command)](invocation.command, invocation.output_format)


def _check(command: PolicyCheck, output_format: OutputFormat) -> int:
    path = _policy_path(command.file)
    try:
        text = read_policy_text(path)
        policy = parse_policy(text, path)
    except Misconfigured as error:
        faults = list(error.errors) if isinstance(error, WrongPolicy) else [str(error.sentence)]
        title = say("{path} cannot be used; {n} to mend:", path=Code(path), n=pluralize(len(faults), "thing"))
        return _print_faults(_check_document(path, None, faults, []), title, output_format)
    notices, revision = policy_notices(policy), revision_of(text)
    if faults := [UNMEETABLE_RULE.format(rule) for rule in unmeetable_rules(policy)]:
        title = say("{path} can be read, but has {n}:", path=Code(path), n=pluralize(len(faults), "error"))
        return _print_faults(_check_document(path, revision, faults, notices), title, output_format)
    if output_format is OutputFormat.JSON:
        return _print_document(_check_document(path, revision, [], notices))
    patterns = pluralize(len(policy.models), "pattern")
    lines = [say("{path} can be used (policy {word}, {n}).", path=Code(path), word=Code(revision), n=patterns)]
    lines += [say("{it}", it=notice) for notice in notices]
    console.write_output("".join(f"{line}\n" for line in lines))
    return 0


def _print_faults(document: dict[str, Any], title: Sentence, output_format: OutputFormat) -> int:
    if output_format is OutputFormat.JSON:
        _print_document(document)
    else:
        print(title, *(say("  {fault}", fault=fault) for fault in document["faults"]), sep="\n", file=sys.stderr)
    return Misconfigured.exit_code


def _check_document(path: Path, policy_revision: str | None, faults: list[str], notices: list[str]) -> dict[str, Any]:
    return {"file": str(path), "valid": not faults, "policy": policy_revision, "faults": faults, "notices": notices}


def _show(command: PolicyShow, output_format: OutputFormat) -> int:
    path = _policy_path(command.file)
    text = read_policy_text(path)
    policy, word = parse_policy(text, path), revision_of(text)
    lines = describe_rules(policy, command.model, word)
    if output_format is not OutputFormat.JSON:
        console.write_output("".join(f"{line}\n" for line in lines))
        return 0
    return _print_document(
        {
            "model": command.model,
            "pattern": policy.pattern_for(command.model),
            "channel": policy.channel_for(command.model),
            "policy": word,
            "sentences": [str(line) for line in lines],
        }
    )


def _policy_path(path: str) -> Path:
    return Path(path) if path else read_settings().policy


def _print_document(document: dict[str, Any]) -> int:
    console.write_output(documents.to_json(document, console.output_encoding()))
    return 0


_HANDLERS: dict[type[Command], Callable[[Any, OutputFormat], int]] = {PolicyCheck: _check, PolicyShow: _show}
