"""Modals as views: pure, like the cards. `private_metadata` holds an id and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.domain.commands.base import REASON_MOST
from bot.domain.core.sentence import short
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import told
from bot.domain.promotions.request import Request
from bot.domain.registry.model import TARGETS
from bot.slack.core.blocks import Message, markdown
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, fit, mrkdwn

PROMOTE, REJECT, OVERRIDE, REVIEW, DETAILS = "promote", "reject", "override", "review", "details"
ROLLBACK = "rollback"
MONITOR = "monitor"
VALUE = "value"  # the action id of every input: the block id says which field it is


def promote(draft: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks for what a promotion lacks, with what was typed already. `draft` is the ask's id."""
    blocks: list[Block] = [
        _text("model", "Model", given, hint="The registered model's name in MLflow"),
        _text("version", "Version", given, hint="7, v7, 2.1.0, @alias, staging or latest"),
        InputBlock(label="Move to", block_id="to", element=_targets(given.get("to", "production"))),
        _text("reason", "Why", given, optional=True, multiline=True, hint="For the card and the audit"),
    ]
    return _form(PROMOTE, "Ask for a promotion", "Ask", draft, blocks)


def rollback(draft: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks why a model is rolled back, and which one if that wasn't typed.

    `draft` is the ask's id.
    """
    if "model" in given:
        to = f"to {code(given['version'], 40)}" if given.get("version") else "to the previous good version"
        what = f"Rolls back Production of {code(given['model'], 120)} {to} immediately."
        blocks: list[Block] = [SectionBlock(text=markdown(what))]
    else:
        blocks = [
            _text("model", "Model", given, hint="The registered model's name in MLflow"),
            _text("version", "Version", given, optional=True, hint="Empty: the previous good version"),
        ]
    blocks.append(_text("reason", "Why?", {}, multiline=True, hint="The thread, the tags and the audit keep it"))
    return _form(ROLLBACK, "Roll back", "Roll back now", draft, blocks)


def reject(request: Request) -> dict[str, Any]:
    """Return the modal that asks why a request is rejected."""
    intro = f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}"
    blocks: list[Block] = [
        SectionBlock(text=markdown(intro)),
        _text("reason", "Why not?", {}, multiline=True, hint="The requester and the audit get to read it"),
    ]
    return _form(REJECT, "Reject the request", "Reject", request.id, blocks)


def override(request: Request) -> dict[str, Any]:
    """Return the modal that asks why the failed gates of a request may pass."""
    failed = [f"❌ {mrkdwn(told(gate))}" for gate in request.seen.failed] if request.seen else []
    lines = [f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}", *failed]
    blocks: list[Block] = [
        SectionBlock(text=markdown(cut("\n".join(lines), TEXT_MOST))),
        _text("reason", "Why may they pass?", {}, multiline=True, hint="The card shows it, and the audit keeps it"),
    ]
    return _form(OVERRIDE, "Let gates pass", "Let them pass", request.id, blocks)


def review(request: Request) -> dict[str, Any]:
    """Return the modal that asks for the review of what was moved without approvals."""
    lines = [f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}"]
    lines += [f"> {fit(request.reason, 2000)}"] if request.reason else []
    blocks: list[Block] = [
        SectionBlock(text=markdown(cut("\n".join(lines), TEXT_MOST))),
        _text(
            "reason",
            "Was it right, and what follows?",
            {},
            multiline=True,
            hint="The thread shows it, and the audit log keeps it",
        ),
    ]
    return _form(REVIEW, "Review the move", "Review", request.id, blocks)


def details(message: Message | None = None) -> dict[str, Any]:
    """Return the modal that shows a version; without a message while the registry is being read."""
    waiting = [SectionBlock(text=markdown("Reading it from MLflow…")).to_dict()]
    title, close = PlainTextObject(text="Details"), PlainTextObject(text="Close")
    return {
        "type": "modal",
        "callback_id": DETAILS,
        "title": title.to_dict(),
        "close": close.to_dict(),
        "blocks": message.blocks if message else waiting,
    }


_RULES = {
    "threshold": "a bound that must hold",
    "default": "against the Production before (default)",
    "blocks": "against the Production before (blocks)",
    "sequential": "against the Production before (sequential)",
}
_ACTIONS = {
    "dry_run": "try itself out: tell nobody",
    "notify": "tell the channel",
    "ask": "ask whether to roll back",
    "auto": "roll back by itself, once it is armed",
}
MONITOR_FIELDS = (
    "model",
    "name",
    "source",
    "query",
    "of",
    "rule",
    "greater_than",
    "less_than",
    "min_effect",
    "window",
    "every",
    "action",
)


def monitor(draft: str, given: Mapping[str, str], sources: Sequence[str]) -> dict[str, Any]:
    """Return the modal that adds a monitor, with what was typed already. `draft` is the ask's id."""
    typed = {"every": "5m", "rule": "threshold", "action": "dry_run"} | dict(given)
    equality, compared = "For a bound; equality fails", "When compared with a baseline. Empty:"
    blocks: list[Block] = [
        _text("model", "Model", typed, hint="The registered model's name in MLflow"),
        _text("name", "Name of the monitor", typed, hint="Such as accuracy"),
        _choice("source", "Where do the figures come from?", {name: name for name in sources[:100]}, typed),
        _text("query", "Metric, or PromQL", typed, optional=True, hint="Left out: the monitor's own name"),
        _text("of", "Total", typed, optional=True, hint="Only for counts: the metric or PromQL they're counted out of"),
        _choice("rule", "How is it judged?", _RULES, typed),
        _text("greater_than", "Must be above", typed, optional=True, hint=equality),
        _text("less_than", "Must be below", typed, optional=True, hint=equality),
        _text("min_effect", "How much worse counts", typed, optional=True, hint=f"{compared} 2%. Or 0.01 abs"),
        _text("window", "Window", typed, optional=True, hint=f"{compared} 1h"),
        _text("every", "Checked every", typed, hint="10s, 5m, 1h"),
        _choice("action", "What does a failure do?", _ACTIONS, typed),
    ]
    return _form(MONITOR, "Add a monitor", "Add", draft, blocks)


def values(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what was filled in, by field. `state` is a view's state; empty fields are left out."""
    found = {}
    for field, actions in (state.get("values") or {}).items():
        for action in actions.values():
            option = action.get("selected_option") or {}
            value = action.get("value") or option.get("value")
            if value:
                found[str(field)] = str(value)
    return found


def _targets(chosen: str) -> StaticSelectElement:
    options = [Option(value=stage.value.lower(), label=stage.value) for stage in TARGETS]
    initial = next((one for one in options if one.value == chosen.lower()), options[-1])
    return StaticSelectElement(action_id=VALUE, options=options, initial_option=initial)


def _choice(field: str, label: str, choices: Mapping[str, str], given: Mapping[str, str]) -> InputBlock:
    options = [Option(value=value[:150], label=short(text, 75)) for value, text in choices.items()]
    chosen = given.get(field, "").lower().replace("-", "_")
    initial = next((one for one in options if str(one.value).lower().replace("-", "_") == chosen), options[0])
    element = StaticSelectElement(action_id=VALUE, options=options, initial_option=initial)
    return InputBlock(label=label, block_id=field, element=element)


def _text(
    field: str, label: str, given: Mapping[str, str], *, hint: str, optional: bool = False, multiline: bool = False
) -> InputBlock:
    most = REASON_MOST if multiline else 250
    element = PlainTextInputElement(
        action_id=VALUE,
        multiline=multiline,
        initial_value=short(given.get(field, ""), most) or None,
        max_length=most,
    )
    return InputBlock(label=label, block_id=field, element=element, hint=hint, optional=optional)


def _form(callback: str, title: str, submit: str, metadata: str, blocks: list[Block]) -> dict[str, Any]:
    view = View(
        type="modal",
        callback_id=callback,
        title=PlainTextObject(text=title),
        submit=PlainTextObject(text=submit),
        close=PlainTextObject(text="Back"),
        private_metadata=metadata,
        blocks=blocks,
    )
    return dict(view.to_dict())
