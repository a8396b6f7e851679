"""`registrar completion`: what a shell offers behind `registrar`, made from the definitions."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal, get_args, get_origin

from bot.domain.registry.model import Stage
from handlers.terminal.command_line.grammar import FORMS, VERBS
from handlers.terminal.command_line.index import GROUPS, OWN

SHELLS = ("bash", "zsh", "fish")
OWN_FLAGS = {
    "run": ["--help"],
    "worker": ["--help"],
    "init": ["--help"],
    "doctor": ["--live", "--json", "--help"],
    "demo": ["--play", "--train", "--port", "--help"],
}
_OWN_VALUES: dict[str, dict[str, tuple[str, ...]]] = {"demo": {"--port": ()}}  # any

_BASH = """\
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
_ZSH = """\
# For zsh: eval "$(registrar completion zsh)"
(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str) -> str:
    """Return what the shell has to read."""
    return _fish() if shell == "fish" else (_ZSH if shell == "zsh" else "") + _bash()


def _commands() -> list[str]:
    return [*OWN, *(name for name in VERBS if " " not in name), *GROUPS]


def _seconds(group: str) -> list[str]:
    return [name.partition(" ")[2] for name in VERBS if name.startswith(f"{group} ")]


def _flags(verb: str) -> list[str]:
    flags = [flag for _, _, arg in VERBS[verb].args() for flag in arg.flags]
    return [*flags, *(form.value for form in FORMS[VERBS[verb]]), "--help"]


def _values(verb: str) -> dict[str, tuple[str, ...]]:
    """Return the flags behind which a value stands, each with the values that can be offered."""
    return {
        flag: _choices(field.annotation, arg.shown)
        for _, field, arg in VERBS[verb].args()
        if field.annotation is not bool
        for flag in arg.flags
    }


def _places(verb: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the words behind a verb for which there are only some, each with its place."""
    places = [_choices(field.annotation, arg.shown) for _, field, arg in VERBS[verb].args() if arg.positional]
    return [(place, choices) for place, choices in enumerate(places) if choices]


def _choices(annotation: object, shown: str) -> tuple[str, ...]:
    """Return the words that a value can be, where the definition names them: in its type, or in how it is shown."""
    if annotation is Stage:
        return ("staging", "production")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(one.value) for one in annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = [one for one in get_args(annotation) if one is not type(None)]
    return _choices(parts[0], shown) if parts else tuple(shown.split("|")) if "|" in shown else ()


def _case(pattern: str, offered: Iterable[str], *, indent: int, more: bool = False) -> str:
    said = " ".join(offered) + (" $offered" if more else "")
    return f'{" " * indent}{pattern}) offered="{said}" ;;'


def _bash() -> str:
    two = [name for name in VERBS if " " in name]
    values = {f'"{verb} {flag}"': choices for verb in VERBS for flag, choices in _values(verb).items()}
    values |= {f'"{verb} {flag}"': () for verb, flags in _OWN_VALUES.items() for flag in flags}
    free = "|".join(pattern for pattern, choices in values.items() if not choices)
    flags = {name: _flags(name) for name in VERBS} | OWN_FLAGS | {"completion": list(SHELLS)}
    return _BASH.format(
        commands=" ".join(_commands()),
        groups="\n".join(_case(group, _seconds(group), indent=6) for group in GROUPS),
        pairs="|".join(f'"{name}"' for name in two),
        values="\n".join(
            [
                *(_case(pattern, choices, indent=6) for pattern, choices in values.items() if choices),
                f"      {free}) ;;",
            ]
        ),
        flags="\n".join(_case(f'"{name}"', found, indent=10) for name, found in flags.items()),
        places="\n".join(
            _case(f'"{name} {place}"', choices, indent=10, more=True)
            for name in VERBS
            for place, choices in _places(name)
        ),
    )


def _fish() -> str:
    """Return lines for fish, which has a condition for each word that it offers."""
    lines = ["# For fish: registrar completion fish | source", "complete -c registrar -f"]
    lines.append(f"complete -c registrar -n __fish_use_subcommand -a '{' '.join(_commands())}'")
    for group in GROUPS:
        behind = f"__fish_seen_subcommand_from {group}; and test (count (commandline -opc)) -eq 2"
        lines.append(f"complete -c registrar -n '{behind}' -a '{' '.join(_seconds(group))}'")
    for name in VERBS:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        values = _values(name)
        lines += [
            f"complete -c registrar -n '{seen}' -l {flag[2:]}"
            + (f" -x -a '{' '.join(values[flag])}'" if values.get(flag) else " -r" if flag in values else "")
            for flag in _flags(name)
        ]
        lines += [f"complete -c registrar -n '{seen}' -a '{' '.join(choices)}'" for _, choices in _places(name)]
    for name, flags in OWN_FLAGS.items():
        lines += [f"complete -c registrar -n '__fish_seen_subcommand_from {name}' -l {flag[2:]}" for flag in flags]
    lines.append(f"complete -c registrar -n '__fish_seen_subcommand_from completion' -a '{' '.join(SHELLS)}'")
    return "\n".join(lines) + "\n"
