"""Random calls of tools by agents of several clients: valid ones, and ones that forge, inject, and confuse types."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, Implementation
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from bot.domain.audit.events import EventTag
from bot.domain.commands.catalog import COMMANDS
from handlers.api.calls import ApiCall, ApiServices
from handlers.mcp.catalog import TOOLS
from handlers.mcp.http import PATH, RIGHTS
from handlers.mcp.server import build_server
from handlers.terminal.session import TerminalSession
from tests.support.mcp.guarded_world import CLIENTS, INJECTIONS, MODELS, GuardedWorld

Arguments = dict[str, Any]

HIDDEN = ("two-sigma", "gated", "vault")  # models that the client `narrow` can't access
AT_ONCE = 4  # calls that run at the same time
LIMIT = 60.0  # seconds after which a call hangs
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2.5, 10**30, "", " ", "0", "-1", "1e9", "null", [], {}, [[]], {"$ne": 1}),
    *(["churn"], {"model": "churn"}, "churn ", "Churn", "*", "ch?rn", "churn\x00", "UBOB", "automation:monitor"),
    *("production", "champion", "v4", "--break-glass", "4 --break-glass", "x" * 70_000, *INJECTIONS),
)
_FORGED_ARGUMENTS = {
    "break_glass": True,
    "breaks_glass": True,
    "approver": "UBOB",
    "caller": "slack:T1/UBOB",
    "as": "UDAVE",
    "agent": {"name": "x", "person": "UBOB"},
    "person": "UBOB",
    "ci": {"service": "github", "actor": "bob", "is_verified": True},
    "override": True,
    "force": True,
    "verb": "approve",
    "settings": {"action": "auto"},
    "armed_by": "UDAVE",
    "created_by": None,
    "where": "C1",
    "state": "approved",
    "required": 0,
    "model_config": {},
}
_FORGED_TOOLS = (
    *COMMANDS,
    "approve_request",
    "acknowledge",
    "reload_policy",
    "Request_Promotion",
    "find ",
    *INJECTIONS,
)


@dataclass
class RandomAgents:
    """Agents of every client, which call tools at random. `log` has the latest calls, with what they returned."""

    world: GuardedWorld
    chance: random.Random
    known_ids: list[str] = field(init=False)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # by tool, and "ok" or the error's code
    leaks: list[str] = field(default_factory=list)  # calls whose results have a token, or a model of other clients
    log: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    def __post_init__(self) -> None:
        self.known_ids = list(self.world.ids.values())

    async def play(self, number: int, *, jobs_after: int = 25) -> None:
        """Make this many calls, a few at a time; run the bot's jobs after every `jobs_after`."""
        async with AsyncExitStack() as stack:
            agents = {
                name: await stack.enter_async_context(Client(self._server(name), client_info=self._introduce(at)))
                for at, name in enumerate(CLIENTS)
            }
            for at in range(0, number, jobs_after):
                calls = [self._choose() for _ in range(min(jobs_after, number - at))]
                for first in range(0, len(calls), AT_ONCE):
                    await asyncio.gather(
                        *(
                            self._call(agents[name], name, tool, given)
                            for name, tool, given in calls[first : first + AT_ONCE]
                        )
                    )
                await run_in_threadpool(self.world.run_jobs)

    def _server(self, client: str) -> Any:
        """Return the server as `client` reaches it: each call is admitted with its token."""
        registrar = self.world.registrar
        services = ApiServices(
            ledger=registrar.context.ledger,
            policy=lambda: registrar.context.policy,
            requires_signature=lambda source: None,
            clock=self.world.clock,
            registrar=registrar,
            environ={name: f"{name}-token" for name in CLIENTS},
        )
        headers = [(b"authorization", f"Bearer {client}-token".encode())]
        scope = {
            "type": "http", "method": "POST", "path": PATH, "headers": headers, "client": None, "query_string": b""
        }  # fmt: skip

        async def admit(_: Any) -> ApiCall:
            call = ApiCall(services, Request(scope), b"", EventTag.API_REFUSED)
            await run_in_threadpool(call.admit, "use MCP", RIGHTS, is_change=False)
            return call

        return build_server(TerminalSession(self.world.settings, registrar), admit)

    @staticmethod
    def _introduce(at: int) -> Implementation:
        return Implementation(name=INJECTIONS[at % len(INJECTIONS)], version=INJECTIONS[-1 - at % len(INJECTIONS)])

    async def _call(self, agent: Client, client: str, tool: str, arguments: Arguments) -> None:
        try:
            result = await asyncio.wait_for(agent.call_tool(tool, arguments), LIMIT)
            outcome, text = self._learn(result), str(result)
            sent = str(arguments)
            hidden = [f"{client}-token"] + [m for m in HIDDEN if client == "narrow" and m not in sent]
            self.leaks += [f"{word} in {tool}({_shorten(arguments)}): {text}" for word in hidden if word in text]
        except MCPError as error:
            outcome = f"MCPError {error.error.code}"
        self.outcomes[tool if tool in TOOLS else "unknown tool", outcome] += 1
        self.log.append(f"{client}: {tool}({_shorten(arguments)}) -> {outcome}")

    def _learn(self, result: CallToolResult) -> str:
        """Return the outcome, and remember the ID in it, which any agent can then send."""
        data = (result.structured_content or {}).get("data", {})
        if isinstance(made := data.get("id"), str) and made not in self.known_ids:
            self.known_ids.append(made)
        return str(data["error"]["code"]) if result.is_error else "ok"

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _choose(self) -> tuple[str, str, Arguments]:
        """Return a client, a tool, and its arguments."""
        chance = self.chance
        tool = chance.choice([*TOOLS, "request_promotion", "request_promotion", "propose_monitor", "wait"])
        arguments = self._valid_arguments(tool)
        if tool == "explain_gate" and chance.random() < 0.5:
            arguments |= {"model": "gated", "gate": "accuracy", "to": "production"}
        if chance.random() < 0.4:
            self._spoil(arguments)
        if tool == "wait":  # never for long
            arguments["timeout"] = chance.choice([0, 0, 0, 0, 0, 0, -1, 601, "x", [], 10**30, "0"])
        if chance.random() < 0.08:
            tool = chance.choice(_FORGED_TOOLS)
        return chance.choice(list(CLIENTS)), tool, arguments

    def _valid_arguments(self, tool: str) -> Arguments:
        """Return arguments that the tool's schema allows, most of them about things that exist."""
        schema = TOOLS[tool].describe().input_schema
        return {
            name: self._valid(name, rules)
            for name, rules in schema["properties"].items()
            if name in schema["required"] or self.chance.random() < (0.1 if tool == "propose_monitor" else 0.4)
        }

    def _valid(self, name: str, rules: Arguments) -> Any:
        chance = self.chance
        if "enum" in rules:
            return chance.choice(rules["enum"])
        pools: dict[str, Sequence[Any]] = {
            "model": MODELS,
            "version": [*(str(number) for number in range(1, 6)), "champion"],
            "versions": [["3", "4"], ["1", "2", "5"], ["champion", "4"]],
            "metric": ["accuracy"],
            "metrics": [["accuracy"], ["accuracy", "f1"]],
            "validation": [{"accuracy": 0.95}, {"accuracy": 0.1}, {INJECTIONS[1]: 1}],
            "gate": ["accuracy", "not_blocked", *INJECTIONS],
            "request": self.known_ids,
            "reason": INJECTIONS,
            "idempotency_key": ["k1", "k2", *self.known_ids],
            "control": ["soc2:CC8.1"],
            "since": ["2026-05-01", "30d"],
            "until": ["2026-12-01"],
            "at": ["2026-05-05", "2h"],
            "text": ["", "churn", *INJECTIONS],
            "name": ["accuracy", "latency", "drift", f"new{chance.randrange(9)}"],
            "source": ["push", "mlflow"],
            "query": ["accuracy", INJECTIONS[4]],
        }
        if name in pools:
            return chance.choice(pools[name])
        if rules["type"] == "string":
            return chance.choice(["10m", "1h", "7d"])
        numbers: dict[str, Sequence[Any]] = {
            "integer": [1, 2, 3, 5],
            "number": [0.1, 0.5, 0.85],
            "boolean": [True, False],
        }
        return chance.choice(numbers[rules["type"]])

    def _spoil(self, arguments: Arguments) -> None:
        """Make arguments wrong in one to three ways."""
        chance = self.chance
        for _ in range(chance.randint(1, 3)):
            way = chance.randrange(4)
            if way == 0:
                name = chance.choice(list(_FORGED_ARGUMENTS))
                arguments[name] = _FORGED_ARGUMENTS[name]
            elif arguments and way == 1:
                del arguments[chance.choice(list(arguments))]
            elif arguments:
                arguments[chance.choice(list(arguments))] = chance.choice(
                    [*_ODD, *self.known_ids, str(chance.random())]
                )


def _shorten(arguments: Arguments) -> str:
    return ", ".join(f"{name}={str(value)[:60]!r}" for name, value in arguments.items())
