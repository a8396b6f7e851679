"""The arguments of a Web API call, from its query, form, or JSON body."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from localslack.core.errors import SlackError, missing_field
from localslack.workspace.message_content import decode_json

T = TypeVar("T")
# Removed from the arguments, so that it doesn't show up in tests or logs.
TOKEN = "token"  # noqa: S105 - an argument's name


class Arguments:
    """The arguments of a call, converted to the types that methods need."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = {name: value for name, value in raw.items() if name != TOKEN and value is not None}

    def text(self, name: str, default: str = "") -> str:
        """Return an argument as a string, or the default if it's missing."""
        return str(self.raw.get(name, default))

    def required(self, name: str) -> str:
        """Return a required argument as a string. Raises invalid_arguments if it's missing or empty."""
        if not (value := self.text(name)):
            raise missing_field(name)
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return an argument as a boolean; true, 1, and yes mean true."""
        value = self.raw.get(name, default)
        return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes")

    def limit(self, default: int, at_most: int = 1000) -> int:
        """Return the number of items per page, up to `at_most`. Raises invalid_limit.

        Return `default` if the argument is missing or isn't positive.
        """
        try:
            value = int(self.raw.get("limit", default))
        except (TypeError, ValueError):
            raise SlackError("invalid_limit") from None
        return min(value, at_most) if value > 0 else default

    def json(self, name: str) -> Any:
        """Return an argument that's sent as an object or as a JSON string. Raises invalid_arguments."""
        if name not in self.raw:
            raise missing_field(name)
        return decode_json(self.raw[name], "invalid_arguments")

    def listed(self, name: str) -> list[str]:
        """Return the items of an argument that's a comma-separated string or a list."""
        value = self.raw.get(name, "")
        parts = value if isinstance(value, list) else str(value).split(",")
        return [str(part).strip() for part in parts if str(part).strip()]

    def page(self, items: Sequence[T], limit: int) -> tuple[list[T], str]:
        """Return up to `limit` items, starting at the cursor, and the next cursor. Raises invalid_cursor.

        The next cursor is empty if there are no more items.
        """
        start = _first_index(self.text("cursor"))
        end = start + limit
        next_cursor = base64.b64encode(f"from:{end}".encode()).decode() if end < len(items) else ""
        return list(items[start:end]), next_cursor


def _first_index(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("from:"))
    except (ValueError, binascii.Error):
        raise SlackError("invalid_cursor") from None
