"""`registrar completion`: the completion script for a shell, generated from the definitions.

The script knows commands, flags, and fixed values. For names in the ledger or registry, it calls the hidden command
`complete`.
"""

from __future__ import annotations

import argparse
from enum import Enum
from typing import Literal, TypeAlias, get_args, get_origin

import shtab

from bot.domain.commands.base import Command
from bot.domain.registry.model import Stage
from handlers.terminal.command_line.grammar import OUTPUT_FORMATS, TERMINAL_COMMANDS
from handlers.terminal.command_line.index import COMMAND_GROUPS

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_ZSH_PRELUDE = "(( $+functions[compdef] )) || { autoload -U compinit && compinit; }\n"
# Nothing of what the program prints is evaluated, and each shell quotes it, or the program has.
_NAMES = {
    # Bash splits words at @, so what the generated function says about a later word would be wrong.
    "bash": r"""
_registrar() {
  COMPREPLY=()
  [[ "${COMP_LINE:0:COMP_POINT}" == *@* ]] || _shtab_registrar
  (( ${#COMPREPLY[@]} )) && return
  local value
  while IFS= read -r value; do [[ -n "$value" ]] && COMPREPLY+=("$value"); done < <(
    command registrar complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}
complete -o nosort -o bashdefault -F _registrar registrar 2>/dev/null ||
  complete -o bashdefault -F _registrar registrar
""",
    "zsh": r"""
_registrar() {
  local -a typed=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}") values lines
  local insert="$compstate[insert]"
  (( words[(Ie)--] )) || _shtab_registrar "$@"
  (( compstate[nmatches] )) && return
  compstate[insert]="$insert"  # the generated function's hint has changed it
  local value about
  while IFS=$'\t' read -r value about; do
    [[ -n "$value" ]] && values+=("$value") && lines+=("$value${about:+  -- $about}")
  done < <(command registrar complete zsh "${typed[@]}" 2>/dev/null)
  (( $#values )) && compadd -l -V registrar -d lines -a values
}
compdef _registrar registrar
""",
    "fish": r"""
function _registrar_names
  set -l tokens (commandline -opc)
  set -l token (commandline -ct)
  command registrar complete fish $tokens[2..-1] "$token" 2>/dev/null
end
complete -c registrar -ka '(_registrar_names)'
for flag in (string replace -- -- '' $_shtab_registrar_opts_with_value)
  complete -c registrar -l $flag -xka '(_registrar_names)'
end
""",
}


def completion_script(shell: str, parser: argparse.ArgumentParser, verbs: Subparsers) -> str:
    """Return the completion script. `parser` has the commands that aren't about models, as subparsers in `verbs`.

    The other commands are added to it.
    """
    groups: dict[str, Subparsers] = {}
    for name in sorted(TERMINAL_COMMANDS, key=lambda name: " " not in name):  # `history` is both a verb and a group
        group, _, word = name.rpartition(" ")
        if group and group not in groups:
            about = COMMAND_GROUPS.get(group) or TERMINAL_COMMANDS[group].summary
            groups[group] = verbs.add_parser(group, help=about).add_subparsers()
        command = TERMINAL_COMMANDS[name]
        known = verbs.choices.get(name)
        _add_arguments(known or (groups[group] if group else verbs).add_parser(word, help=command.summary), command)
    return (_ZSH_PRELUDE if shell == "zsh" else "") + shtab.complete(parser, shell) + _NAMES[shell]


def field_choices(command: type[Command], name: str) -> tuple[str, ...]:
    """Return a field's possible values if its definition lists them; empty otherwise."""
    return next(
        (
            _choices(field.annotation, arg.placeholder)
            for field_name, field, arg in command.arguments()
            if field_name == name
        ),
        (),
    )


def _add_arguments(parser: argparse.ArgumentParser, command: type[Command]) -> None:
    """Add a command's arguments for completion only; the grammar is what parses them."""
    for name, field, arg in command.arguments():
        about = arg.help.replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(*arg.flags, action="store_true", help=about)
            continue
        choices = _choices(field.annotation, arg.placeholder)
        for names in ([name] if arg.positional else [], arg.flags):
            if names:
                added = parser.add_argument(*names, choices=choices or None, metavar=arg.placeholder, help=about)
                if arg.placeholder == "FILE":
                    added.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads it
    for form, about in OUTPUT_FORMATS[command].items():
        parser.add_argument(form.value, action="store_true", help=about)


def _choices(annotation: object, metavar: str) -> tuple[str, ...]:
    """Return the possible values if the definition lists them in its type or its placeholder; empty otherwise."""
    if annotation is Stage:
        return ("staging", "production")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(member.value) for member in annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return _choices(parts[0], metavar) if parts else tuple(metavar.split("|")) if "|" in metavar else ()
