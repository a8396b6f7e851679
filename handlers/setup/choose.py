"""Let the user search a list by typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from handlers.setup.prompts import Prompts
from handlers.setup.workspace import SlackChoice

MAX_SHOWN = 10

Find = Callable[[str], Sequence[SlackChoice]]


def choose(
    prompts: Prompts, question: str, find: Find, *, default: SlackChoice | None = None, if_none: str = ""
) -> SlackChoice | None:
    """Return the choice. An empty line returns the default, or None if there isn't one.

    `find` returns the choices that match a text. `if_none`: what to do if nothing matches.
    """
    shown: Sequence[SlackChoice] = ()
    while typed := prompts.ask(question, default.label if default else ""):
        if default and typed == default.label:
            return default
        if typed.isdecimal() and 0 < int(typed) <= len(shown):
            return shown[int(typed) - 1]
        found = find(typed)
        if len(found) == 1:
            return found[0]
        shown = found[:MAX_SHOWN]
        _show(prompts, typed, found, if_none)
    return default


def _show(prompts: Prompts, typed: str, found: Sequence[SlackChoice], if_none: str) -> None:
    if not found:
        prompts.problem(f"Nothing matches {typed}. {if_none}")
        return
    for number, choice in enumerate(found[:MAX_SHOWN], 1):
        prompts.say(f"  {number}  {choice.label}")
    more = len(found) - MAX_SHOWN
    prompts.say(f"  and {more} more. Type a number, or more of the name." if more > 0 else "  Type a number.")


def choose_one(
    prompts: Prompts, question: str, find: Find, *, default: SlackChoice | None = None, if_none: str = ""
) -> SlackChoice:
    """Ask until there's a choice, and return it."""
    while (choice := choose(prompts, question, find, default=default, if_none=if_none)) is None:
        prompts.problem("Type part of a name.")
    prompts.say(f"  {choice.label}")
    return choice


def choose_several(prompts: Prompts, question: str, find: Find, *, if_none: str = "") -> list[SlackChoice]:
    """Return at least one choice, without duplicates; an empty line ends the list."""
    choices = {choice.id: choice for choice in [choose_one(prompts, question, find, if_none=if_none)]}
    while choice := choose(prompts, "Another one (press Enter to finish)", find, if_none=if_none):
        prompts.say(f"  {choice.label}")
        choices[choice.id] = choice
    return list(choices.values())
