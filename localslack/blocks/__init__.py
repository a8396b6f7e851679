"""Slack's rules for Block Kit: pure functions that return the problems with blocks or a view.

Each problem states the broken rule and the JSON pointer, in Slack's notation. An empty list means that the blocks or
view are valid.
"""

from localslack.blocks.message_and_view_limits import (
    BLOCKS_MAX,
    INVALID_FILE,
    ONLY_ONE_TABLE,
    PictureCheck,
    length_of,
    message_problems,
    slack_files,
    table_problems,
    view_problems,
)

__all__ = [
    "BLOCKS_MAX",
    "INVALID_FILE",
    "ONLY_ONE_TABLE",
    "PictureCheck",
    "length_of",
    "message_problems",
    "slack_files",
    "table_problems",
    "view_problems",
]
