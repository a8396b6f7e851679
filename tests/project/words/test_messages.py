"""Every message is short, proposes commands that exist, and stands on a page that an editor can read."""

from __future__ import annotations

import re
import shlex

import pytest

from bot.domain.commands.monitoring import find_command as find_monitor_command
from bot.domain.commands.parser import find_command, parse_command
from handlers.terminal.command_line.grammar import TERMINAL_COMMANDS, parse_invocation
from handlers.terminal.command_line.index import COMMAND_GROUPS, OWN_COMMANDS
from scripts.message_examples import UNKNOWN
from scripts.message_values import VALUES, unused_values
from scripts.messages_page import Text, commands, texts

MAX_WORDS = 20
MAX_ERROR_SENTENCES = 2
EXAMPLES = {
    "MODEL": "churn",
    "NAME": "accuracy",
    "VERSION": "4",
    "TEXT": "churn",
    "FILE": "copy.db",
    "RUN_ID": "0a" * 16,
}


def sentences(text: str) -> list[str]:
    """Return the sentences of a template; a placeholder counts as a word, and so does code."""
    plain = re.sub(r"`[^`]*`|\{\w*\}", "X", text)
    return [sentence for line in plain.splitlines() for sentence in re.split(r"(?<=[.!?:;])\s+", line) if sentence]


def place(text: Text) -> str:
    return f"{text.file}:{text.line}: {text.template}"


def said_or_shown() -> list[Text]:
    """Return what Slack and the terminal show people; descriptions for programs and logs can be longer."""
    return [text for text in texts() if text.is_said or text.file.startswith(("bot/slack", "handlers/slack"))]


def test_no_sentence_is_longer_than_twenty_words() -> None:
    assert [
        place(text) for text in said_or_shown() if any(len(one.split()) > MAX_WORDS for one in sentences(text.template))
    ] == []


def test_no_error_has_more_than_two_sentences() -> None:
    raised = [text for text in texts() if text.is_error and text.is_said]
    assert len(raised) > 100
    assert [place(text) for text in raised if len(sentence_ends(text.template)) > MAX_ERROR_SENTENCES] == []


def sentence_ends(template: str) -> list[str]:
    return re.findall(r"[.!?](?=\s|$)", re.sub(r"`[^`]*`", "X", template))


def test_every_value_in_a_message_has_an_example() -> None:
    """Else, add one to scripts/message_values.toml."""
    assert [text.example for text in texts() if UNKNOWN in text.example] == []


def test_every_example_value_is_used() -> None:
    assert len(texts()) > len(commands()) > 50
    assert unused_values() == []


def test_the_example_values_are_sorted() -> None:
    places = [name for name in VALUES if "/" in name]
    assert places == sorted(places)
    for names in [[*VALUES][: -len(places)], *(list(VALUES[place]) for place in places)]:
        assert names == sorted(names, key=str.lower)


def typed(command: str) -> list[str]:
    """Return the words of a proposed command, with values for its placeholders."""
    return [EXAMPLES.get(word, word) for word in shlex.split(re.sub(r"--page \S+", "--page 2", command))]


def is_open(words: list[str]) -> bool:
    """Return whether a proposed command leaves something other than a flag's value to the reader."""
    return any(word == "…" and not before.startswith("--") for word, before in zip(words, ["", *words], strict=False))


@pytest.mark.parametrize("command", sorted(command for command in commands() if command.startswith("/model ")))
def test_every_slack_command_that_a_message_proposes_can_be_typed(command: str) -> None:
    words = typed(command)[1:]
    if len(words) == 1 or is_open(words):
        assert words[0] == "monitor" or find_command(words[0])
    elif words[:2] == ["monitor", "edit"] and len(words) == 4:
        assert find_monitor_command(words[1:])  # its change follows, from a form
    elif words != ["monitor", "add"]:  # opens a form
        parse_command(shlex.join(words))


@pytest.mark.parametrize("command", sorted(command for command in commands() if command.startswith("registrar ")))
def test_every_terminal_command_that_a_message_proposes_can_be_typed(command: str) -> None:
    words = typed(command)[1:]
    names = {*TERMINAL_COMMANDS, *COMMAND_GROUPS, *OWN_COMMANDS, "help"}
    if words[0] not in OWN_COMMANDS and " ".join(words) not in names:
        parse_invocation(words, OWN_COMMANDS)
    assert words[0] in names | {name.split()[0] for name in names}
