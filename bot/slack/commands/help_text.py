"""TODO bot.slack.commands.help"""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.domain.commands.base import Command
from bot.domain.commands.catalog import VERBS
from bot.slack.core.blocks import Message, chunks, message, section, small
from bot.slack.core.mrkdwn import code, escape

MENU_ASK, MENU_REQUESTS, MENU_MODELS, MENU_HELP = "menu_ask", "menu_requests", "menu_models", "menu_help"


def menu() -> Message:
    """Return what `/model` alone answers."""
    buttons = [
        ButtonElement(text="Ask for a promotion", action_id=MENU_ASK, style="primary"),
        ButtonElement(text="Open requests", action_id=MENU_REQUESTS),
        ButtonElement(text="Models", action_id=MENU_MODELS),
        ButtonElement(text="Help", action_id=MENU_HELP),
    ]
    blocks: list[Block] = [section("*What would you like to do?*"), ActionsBlock(block_id="menu", elements=buttons)]
    return message("What would you like to do?", blocks)


def help_all() -> Message:
    """Return every verb with one line."""
    rows = [_usage(verb) for name, verb in VERBS.items() if " " not in name]
    for group in dict.fromkeys(name.split()[0] for name in VERBS if " " in name):
        words = [name.split()[1] for name in VERBS if name.startswith(f"{group} ")]
        rows.append(
            f"• {code(f'/model {group} ' + '|'.join(words))}\n    More of these: {code(f'/model help {group}')}"
        )
    blocks: list[Block] = [section(chunk) for chunk in chunks(rows)]
    blocks.append(small(f"One verb in full: {code('/model help promote')}. Every argument can also be a flag."))
    return message("What you can type", blocks)


def help_group(group: str) -> Message:
    """Return the verbs of two words that begin with the same one."""
    rows = [_usage(verb) for name, verb in VERBS.items() if name.startswith(f"{group} ")]
    blocks: list[Block] = [section(chunk) for chunk in chunks(rows)]
    blocks.append(small(f"One of them in full: {code(f'/model help {group} add')}"))
    return message(f"/model {group} …", blocks)


def _usage(verb: type[Command]) -> str:
    return f"• {code(f'/model {verb.usage()}')}\n    {escape(verb.summary)}"


def help_verb(verb: type[Command]) -> Message:
    """Return one verb with its arguments."""
    rows = [f"*{code(f'/model {verb.usage()}')}*\n{escape(verb.summary)}."]
    for _, _, arg in verb.args():
        names = ", ".join(code(flag) for flag in arg.flags)
        shown = f"{code(arg.shown)} or {names}" if arg.positional and names else names or code(arg.shown)
        rows.append(f"• {shown}: {escape(arg.means)}")
    rows.append(f"For example {code(f'/model {verb.example}')}")
    return message(f"/model {verb.usage()}", map(section, chunks(rows)))
