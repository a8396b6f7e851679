"""`registrar completion`: what a shell offers behind `registrar`, made from the definitions."""

from __future__ import annotations

from collections.abc import Iterable

from handlers.terminal.grammar import FORMS, VERBS
from handlers.terminal.listed import GROUPS

SHELLS = ("bash", "zsh", "fish")
_OWN_FLAGS = {"run": [], "init": [], "doctor": ["--live", "--json"], "demo": ["--play", "--port"]}

_BASH = """\
# For bash: eval "$(registrar completion bash)"
_registrar() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} offered=
  if [ "$COMP_CWORD" -eq 1 ]; then
    offered="{commands}"
  else
    case "${{COMP_WORDS[1]}}" in
{groups}
    esac
    if [ -z "$offered" ]; then
      case "${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" in
{pairs}
      esac
    fi
    if [ -z "$offered" ]; then
      case "${{COMP_WORDS[1]}}" in
{singles}
      esac
    fi
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$cur"))
}}
complete -o default -F _registrar registrar
"""
_ZSH = """\
# For zsh: eval "$(registrar completion zsh)"
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str, own: Iterable[str]) -> str:
    """Return what the shell has to read. `own` are the commands that are no verbs."""
    own = [*own, "completion"]
    return _fish(own) if shell == "fish" else (_ZSH if shell == "zsh" else "") + _bash(own)


def _commands(own: Iterable[str]) -> list[str]:
    return [*own, *(name for name in VERBS if " " not in name), *GROUPS]


def _seconds(group: str) -> list[str]:
    return [name.partition(" ")[2] for name in VERBS if name.startswith(f"{group} ")]


def _flags(verb: str) -> list[str]:
    flags = [flag for _, _, arg in VERBS[verb].args() for flag in arg.flags]
    return [*flags, *(form.value for form in FORMS[VERBS[verb]]), "--help"]


def _bash(own: list[str]) -> str:
    groups = [f'      {group}) [ "$COMP_CWORD" -ne 2 ] || offered="{" ".join(_seconds(group))}" ;;' for group in GROUPS]
    pairs = [f'        "{name}") offered="{" ".join(_flags(name))}" ;;' for name in VERBS if " " in name]
    singles = [f'        {name}) offered="{" ".join(_flags(name))}" ;;' for name in VERBS if " " not in name]
    singles += [f'        {name}) offered="{" ".join(flags)}" ;;' for name, flags in _OWN_FLAGS.items() if flags]
    singles.append(f'        completion) offered="{" ".join(SHELLS)}" ;;')
    return _BASH.format(
        commands=" ".join(_commands(own)), groups="\n".join(groups), pairs="\n".join(pairs), singles="\n".join(singles)
    )


def _fish(own: list[str]) -> str:
    """Return lines for fish, which has a condition for each word that it offers."""
    lines = ["# For fish: registrar completion fish | source", "complete -c registrar -f"]
    lines.append(f"complete -c registrar -n __fish_use_subcommand -a '{' '.join(_commands(own))}'")
    for group in GROUPS:
        behind = f"__fish_seen_subcommand_from {group}; and test (count (commandline -opc)) -eq 2"
        lines.append(f"complete -c registrar -n '{behind}' -a '{' '.join(_seconds(group))}'")
    for name in VERBS:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        lines += [f"complete -c registrar -n '{seen}' -l {flag[2:]}" for flag in _flags(name)]
    for name, flags in _OWN_FLAGS.items():
        lines += [f"complete -c registrar -n '__fish_seen_subcommand_from {name}' -l {flag[2:]}" for flag in flags]
    lines.append(f"complete -c registrar -n '__fish_seen_subcommand_from completion' -a '{' '.join(SHELLS)}'")
    return "\n".join(lines) + "\n"
