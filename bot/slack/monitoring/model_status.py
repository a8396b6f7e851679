"""The status of models: a row for each, or everything about one."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.commands.registry import ShowStatus
from bot.domain.core.numbers import pluralize
from bot.domain.monitoring.model_status import (
    MAX_SHOWN,
    ModelStatus,
    StageHolder,
    describe_freeze,
    describe_monitors,
    holder_facts,
    is_healthy,
    is_unhealthy,
    shared_freeze,
    status_lines,
)
from bot.domain.registry.model import Stage, VersionInfo, product
from bot.domain.transitions.serving_check import ServingCheckState
from bot.ports import RegistryLinks
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import (
    Message,
    build_message,
    code,
    context_line,
    escape,
    fitting_rows,
    row_sections,
    text_message,
    to_mrkdwn,
)
from bot.slack.monitoring.answers import MAX_ROWS, monitor_line, status_icon

PAGE_SIZE = 20  # models in one answer


def status_rows(statuses: Sequence[ModelStatus], links: RegistryLinks) -> list[str]:
    """Return a row for each model; a freeze of all of them gets its own row at the top."""
    shared = shared_freeze(statuses)
    top = [f"❄️ {to_mrkdwn(describe_freeze(shared, of_all=True))}"] if shared else []
    return top + [_status_row(status, links, with_freeze=shared is None) for status in statuses]


def _status_row(status: ModelStatus, links: RegistryLinks, *, with_freeze: bool) -> str:
    parts = [_holder_text(status.model, holder, links, Stage.PRODUCTION) for holder in status.production[:MAX_SHOWN]]
    parts = parts or ["nothing in Production"]
    parts += [f"Staging {_version_link(status.model, it, links, Stage.STAGING)}" for it in status.staging[:MAX_SHOWN]]
    if status.serving and status.serving.state is ServingCheckState.TIMED_OUT:
        parts.append(f"⚠️ the endpoint hasn't confirmed {code(f'v{status.serving.version}')}")
    parts += [to_mrkdwn(describe_monitors(status.monitors))] if status.monitors else []
    parts += [f"❄️ {to_mrkdwn(describe_freeze(status.freeze))}"] if status.freeze and with_freeze else []
    return f"{_icon(status)} {code(status.model, 120)}  {' · '.join(parts)}"


def _icon(status: ModelStatus) -> str:
    unhealthy = next(filter(is_unhealthy, status.monitors), None)
    if unhealthy:
        return status_icon(unhealthy.monitor, unhealthy.monitor_state)
    if status.needs_attention:
        return "🟠"
    return "🟢" if any(map(is_healthy, status.monitors)) else "⚪"


def _holder_text(model: str, holder: StageHolder, links: RegistryLinks, stage: Stage) -> str:
    return " · ".join([_version_link(model, holder, links, stage), *map(to_mrkdwn, holder_facts(holder))])


def _version_link(model: str, holder: StageHolder, links: RegistryLinks, stage: Stage) -> str:
    """Return a version as a link to its page in the registry, if it has one."""
    url = links.version(VersionInfo(model=model, version=holder.version, stage=stage))
    return f"<{escape(url)}|v{holder.version}>" if url else code(f"v{holder.version}")


def _render_status(command: ShowStatus, statuses: Sequence[ModelStatus], context: RenderContext) -> SlackAnswer:
    if command.model is not None:
        return SlackAnswer(_one(statuses[0], context))
    if not statuses:
        register = code("/model register RUN_ID MODEL")
        return SlackAnswer(text_message(f"No version is in Production or Staging yet. To start: {register}"))
    page = statuses[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    rows = fitting_rows(status_rows(page, context.links)) or ["This page is empty."]
    blocks: list[Block] = row_sections(rows)
    if len(statuses) > command.page * PAGE_SIZE:
        following = code(f"/model status --page {command.page + 1}")
        blocks.append(context_line(f"{pluralize(len(statuses), 'model')}; next page: {following}"))
    return SlackAnswer(build_message(f"Status of {pluralize(len(statuses), 'model')}", blocks))


def _one(status: ModelStatus, context: RenderContext) -> Message:
    """Return everything about one model, in lines that are short enough for a phone."""
    name = code(status.model, 120)
    lines = [f"{_icon(status)} *{name}*", *map(to_mrkdwn, status_lines(status))]
    lines += [monitor_line(row, context.now, with_model=False) for row in status.monitors[:MAX_ROWS]] or ["No monitors"]
    links = [
        f"<{escape(url)}|{product().name}: v{holder.version}>"
        for holder in status.production[:1]
        if (
            url := context.links.version(
                VersionInfo(model=status.model, version=holder.version, stage=Stage.PRODUCTION)
            )
        )
    ]
    more = [*links, *(code(text, 200) for text in (f"/model show {status.model}", f"/model history {status.model}"))]
    return build_message(f"Status of {name}", [*row_sections(lines), context_line("More: " + "  ·  ".join(more))])


RENDERERS: Renderers = {ShowStatus: _render_status}
