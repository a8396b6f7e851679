"""The Home tab as a view: domain in, blocks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, DividerBlock, HeaderBlock, PlainTextObject

from bot.domain.audit import messages as audit_messages
from bot.domain.audit.events import Link
from bot.domain.core.sentence import Say
from bot.domain.policy import messages as policy_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions import restore_messages
from bot.services.home.home import HomeView, Serving
from bot.slack.commands.help_text import MENU_ASK, MENU_HELP, MENU_MODELS, MENU_REQUESTS
from bot.slack.core.blocks import chunks, dicts, section, small
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, fit, mrkdwn, when, who
from bot.slack.monitoring.answers import ADD, costs, row
from bot.slack.policy.gate_rows import gate_rows
from bot.slack.promotions.request_card import decision_buttons, review_button
from bot.slack.registry.version_lines import blocked_line

SERVING_MOST = 40  # models; of more, the rest is counted


def home(view: HomeView) -> dict[str, Any]:
    """Return somebody's Home. Buttons carry ids, as on cards."""
    blocks: list[Block] = [
        *([section(mrkdwn(restore_messages.summary(view.hold)))] if view.hold else []),
        *(section(mrkdwn(policy_messages.froze(freeze))) for freeze in view.freezes[:3]),
        *([section(f"⚠️ {mrkdwn(view.policy)}")] if view.policy else []),
        _title("Waits for you"),
        *_waiting(view),
        DividerBlock(),
        _title("What you asked for"),
        *_rows([_mine(request) for request in view.mine], "Nothing yet. The button below asks for a promotion."),
        DividerBlock(),
        _title("In Production"),
        *_rows([_serving(one) for one in view.serving[:SERVING_MOST]], "Nothing that Registrar has seen."),
        *_counted(len(view.serving) - SERVING_MOST, "/model list"),
        DividerBlock(),
        _title("Monitors"),
        *_rows(
            [row(one, view.now) for one in view.monitors], "Nothing is watched yet. The button below adds a monitor."
        ),
        *_counted(view.monitors_more, "/model monitor list MODEL"),
        *costs(view.armed),
        DividerBlock(),
        _title("Lately"),
        *_rows([_event(link) for link in view.lately], "Nothing has happened yet."),
        _menu(),
    ]
    return {"type": "home", "blocks": dicts(blocks)}


def refused(why: Say) -> dict[str, Any]:
    """Return the Home of somebody who may see nothing."""
    return {"type": "home", "blocks": dicts([section(mrkdwn(why))])}


def _title(text: str) -> HeaderBlock:
    return HeaderBlock(text=PlainTextObject(text=text, emoji=True))


def _waiting(view: HomeView) -> list[Block]:
    if not (view.waiting or view.reviews):
        return [section("Nothing. You are free to look around.")]
    blocks: list[Block] = []
    for request in view.reviews:
        blocks += [section(_to_review(request)), review_button(request)]
    for request in view.waiting:
        blocks.append(section(_request(request, view.blocks.get(request.id))))
        blocks.append(decision_buttons(request, is_frozen=request.id in view.frozen))
    return blocks + _counted(view.more, "/model requests")


def _request(request: Request, block: Bar | None) -> str:
    lines = [
        f"{code(request.model, 120)} *{mrkdwn(promotion_messages.path(request))}*, asked by {who(request.requester)}, "
        f"until {when(request.expires_at)}"
    ]
    lines += [f"> {fit(request.reason, 300)}"] if request.reason else []
    lines += [blocked_line(block)] if block else []
    lines += gate_rows(request.seen, passed_over=request.overridden_by is not None) if request.seen else []
    return cut("\n".join(lines), TEXT_MOST)


def _to_review(request: Request) -> str:
    due = f", review due by {when(request.review_due)}" if request.review_due else ""
    lines = [
        f"🚨 {code(request.model, 120)} *{mrkdwn(promotion_messages.path(request))}*: {who(request.requester)} broke the glass{due}"
    ]
    lines += [f"> {fit(request.reason, 300)}"] if request.reason else []
    return cut("\n".join(lines), TEXT_MOST)


def _mine(request: Request) -> str:
    state = f"waits until {when(request.expires_at)}" if request.state is RequestState.PENDING else request.state.value
    why = f": {fit(request.outcome, 200)}" if request.outcome else ""
    return f"• {code(request.id)} {code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}, {state}{why}"


def _serving(one: Serving) -> str:
    held = [
        f"{stage} {', '.join(code(f'v{number}') for number in numbers[:5])}"
        for stage, numbers in (("Production", one.production), ("Staging", one.staging))
        if numbers
    ]
    frozen = "  ·  ❄️ frozen" if one.stopped else ""
    return f"• {code(one.model, 120)}  {'  ·  '.join(held)}{frozen}"


def _event(link: Link) -> str:
    return f"• {when(link.event.at)}  {cut(mrkdwn(audit_messages.line(link.event, names=False)), 400)}"


def _rows(rows: Sequence[str], empty: str) -> list[Block]:
    return [section(chunk) for chunk in chunks(rows)] or [section(empty)]


def _counted(more: int, command: str) -> list[Block]:
    return [small(f"And {more} more: {code(command)}")] if more > 0 else []


def _menu() -> ActionsBlock:
    buttons = [
        ButtonElement(text="Ask for a promotion", action_id=MENU_ASK, style="primary"),
        ButtonElement(text="Open requests", action_id=MENU_REQUESTS),
        ButtonElement(text="Models", action_id=MENU_MODELS),
        ButtonElement(text="Add a monitor", action_id=ADD),
        ButtonElement(text="Help", action_id=MENU_HELP),
    ]
    return ActionsBlock(block_id="menu", elements=buttons)
