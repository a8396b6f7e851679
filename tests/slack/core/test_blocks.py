"""Messages that are too long for Slack: what's cut, and what the message says about it."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.slack.core.blocks import (
    MAX_BLOCKS_LENGTH,
    Message,
    build_message,
    fitting_rows,
    fitting_rows_and_count,
    json_length,
    section,
)
from tests.support.app.app_fixture import message_text

BUTTON = ActionsBlock(block_id="b", elements=[ButtonElement(text="Approve", action_id="approve", value="r1")])


def lines(number: int, length: int = 99) -> str:
    """Return numbered lines of `length` characters."""
    return "\n".join(f"{at:04} {'x' * (length - 5)}" for at in range(number))


def made(texts: Sequence[str]) -> Message:
    return build_message("A message", [*map(section, texts), BUTTON])


def test_a_message_that_fits_is_unchanged() -> None:
    assert [block["text"]["text"] for block in made([lines(20)] * 5).blocks[:-1]] == [lines(20)] * 5


def test_complete_lines_of_a_long_message_are_omitted_and_counted() -> None:
    cut = made([lines(29)] * 6)
    assert json_length(cut.blocks) <= MAX_BLOCKS_LENGTH
    assert cut.blocks[0]["text"]["text"] == lines(18) + "\nand 11 more lines"


def test_the_longest_texts_are_cut_first() -> None:
    cut = made([lines(29)] * 6 + [lines(9)])
    assert cut.blocks[-2]["text"]["text"] == lines(9)


def test_a_long_line_is_cut_at_its_end() -> None:
    cut = made(["x" * 2900] * 6)
    assert json_length(cut.blocks) <= MAX_BLOCKS_LENGTH
    assert cut.blocks[0]["text"]["text"].endswith("x…")


def test_buttons_are_kept() -> None:
    assert made([lines(29)] * 6).blocks[-1] == BUTTON.to_dict()


def test_each_character_counts_once_in_any_script() -> None:
    assert "…" not in message_text({"blocks": made(["ש" * 2000] * 5).blocks})


def test_rows_that_do_not_fit_are_counted() -> None:
    rows = ["x" * 95] * 10
    assert fitting_rows_and_count(rows, 300) == [*rows[:3], "and 7 more"]
    assert (fitting_rows_and_count(rows, 1000), fitting_rows(rows, 300)) == (rows, rows[:3])
