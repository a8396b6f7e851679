"""An agent for tests: it uses the SDK's own client, over HTTP or over the stdio of `registrar mcp`."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Implementation, Tool

from tests.support.paths import ROOT

T = TypeVar("T")


def innermost(error: BaseException) -> BaseException:
    """Return the error in a group of one error."""
    return innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@dataclass(frozen=True, kw_only=True)
class TestAgent:
    """An agent. `url`: the bot's address, for HTTP; without it, it starts `registrar mcp` with `environ`."""

    __test__ = False

    url: str = ""
    token: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    mode: str = "auto"  # or "legacy": the protocol before 2026-07-28
    name: str = "trainer"
    told: list[str] = field(default_factory=list)  # the progress that tools reported
    heard: threading.Event = field(default_factory=threading.Event)  # set with the first of it

    def tools(self) -> dict[str, Tool]:
        """Return the tools by name."""
        return {tool.name: tool for tool in self._use(lambda client: client.list_tools()).tools}

    def result(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool and return its result."""

        async def note(progress: float, total: float | None, message: str | None) -> None:
            self.told.append(message or "")
            self.heard.set()

        return self._use(lambda client: client.call_tool(tool, arguments, progress_callback=note))

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that succeeds, and return its data."""
        result = self.result(tool, **arguments)
        assert not result.is_error, result.content
        data: dict[str, Any] = result.structured_content["data"]
        return data

    def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that fails, and return its error: code, field, and message."""
        result = self.result(tool, **arguments)
        assert result.is_error, result.content
        error: dict[str, Any] = result.structured_content["data"]["error"]
        return error

    def _use(self, use: Callable[[Client], Awaitable[T]]) -> T:
        async def run() -> T:
            introduction = Implementation(name=self.name, version="1.2")
            if not self.url:
                server = StdioServerParameters(
                    command=sys.executable, args=["-m", "registrar", "mcp"], env=dict(self.environ), cwd=str(ROOT)
                )
                async with Client(server, client_info=introduction, mode=self.mode) as client:
                    return await use(client)
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                Client(
                    streamable_http_client(f"{self.url}/mcp", http_client=http),
                    client_info=introduction,
                    mode=self.mode,
                ) as client,
            ):
                return await use(client)

        try:
            return asyncio.run(run())
        except BaseExceptionGroup as group:  # the SDK's tasks wrap it
            raise innermost(group) from None
