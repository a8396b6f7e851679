"""What can be asked of a policy file: whether it is right, and what it says of a model. It needs nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.core.errors import Misconfigured, WrongPolicy
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Say, say
from bot.domain.policy.messages import what_holds
from bot.domain.promotions.approvers import unmeetable_rules
from bot.policy_file import parse_policy, read_text
from bot.services.policy.reload import revision
from bot.settings import read_settings
from handlers.doctor.policy_notices import UNMEETABLE, notices
from handlers.terminal.command_line.commands import PolicyCheck, PolicyShow
from handlers.terminal.command_line.grammar import Asked, Form
from handlers.terminal.output import console, documents


def act(asked: Asked) -> int:
    """Do what was asked for and return the exit code. Raises Misconfigured."""
    return _ACTS[type(asked.command)](asked.command, asked.form)


def _check(command: PolicyCheck, form: Form) -> int:
    path = _file(command.file)
    try:
        text = read_text(path)
        policy = parse_policy(text, path)
    except Misconfigured as error:
        faults = list(error.faults) if isinstance(error, WrongPolicy) else [str(error.sentence)]
        title = say("{path} cannot be used; {n} to mend:", path=Code(path), n=counted(len(faults), "thing"))
        return _tell_faults(_document(path, None, faults, []), title, form)
    found, word = notices(policy), revision(text)
    if faults := [UNMEETABLE.format(one) for one in unmeetable_rules(policy)]:
        title = say("{path} can be read, but has {n}:", path=Code(path), n=counted(len(faults), "error"))
        return _tell_faults(_document(path, word, faults, found), title, form)
    if form is Form.JSON:
        return _write(_document(path, word, [], found))
    patterns = counted(len(policy.models), "pattern")
    lines = [say("{path} can be used (policy {word}, {n}).", path=Code(path), word=Code(word), n=patterns)]
    lines += [say("{it}", it=notice) for notice in found]
    console.write("".join(f"{line}\n" for line in lines))
    return 0


def _tell_faults(document: dict[str, Any], title: Say, form: Form) -> int:
    if form is Form.JSON:
        _write(document)
    else:
        print(title, *(say("  {fault}", fault=fault) for fault in document["faults"]), sep="\n", file=sys.stderr)
    return Misconfigured.exit_code


def _document(path: Path, word: str | None, faults: list[str], found: list[str]) -> dict[str, Any]:
    return {"file": str(path), "valid": not faults, "policy": word, "faults": faults, "notices": found}


def _show(command: PolicyShow, form: Form) -> int:
    path = _file(command.file)
    text = read_text(path)
    policy, word = parse_policy(text, path), revision(text)
    lines = what_holds(policy, command.model, word)
    if form is not Form.JSON:
        console.write("".join(f"{line}\n" for line in lines))
        return 0
    return _write(
        {
            "model": command.model,
            "pattern": policy.pattern_for(command.model),
            "channel": policy.channel_for(command.model),
            "policy": word,
            "sentences": [str(line) for line in lines],
        }
    )


def _file(given: str) -> Path:
    return Path(given) if given else read_settings().policy


def _write(document: dict[str, Any]) -> int:
    console.write(documents.to_json(document, console.encoding()))
    return 0


_ACTS: dict[type[Command], Callable[[Any, Form], int]] = {PolicyCheck: _check, PolicyShow: _show}
