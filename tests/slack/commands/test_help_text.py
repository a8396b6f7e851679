"""The help: an overview in groups, the usage of a group's commands, and each command's arguments."""

from __future__ import annotations

import pytest

from bot.domain.commands.catalog import COMMANDS, GROUPS
from bot.domain.commands.help import Help
from bot.slack.commands.help_text import help_answer
from tests.support.slack.message_parts import shown_text

LINE_LENGTH = 40  # characters of a command and its summary that fit on a phone's line
SCREEN_LINES = 16  # lines of a group that fit on a phone's screen


def test_the_overview_has_one_short_line_for_each_command() -> None:
    groups = [block["text"]["text"].split("\n") for block in help_answer(Help()).blocks if block["type"] == "section"]
    assert [lines[0].strip("*") for lines in groups] == list(GROUPS)
    assert sum(len(lines) - 1 for lines in groups) == len(COMMANDS) - 1  # without help itself
    assert max(len(line.replace("`", "")) for lines in groups for line in lines) <= LINE_LENGTH
    assert max(map(len, groups)) <= SCREEN_LINES


@pytest.mark.parametrize(
    ("about", "title"),
    [("promotion", "Promotion"), ("promotions", "Promotion"), ("monitor", "Monitoring"), ("monitoring", "Monitoring")],
)
def test_help_about_a_group_shows_the_usage_of_its_commands(about: str, title: str) -> None:
    text = shown_text(help_answer(Help(about=about)))
    assert all(f"/model {command.usage()}" in text for command in GROUPS[title])


def test_a_command_takes_precedence_over_the_group_with_its_name_and_lists_the_others() -> None:
    text = shown_text(help_answer(Help(about="rollback")))
    assert "--force" in text
    assert "Also in Rollback: `history`, `unblock`" in text
