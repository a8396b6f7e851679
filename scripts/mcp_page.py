"""The generated page about the MCP tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from handlers.mcp.catalog import TOOLS, ToolSpec
from handlers.mcp.results import MAX_LENGTH, MAX_TEXT_LENGTH, NOTICE
from scripts.markdown import MADE, as_sentence, table

_CODES = {
    "MissingArguments": "An argument is missing.",
    "BadInput": "An argument is wrong, or there's no such argument.",
    "UnknownModel": "There's no such model, or the client can't see it.",
    "UnknownVersion": "There's no such version.",
    "UnknownRequest": "There's no such request, or the client can't see it.",
    "QuotaExceeded": "The client has used up a quota. `retry_after` says how many seconds to wait.",
    "Unauthorized": "The token isn't valid anymore, or it's a CI token that was already used for another change.",
    "AlreadyOpen": "The model and stage already have a pending request.",
    "GateFailed": "A gate failed that no one can override.",
    "TooFewApprovers": "Fewer people can approve than have to.",
    "RegistryUnreachable": "MLflow isn't responding. Try again.",
    "LedgerUnavailable": "The ledger isn't responding. Try again.",
    "IdempotencyKeyReused": "The key was used for something else.",
    "Refused": "The client lacks the right or the model, or another rule refuses the call.",
    "TooLong": "The answer is too long. Ask for less.",
    "InternalError": "An unexpected error. `message` has an ID for whoever runs the bot.",
}


def mcp() -> str:
    """Return docs/reference/mcp.md."""
    tools = "\n\n".join(map(_tool, TOOLS.values()))
    return f"""{MADE}

# MCP tools

`registrar mcp` and the bot's `/mcp` serve these tools. No tool approves, overrides, arms, freezes, rolls back,
unblocks, or breaks glass: people do that in Slack. [Let agents ask](../how-to/let-agents-ask.md) says how to
connect an agent.

Each call counts against the [quota](policy.md#quotas) `api_calls`; some count against others, too. No tool is
destructive, each can be repeated, and none reaches anything but the registry, the ledger, the policy's metric sources,
and Slack. MCP's annotations say so.

## Results

A result has these keys, both as structured content and in the text:

| key | value |
| --- | --- |
| `notice` | "{NOTICE}" |
| `cut` | Which lists were cut, and by how much. Texts over {MAX_TEXT_LENGTH:,} characters end with "…". |
| `data` | The tool's document, at most {MAX_LENGTH:,} characters. |

In the text, `data` is inside a tag with a random name. In `data`, the beginning of anything like a tag is replaced, and
invisible characters are removed.

If a call fails, the result is an error. Its `data` has only `error`, with `code`, `field` (the wrong argument, if there
is one), and `message`. A call that isn't admitted, such as one with a wrong token, gets an HTTP status instead, with
the reason in an MCP error.

{table(["code", "meaning"], [[f"`{code}`", meaning] for code, meaning in _CODES.items()])}

## Tools

{tools}
"""


def _tool(tool: ToolSpec) -> str:
    described = tool.describe()
    rights = " or ".join(f"`{right}`" for right in tool.rights)
    kind = "Only reads." if tool.is_query else "Asks people."
    others = ", ".join(f"`{quota}`" for quota in (*filter(None, [tool.command.quota]), *tool.quotas))
    facts = f"{kind} The client needs {rights}." + (f" Also counts against {others}." if others else "")
    parts = [f"### {tool.name}", str(described.description), facts]
    if rows := list(_arguments(described.input_schema)):
        parts.append(table(["argument", "type", "required", "default", "description"], rows))
    parts.append(table(["in data", "meaning"], [[f"`{key}`", as_sentence(what)] for key, what in tool.keys.items()]))
    return "\n\n".join(parts)


def _arguments(schema: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, about in schema["properties"].items():
        yield [
            f"`{name}`",
            _type(about),
            "yes" if name in schema["required"] else "",
            f"`{about['default']}`" if "default" in about else "",
            about["description"],  # as agents read it: some begin with a value
        ]


def _type(about: Mapping[str, Any]) -> str:
    """Return an argument's choices if it has them; otherwise, its type with its bounds."""
    if "enum" in about:
        return ", ".join(f"`{choice}`" for choice in about["enum"])
    if about["type"] == "array":
        return f"list of {about['items']['type']}s"
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
        "maxLength": "at most {} characters",
    }
    bounds = [words[key].format(f"{about[key]:,}") for key in words if key in about]
    return ", ".join([about["type"], " ".join(bounds)] if bounds else [about["type"]])
