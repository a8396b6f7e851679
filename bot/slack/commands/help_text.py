"""The menu and the help for `/model`."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, ButtonElement, ContextBlock

from bot.domain.commands.base import Command
from bot.domain.commands.catalog import GROUPS, find_group
from bot.domain.commands.help import Help
from bot.domain.commands.parser import find_command
from bot.domain.core.sentence import Sentence
from bot.slack.core.answer import MAX_BUTTON_VALUE
from bot.slack.core.blocks import (
    Message,
    build_message,
    code,
    context_line,
    escape,
    row_sections,
    section,
    sentence_message,
    to_mrkdwn,
)

MENU_PROMOTE, MENU_REQUESTS, MENU_MODELS, MENU_HELP = "menu_ask", "menu_requests", "menu_models", "menu_help"
MENU_COMPARE, MENU_HISTORY, MENU_MONITORS, MENU_ROLLBACK = (
    "menu_compare",
    "menu_history",
    "menu_monitors",
    "menu_rollback",
)

OPEN_FORM = "open_form"


def menu() -> Message:
    """Return the answer to `/model` without arguments."""
    question = "What would you like to do?"
    return build_message(question, [section(f"*{question}*"), menu_buttons()])


def menu_buttons(*others: ButtonElement) -> ActionsBlock:
    """Return the menu's buttons; `others` go before the last one."""
    labels = {
        MENU_COMPARE: "Compare…",
        MENU_HISTORY: "History…",
        MENU_MONITORS: "Monitors",
        MENU_ROLLBACK: "Roll back…",
        MENU_REQUESTS: "Open requests",
        MENU_MODELS: "Models",
    }
    buttons = [
        ButtonElement(text="Request a promotion", action_id=MENU_PROMOTE, style="primary"),
        *(ButtonElement(text=label, action_id=action) for action, label in labels.items()),
        *others,
        ButtonElement(text="Help", action_id=MENU_HELP),
    ]
    return ActionsBlock(block_id="menu", elements=buttons)


def form_offer(usage: Sentence, typed: str) -> Message:
    """Return what's missing, and a button that opens the form for what was typed, unless that's too long."""
    message = sentence_message(usage)
    if len(typed) > MAX_BUTTON_VALUE:
        return message
    button = ButtonElement(text="Open form", action_id=OPEN_FORM, value=typed, style="primary")
    return build_message(message.text, [section(to_mrkdwn(usage)), ActionsBlock(elements=[button])])


def help_answer(command: Help) -> Message:
    """Return the requested help: for a command, for a group of commands, or the overview. Raises BadInput."""
    if not command.about:
        return help_overview()
    if group := find_group(command.about):
        return group_help(group)
    return command_help(find_command(command.about))


def help_overview() -> Message:
    """Return one short line for each command, in groups that fit on a phone's screen."""
    groups = [
        section("\n".join([f"*{title}*", *(f"{code(verb.verb)}  {escape(verb.summary)}" for verb in commands)]))
        for title, commands in GROUPS.items()
    ]
    examples = f"{code('/model help promotion')} or {code('/model promote help')}"
    return build_message("Commands", [*groups, context_line(f"More about a group or a command: {examples}")])


def group_help(title: str) -> Message:
    """Return the usage of each command in a group."""
    commands = GROUPS[title]
    rows = [f"• {code(f'/model {verb.usage()}')}\n    {escape(verb.summary)}" for verb in commands]
    more = f"Help for one command: {code(f'/model help {commands[0].verb}')}"
    return build_message(title, [section(f"*{title}*"), *row_sections(rows), context_line(more)])


def command_help(command: type[Command]) -> Message:
    """Return a command's usage and arguments, and what else is in its group."""
    rows = [f"*{code(f'/model {command.usage()}')}*\n{escape(command.explanation())}"]
    for _, _, arg in command.arguments():
        names = ", ".join(code(flag) for flag in arg.flags)
        label = f"{code(arg.placeholder)} or {names}" if arg.positional and names else names or code(arg.placeholder)
        rows.append(f"• {label}: {escape(arg.help)}")
    rows.append(f"Example: {code(f'/model {command.example}')}")
    return build_message(f"/model {command.usage()}", [*row_sections(rows), *_see_also(command)])


def _see_also(command: type[Command]) -> list[ContextBlock]:
    others = {title: [other.verb for other in group if other is not command] for title, group in GROUPS.items()}
    title = next((title for title, group in GROUPS.items() if command in group), None)
    return [context_line(f"Also in {title}: {', '.join(map(code, others[title]))}")] if title else []
