"""The menu and the help of `/model`."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.help import Help
from bot.domain.commands.monitoring import GROUP
from bot.domain.commands.parser import find_command
from bot.slack.core.blocks import Message, build_message, code, context_line, escape, row_sections, section

MENU_PROMOTE, MENU_REQUESTS, MENU_MODELS, MENU_HELP = "menu_ask", "menu_requests", "menu_models", "menu_help"


def menu() -> Message:
    """Return the answer to `/model` without arguments."""
    question = "What would you like to do?"
    return build_message(question, [section(f"*{question}*"), menu_buttons()])


def menu_buttons(*others: ButtonElement) -> ActionsBlock:
    """Return the menu's buttons; `others` go before the last one."""
    buttons = [
        ButtonElement(text="Request a promotion", action_id=MENU_PROMOTE, style="primary"),
        ButtonElement(text="Open requests", action_id=MENU_REQUESTS),
        ButtonElement(text="Models", action_id=MENU_MODELS),
        *others,
        ButtonElement(text="Help", action_id=MENU_HELP),
    ]
    return ActionsBlock(block_id="menu", elements=buttons)


def help_overview() -> Message:
    """Return one line for each command."""
    rows = [_usage_row(verb) for name, verb in COMMANDS.items() if " " not in name]
    for group in dict.fromkeys(name.split()[0] for name in COMMANDS if " " in name):
        words = [name.split()[1] for name in COMMANDS if name.startswith(f"{group} ")]
        rows.append(f"• {code(f'/model {group} ' + '|'.join(words))}\n    Help: {code(f'/model help {group}')}")
    more = f"Help for one command: {code('/model help promote')}. You can also pass any argument as a flag."
    return build_message("Commands", [*row_sections(rows), context_line(more)])


def group_help(group: str) -> Message:
    """Return one line for each subcommand of a group."""
    rows = [_usage_row(verb) for name, verb in COMMANDS.items() if name.startswith(f"{group} ")]
    more = f"Help for one command: {code(f'/model help {group} add')}"
    return build_message(f"/model {group} …", [*row_sections(rows), context_line(more)])


def _usage_row(command: type[Command]) -> str:
    return f"• {code(f'/model {command.usage()}')}\n    {escape(command.summary)}"


def command_help(command: type[Command]) -> Message:
    """Return a command's usage and arguments."""
    rows = [f"*{code(f'/model {command.usage()}')}*\n{escape(command.summary)}."]
    for _, _, arg in command.arguments():
        names = ", ".join(code(flag) for flag in arg.flags)
        label = f"{code(arg.placeholder)} or {names}" if arg.positional and names else names or code(arg.placeholder)
        rows.append(f"• {label}: {escape(arg.help)}")
    rows.append(f"Example: {code(f'/model {command.example}')}")
    return build_message(f"/model {command.usage()}", row_sections(rows))


def help_answer(command: Help) -> Message:
    """Return the requested help: for a command, for a group of commands, or the overview."""
    if command.about == GROUP:
        return group_help(GROUP)
    return command_help(find_command(command.about)) if command.about else help_overview()
