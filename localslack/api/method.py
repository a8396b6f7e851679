"""What a Web API method needs: its handler, scopes, rate tier, and token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localslack.api.arguments import Arguments
from localslack.backend import Backend

JSON = dict[str, Any]
Handler = Callable[[Backend, Arguments], JSON]


@dataclass(frozen=True)
class ApiMethod:
    """A method's handler, and what a call to it needs.

    scopes: the call needs one of them, unless there are none. tier: the rate tier; 5 stands for chat.postMessage's
    special rate. reads_json: whether the method accepts JSON bodies. caller: whose token it accepts, "bot" or "app".
    """

    handler: Handler
    scopes: tuple[str, ...] = ()
    tier: int = 3
    reads_json: bool = True
    caller: str = "bot"
