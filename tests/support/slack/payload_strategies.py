"""Hypothesis strategies for forged Slack payloads.

A payload passes the signature check, Bolt, the listeners, the services, and a real ledger, and its effects are visible
in a local workspace. Everything is done when the response arrives: no thread is still working.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from bot.domain.commands import monitoring, policy, promotions, registry, rollbacks
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS
from localslack import PersonSeed, payloads
from tests.support.slack.front_door import CONNECTED, JSON, MODEL

LOOKING = (monitoring.MonitorList, monitoring.MonitorShow, monitoring.MonitorBacktest)


CHANGING: tuple[type[Command], ...] = (
    promotions.Promote,
    registry.Register,
    registry.Describe,
    registry.SetTags,
    registry.Archive,
    promotions.Approve,
    promotions.Reject,
    promotions.Withdraw,
    promotions.Override,
    promotions.Cancel,
    policy.FreezeModel,
    policy.UnfreezeModel,
    rollbacks.Rollback,
    rollbacks.Unblock,
    *(verb for verb in monitoring.COMMANDS if verb not in LOOKING),
)


def actor(seed: PersonSeed) -> payloads.Actor:
    """Return this person as the actor of a payload, which claims the local workspace for people in shared channels."""
    team = "T0LOCAL" if seed is CONNECTED else seed.team_id or "T0LOCAL"
    return payloads.Actor(id=seed.id, name=seed.name, team_id=team)


# -- payloads ----------------------------------------------------------------------------------------------------------


ODD = (
    "",
    " ",
    "<!channel>",
    "<!here|x>",
    "<@U0DAVE>",
    "<!subteam^S0LEADS>",
    "<http://evil.example|click>",
    "http://evil.example",
    "&lt;!channel&gt;",
    "&amp;lt;!channel&amp;gt;",
    "*b*",
    "`x`",
    "```",
    "> q",
    "\u202eabc",
    "\u200b",
    "\x00",
    "\n",
    "'",
    '"',
    "“",
    "’",
    "—",
    "--",
    "-",
    "=",
    ",",
    "{0}",
    "{it}",
    "%s",
    "../..",
    "' OR 1=1 --",
    "9" * 30,
    "9" * 5000,
    "-1",
    "0",
    "1e400",
    "nan",
    "x" * 3000,
    "🦄",
    "\U000e0001",
    "null",
    "\ufffe",
)


NAMES = (
    MODEL,
    "fraud",
    "chrun",
    "4",
    "v1",
    "latest",
    "@champion",
    "@nobody",
    "staging",
    "production",
    "archived",
    "f1",
    "accuracy=1",
    "owner=ann",
    "a=",
    "=a",
    "30d",
    "2026-12-01T18:00",
    "1.2.3",
    "0a1b2c3d",
    "minor",
    "because",
    "all",
)


FLAGS = sorted(
    {flag for verb in COMMANDS.values() for _, _, arg in verb.arguments() for flag in arg.flags} | {"--help", "-h"}
)


# Valid and almost valid values for each kind of argument.
_KINDS: dict[str, tuple[str, ...]] = {
    "MODEL": (MODEL, "fraud"),
    "VERSION": ("4", "v1", "latest", "@champion", "production", "1.2.3", "0", "9" * 30, "9" * 5000),
    "STAGE": ("staging", "production"),
    "REQUEST": ("KNOWN",),
    "N": ("1", "0", "2", "9" * 10, "9" * 19, "9" * 30, "9" * 5000, "1_0", "٣"),
    "TIME": (
        "30d",
        "0s",
        "99999d",
        "9999999d",
        "9" * 30 + "d",
        "2026-12-01T18:00",
        "0001-01-01",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
        "9999-12-31",
    ),
    "METRIC=VALUE": ("accuracy=1", "a=1e308", "a=nan", "a=" + "9" * 5000),
    "KEY=VALUE": ("owner=ann", "a=", "'a=<!channel>'", "approver=U0DAVE"),
    "TEXT": ("because", "'<!channel> <@U0DAVE>'"),
}


_LUCK = st.integers(0, 11)


_WORD = st.one_of(st.sampled_from([*COMMANDS, *FLAGS, *NAMES, *ODD, "KNOWN"]), st.text(max_size=12))


_FITTING = {kind: st.sampled_from(values) for kind, values in _KINDS.items()}


_VERB = st.sampled_from(list(COMMANDS.values()))


def typed(draw: Draw, known: list[str]) -> str:
    """Return a text after `/model`: any text, words of the grammar in any order, or almost a command."""
    luck = draw(_LUCK)
    text = draw(_TEXT) if luck < 1 else draw(_JUMBLE) if luck < 3 else _line(draw, draw(_VERB))
    return str(text).replace("KNOWN", draw(st.sampled_from(known)))


def _line(draw: Draw, verb: type[Command]) -> str:
    words = [verb.verb]
    for _, of, arg in verb.arguments():
        luck = draw(_LUCK)
        if luck < (1 if of.is_required() else 6):
            continue
        value = str(draw(_WORD if luck == 11 else _FITTING.get(arg.placeholder, _WORD)))
        if arg.placeholder and luck != 10:
            words += [value] if arg.positional else [draw(st.sampled_from(arg.flags)), value]
        elif arg.flags:
            words.append(draw(st.sampled_from(arg.flags)))
    return " ".join(words)


Draw = Callable[[st.SearchStrategy[Any]], Any]


_TEXT = st.text(max_size=60)


_JUMBLE = st.lists(st.builds("{1}{0}{1}".format, _WORD, st.sampled_from(["", "", "", '"', "'"])), max_size=8).map(
    " ".join
)


KEYS = ("id", "type", "value", "team_id", "user_id", "action_id", "values", "x")


_LEAVES = (None, True, False, 0, -1, 7, 10**30, 1.5, *ODD, "\ud800")


LEAF = st.one_of(st.sampled_from(_LEAVES), st.text(max_size=20))


# Any JSON value, including unusual ones.
ANYTHING = st.one_of(
    LEAF,
    st.lists(LEAF, max_size=2),
    st.dictionaries(st.sampled_from(KEYS), LEAF, max_size=2),
    st.sampled_from([[], {}, [[]], [{}], {"id": {}}, {"values": []}, {"values": {"reason": []}}, [None]]),
)


def places(part: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every part of a payload."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for step, inner in steps:
        yield (*before, step)
        yield from places(inner, (*before, step))


REMOVED = object()


_INSTEAD = st.one_of(st.just(REMOVED), ANYTHING)


def changed(payload: JSON, way: tuple[Any, ...], value: Any) -> JSON:
    """Return the payload with one part replaced or removed. A path that no longer exists changes nothing."""
    whole = copy.deepcopy(payload)
    part: Any = whole
    try:
        for step in way[:-1]:
            part = part[step]
        if value is REMOVED:
            del part[way[-1]]
        else:
            part[way[-1]] = value
    except (LookupError, TypeError):
        return payload
    return whole


def mangled(draw: Draw, payload: JSON) -> JSON:
    """Return the payload with up to three parts replaced or removed."""
    ways = list(places(payload))
    for at, instead in draw(_CHANGES):
        payload = changed(payload, ways[at % len(ways)], instead)
    return payload


_CHANGES = st.lists(st.tuples(st.integers(0, 200), _INSTEAD), max_size=3)
