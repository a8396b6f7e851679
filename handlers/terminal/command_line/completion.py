"""`registrar completion`: what a shell offers behind `registrar`, made from the definitions."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal, get_args, get_origin

from bot.domain.registry.model import Stage
from handlers.terminal.command_line.grammar import OUTPUT_FORMATS, TERMINAL_COMMANDS
from handlers.terminal.command_line.index import COMMAND_GROUPS, OWN_COMMANDS

SHELLS = ("bash", "zsh", "fish")
OWN_FLAGS = {
    "run": ["--help"],
    "worker": ["--help"],
    "init": ["--help"],
    "doctor": ["--live", "--json", "--help"],
    "demo": ["--play", "--train", "--port", "--help"],
}
_OWN_VALUES: dict[str, dict[str, tuple[str, ...]]] = {"demo": {"--port": ()}}  # any

_BASH_TEMPLATE = """\
# For bash: eval "$(registrar completion bash)"
_registrar() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}} at offered=
  if [ "$COMP_CWORD" -eq 1 ]; then
    offered="{commands}"
  elif [ "$COMP_CWORD" -eq 2 ]; then
    case "$verb" in
{groups}
    esac
  fi
  if [ -z "$offered" ]; then
    at=$((COMP_CWORD-2))
    case "$verb ${{COMP_WORDS[2]}}" in
      {pairs}) verb="$verb ${{COMP_WORDS[2]}}" at=$((at-1)) ;;
    esac
    case "$verb $prev" in
{values}
      *)
        case "$verb" in
{flags}
        esac
        case "$verb $at" in
{places}
        esac
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$cur")) || :
}}
complete -o default -F _registrar registrar
"""
_ZSH_PRELUDE = """\
# For zsh: eval "$(registrar completion zsh)"
(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
"""


def completion_script(shell: str) -> str:
    """Return what the shell has to read."""
    return _fish_script() if shell == "fish" else (_ZSH_PRELUDE if shell == "zsh" else "") + _bash_script()


def _first_words() -> list[str]:
    return [*OWN_COMMANDS, *(name for name in TERMINAL_COMMANDS if " " not in name), *COMMAND_GROUPS]


def _second_words(group: str) -> list[str]:
    return [name.partition(" ")[2] for name in TERMINAL_COMMANDS if name.startswith(f"{group} ")]


def _flags_of(verb: str) -> list[str]:
    flags = [flag for _, _, arg in TERMINAL_COMMANDS[verb].arguments() for flag in arg.flags]
    return [*flags, *(form.value for form in OUTPUT_FORMATS[TERMINAL_COMMANDS[verb]]), "--help"]


def _flag_values(verb: str) -> dict[str, tuple[str, ...]]:
    """Return the flags that take a value, each with the values to offer."""
    return {
        flag: _choices(field.annotation, arg.placeholder)
        for _, field, arg in TERMINAL_COMMANDS[verb].arguments()
        if field.annotation is not bool
        for flag in arg.flags
    }


def _positional_choices(verb: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the positional arguments with a fixed set of values, each with its position."""
    places = [
        _choices(field.annotation, arg.placeholder)
        for _, field, arg in TERMINAL_COMMANDS[verb].arguments()
        if arg.positional
    ]
    return [(position, choices) for position, choices in enumerate(places) if choices]


def _choices(annotation: object, metavar: str) -> tuple[str, ...]:
    """Return the possible values, if the definition has them: in its type, or in its placeholder."""
    if annotation is Stage:
        return ("staging", "production")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(member.value) for member in annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return _choices(parts[0], metavar) if parts else tuple(metavar.split("|")) if "|" in metavar else ()


def _case_line(pattern: str, words: Iterable[str], *, indent: int, keeps_offered: bool = False) -> str:
    line = " ".join(words) + (" $offered" if keeps_offered else "")
    return f'{" " * indent}{pattern}) offered="{line}" ;;'


def _bash_script() -> str:
    two = [name for name in TERMINAL_COMMANDS if " " in name]
    values = {f'"{verb} {flag}"': choices for verb in TERMINAL_COMMANDS for flag, choices in _flag_values(verb).items()}
    values |= {f'"{verb} {flag}"': () for verb, flags in _OWN_VALUES.items() for flag in flags}
    free = "|".join(pattern for pattern, choices in values.items() if not choices)
    flags = {name: _flags_of(name) for name in TERMINAL_COMMANDS} | OWN_FLAGS | {"completion": list(SHELLS)}
    return _BASH_TEMPLATE.format(
        commands=" ".join(_first_words()),
        groups="\n".join(_case_line(group, _second_words(group), indent=6) for group in COMMAND_GROUPS),
        pairs="|".join(f'"{name}"' for name in two),
        values="\n".join(
            [
                *(_case_line(pattern, choices, indent=6) for pattern, choices in values.items() if choices),
                f"      {free}) ;;",
            ]
        ),
        flags="\n".join(_case_line(f'"{name}"', offered, indent=10) for name, offered in flags.items()),
        places="\n".join(
            _case_line(f'"{name} {position}"', choices, indent=10, keeps_offered=True)
            for name in TERMINAL_COMMANDS
            for position, choices in _positional_choices(name)
        ),
    )


def _fish_script() -> str:
    """Return lines for fish, which has a condition for each word that it offers."""
    lines = ["# For fish: registrar completion fish | source", "complete -c registrar -f"]
    lines.append(f"complete -c registrar -n __fish_use_subcommand -a '{' '.join(_first_words())}'")
    for group in COMMAND_GROUPS:
        behind = f"__fish_seen_subcommand_from {group}; and test (count (commandline -opc)) -eq 2"
        lines.append(f"complete -c registrar -n '{behind}' -a '{' '.join(_second_words(group))}'")
    for name in TERMINAL_COMMANDS:
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        values = _flag_values(name)
        lines += [
            f"complete -c registrar -n '{condition}' -l {flag[2:]}"
            + (f" -x -a '{' '.join(values[flag])}'" if values.get(flag) else " -r" if flag in values else "")
            for flag in _flags_of(name)
        ]
        lines += [
            f"complete -c registrar -n '{condition}' -a '{' '.join(choices)}'"
            for _, choices in _positional_choices(name)
        ]
    for name, flags in OWN_FLAGS.items():
        lines += [f"complete -c registrar -n '__fish_seen_subcommand_from {name}' -l {flag[2:]}" for flag in flags]
    lines.append(f"complete -c registrar -n '__fish_seen_subcommand_from completion' -a '{' '.join(SHELLS)}'")
    return "\n".join(lines) + "\n"
