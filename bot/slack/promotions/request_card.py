"""Render a request's card as blocks, and the answers to votes and `validate`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject, PlainTextObject

from bot.domain.commands.promotions import Approve, Validate
from bot.domain.core.ci_run import CiRun
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Sentence, sanitize_text, truncate
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, summarize_gates
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState
from bot.domain.promotions.verdict import MAX_KEY_METRICS, verdict
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import Stage, VersionInfo, product
from bot.domain.registry.rollback_block import RollbackBlock, block_details
from bot.domain.registry.signature_changes import CallerEffect
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import (
    MAX_NAMES,
    Message,
    build_message,
    code,
    context_line,
    cut_mrkdwn,
    escape,
    escape_and_cut,
    fields_section,
    first_rows_and_count,
    format_time,
    header,
    mention_actor,
    row_sections,
    section,
    to_mrkdwn,
)
from bot.slack.promotions.metric_and_gate_lines import callers_text, change_line, gate_rows, metric_rows, reported_text

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"
OVERRIDE, REQUEST_AGAIN, WITHDRAW = "request_override", "request_again", "request_withdraw"
REVIEW, CANCEL = "request_review", "request_cancel"
ROLL_BACK, HISTORY, OPEN_REGISTRY = "request_roll_back", "request_history", "request_open_registry"
MAX_CALLER_CHANGES = 2  # changes for callers on the card; the details have the others
MAX_CALLERS_LENGTH = 150  # characters of a line about callers
MAX_REASON_LENGTH = 200  # characters of the requester's reason on the card; the details have all of it
MAX_AGENT_LENGTH = 130  # characters of an agent's name and version
MAX_LAPSED = 3  # approvals that no longer count
MAX_REPORTED = 2  # results that the requester reported
MAX_PAGE_LENGTH = 3000  # characters of a button's URL: Slack's limit

# -- the card ----------------------------------------------------------------------------------------------------------

_TITLES = {
    RequestState.PENDING: "Promote {model} v{version} to {target}?",
    RequestState.APPROVED: "⏳ {model} v{version} → {target}: approved",
    RequestState.EXECUTING: "⏳ {model} v{version} → {target}: promoting",
    RequestState.DONE: "✅ {model} v{version} is in {target}",
    RequestState.REJECTED: "❌ {model} v{version} → {target}: rejected",
    RequestState.CANCELLED: "↩️ {model} v{version} → {target}: canceled",
    RequestState.EXPIRED: "⌛ {model} v{version} → {target}: expired",
    RequestState.STALE: "⚠️ {model} v{version} → {target}: outdated",
    RequestState.FAILED: "⚠️ {model} v{version} → {target}: failed",
}


def request_card(  # noqa: PLR0913 - a card shows this many things
    request: Request,
    votes: Sequence[Vote],
    *,
    metrics: MetricCatalog | None = None,
    freeze: ActiveFreeze | None = None,
    status: Sentence | None = None,
    starter: Sentence | None = None,
    block: RollbackBlock | None = None,
    page: str | None = None,
    files: Sentence | None = None,
) -> Message:
    """Return a request's current card: what decides it, or who decided it. The details have everything else.

    `metrics` is what the policy says about the model's metrics. `freeze` is the freeze that currently stops promotions
    to Production, if any. `status` says who a pending request is waiting for, or how far the transition of an approved
    one has progressed. `starter` says who is behind a program's request; see `describe_starter`. `block` is the block
    on the version; it's shown only while the request is pending. `page` is the URL of the version's page in the
    registry. `files` says whether the version's files are hashed.
    """
    is_pending = request.state is RequestState.PENDING
    metrics = metrics or MetricCatalog()
    blocks: list[Block] = [header(_title(request, freeze))]
    blocks += [section(to_mrkdwn(status))] if status and not is_pending else []
    blocks.append(section(to_mrkdwn(verdict(request, metrics))))
    if is_pending:
        texts = _pending_texts(request, votes, metrics, freeze, status, starter, block)
        blocks += [section(text) for text in texts if text]
        blocks.append(decision_buttons(request, is_frozen=freeze is not None, with_cancel=True))
    else:
        blocks += [section(_summary(request, starter)), fields_section(_field_texts(request, votes))]
        blocks.append(_decided_buttons(request, page))
    blocks += [review_buttons(request)] if request.needs_review else []
    blocks.append(context_line("  ·  ".join([f"Request {code(request.id)}", *([to_mrkdwn(files)] if files else [])])))
    subject = f"{code(request.model)} {to_mrkdwn(promotion_messages.describe_change(request))}"
    asked = f"{to_mrkdwn(promotion_messages.describe_requester(request))} requested {subject}"
    return build_message(asked if is_pending else f"{subject}: {request.state.label}", blocks)


def _pending_texts(
    request: Request,
    votes: Sequence[Vote],
    metrics: MetricCatalog,
    freeze: ActiveFreeze | None,
    waiting_for: Sentence | None,
    starter: Sentence | None,
    block: RollbackBlock | None,
) -> Iterator[str]:
    """Yield a pending card's paragraphs, most important first; a paragraph with nothing to say is empty."""
    seen = request.seen or RequestSnapshot()
    if freeze:
        ends_first = freeze.until is not None and request.expires_at <= freeze.until
        yield f"❄️ {to_mrkdwn(freeze.description)}{' The request expires before that.' if ends_first else ''}"
    is_in_verdict = seen.fails_gate(NOT_BLOCKED_GATE)
    yield f"⛔ {to_mrkdwn(block_details(block))}" if block and not is_in_verdict else ""
    reported = reported_text(seen, metrics, MAX_REPORTED)
    lines = [change_line(request), *_exceptions(request), *metric_rows(seen, metrics, MAX_KEY_METRICS), reported]
    yield "\n".join(filter(None, lines))
    yield callers_text(request, seen.callers, MAX_CALLER_CHANGES, MAX_CALLERS_LENGTH)
    yield _request_text(request, starter)
    yield _waiting_text(request, votes, waiting_for)


def _summary(request: Request, starter: Sentence | None) -> str:
    """Return what a decided request changed, and why."""
    return "\n".join([change_line(request), *_exceptions(request), _request_text(request, starter)])


def _exceptions(request: Request) -> Iterator[str]:
    """Yield what's unusual about a request: break glass, a version that stays in the stage, overridden gates."""
    if request.breaks_glass:
        yield "🚨 *Break glass:* promoted without approvals, ignoring gates and freezes."
    if request.keep_existing:
        kept = code(f"v{request.incumbent}") if request.incumbent is not None else "The current version"
        yield f"{kept} stays in {request.target}, too; the alias moves to {code(f'v{request.version}')}."
    if request.overridden_by is not None:
        reason = escape_and_cut(request.override_reason, MAX_REASON_LENGTH)
        yield f"Failed gates overridden by {mention_actor(request.overridden_by)}: {reason}"


def _request_text(request: Request, starter: Sentence | None) -> str:
    """Return who made the request, from where, and why."""
    source = f" with {code(str(request.agent), MAX_AGENT_LENGTH)}" if request.agent else ""
    source += f" from {ci_link(request.ci)}" if request.ci else ""
    source += f", {to_mrkdwn(starter)}" if starter else ""
    reason = f":\n> {escape_and_cut(request.reason, MAX_REASON_LENGTH)}" if request.reason else ""
    return f"Requested by {mention_actor(request.requester)}{source}{reason}"


def _waiting_text(request: Request, votes: Sequence[Vote], waiting_for: Sentence | None) -> str:
    """Return who the request is waiting for, its approvals, and when it expires."""
    waiting = f"{to_mrkdwn(waiting_for)} " if waiting_for else ""
    approvals = _count_approvals(votes, pluralize(request.required, "approval"))
    line = f"{waiting}{approvals}. Expires {format_time(request.expires_at)}."
    lapsed = [
        f"⚠️ {mention_actor(vote.voter)}'s approval no longer counts: {promotion_messages.lapse_reason(vote.lapsed)}."
        for vote in votes
        if vote.lapsed
    ]
    return "\n".join([line, *first_rows_and_count(min(MAX_LAPSED, len(lapsed)), lapsed)])


def _count_approvals(votes: Sequence[Vote], required: str) -> str:
    """Return how many approvals there are, and whose: `1 of 2 approvals: @bob`."""
    yes = counting_approvals(votes)
    names = ", ".join(first_rows_and_count(MAX_NAMES, [mention_actor(vote.voter) for vote in yes]))
    return f"{len(yes)} of {required}{f': {names}' if names else ''}"


def _title(request: Request, freeze: ActiveFreeze | None) -> str:
    """Return the headline: what to decide, or what blocks the decision and how to unblock it."""
    change = f"{truncate(sanitize_text(request.model), 60)} v{request.version} → {request.target}"
    if request.state is RequestState.PENDING and freeze:
        reason = sanitize_text(freeze.reason).rstrip(".")
        return f"❄️ {change} is frozen{f': {reason}' if reason else ' by policy'}"
    if request.state is RequestState.PENDING and request.has_blocking_gates and request.seen:
        failed = [gate.name for gate in request.seen.failed_gates]
        if failed == [NOT_BLOCKED_GATE]:
            return f"⛔ {change} is blocked after a rollback, unblock or override needed"
        gates_text = truncate(sanitize_text(failed[0]), 25) if len(failed) == 1 else f"{len(failed)} gates"
        return f"⛔ {change} is blocked: {gates_text} failed, override needed"
    model = truncate(sanitize_text(request.model), 80)
    return _TITLES[request.state].format(model=model, version=request.version, target=request.target)


def _field_texts(request: Request, votes: Sequence[Vote]) -> list[str]:
    """Return how a request was decided, as two columns."""
    approvals = "None: break glass" if request.breaks_glass else _count_approvals(votes, str(request.required))
    fields = [f"*Approvals*\n{approvals}"]
    lapsed = [
        f"{mention_actor(vote.voter)}: {promotion_messages.lapse_reason(vote.lapsed)}" for vote in votes if vote.lapsed
    ]
    fields += ["*No longer valid*\n" + cut_mrkdwn("\n".join(lapsed), 1500)] if lapsed else []
    review = _review_text(request) if request.breaks_glass else ""
    fields += [f"*Review*\n{review}"] if review else []
    return fields + _decision_fields(request)


def _review_text(request: Request) -> str:
    """Return who reviewed a break-glass promotion, or when its review is due; empty if it needs none."""
    if request.reviewed_by and request.reviewed_at:
        reason = escape_and_cut(request.review_reason, 1000)
        return f"Reviewed by {mention_actor(request.reviewed_by)}, {format_time(request.reviewed_at)}: {reason}"
    if not request.needs_review or request.review_due is None:
        return ""
    return f"{'⚠️ Overdue since' if request.review_reminded > 1 else 'Review due by'} {format_time(request.review_due)}"


def review_buttons(request: Request) -> ActionsBlock:
    """Return the button that opens the review of a break-glass promotion."""
    button = ButtonElement(text="Review…", action_id=REVIEW, value=request.id)
    return ActionsBlock(block_id=f"review:{request.id}", elements=[button])


def ci_link(ci: CiRun) -> str:
    """Return the CI run that opened the request, as a link if its address is known."""
    run = f"run {ci.run}" if ci.run else "CI run"
    label = escape_and_cut("  ·  ".join(part for part in (ci.repository, run) if part), 300)
    commit = f", commit {code(ci.commit, 12)}" if ci.commit else ""
    return (f"<{escape(ci.url)}|{label}>" if ci.url else label) + commit


def _decision_fields(request: Request) -> list[str]:
    fields = []
    if request.decided_by and request.decided_at:
        verb = {
            RequestState.REJECTED: "Rejected by",
            RequestState.CANCELLED: "Canceled by",
        }.get(request.state, "Decided by")
        fields.append(f"*{verb}*\n{mention_actor(request.decided_by)}, {format_time(request.decided_at)}")
    elif request.decided_at:
        fields.append(f"*Ended*\n{format_time(request.decided_at)}")
    if request.outcome:
        title = "Warning" if request.state is RequestState.DONE else "Why"
        fields.append(f"*{title}*\n{escape_and_cut(request.outcome, 1500)}")
    return fields


def decision_buttons(request: Request, *, is_frozen: bool = False, with_cancel: bool = False) -> ActionsBlock:
    """Return the buttons that decide a pending request.

    Approve is highlighted unless a freeze or a gate blocks the request, or the version breaks callers. `with_cancel`
    adds the requester's button to cancel the request.
    """
    path = truncate(str(promotion_messages.describe_change(request)), 200)
    confirm = ConfirmObject(
        title="Approve this request?",
        text=PlainTextObject(text=f"{truncate(sanitize_text(request.model), 80)}: {path}"),
        confirm="Approve",
        deny="Cancel",
    )
    breaks_callers = request.seen is not None and bool(request.seen.callers.sentences(CallerEffect.BREAKS))
    style = None if is_frozen or request.has_blocking_gates or breaks_callers else "primary"
    elements = [
        ButtonElement(text="Approve", action_id=APPROVE, value=request.id, style=style, confirm=confirm),
        ButtonElement(text="Reject", action_id=REJECT, value=request.id, style="danger"),
        ButtonElement(text="Details", action_id=DETAILS, value=request.id),
    ]
    if request.has_blocking_gates:
        elements.append(ButtonElement(text="Override gates…", action_id=OVERRIDE, value=request.id))
    elements += [cancel_button(request)] if with_cancel else []
    return ActionsBlock(block_id=f"decide:{request.id}", elements=elements)


def cancel_button(request: Request, label: str = "Cancel my request") -> ButtonElement:
    """Return the button that cancels a pending request."""
    confirm = ConfirmObject(
        title="Cancel this request?",
        text=PlainTextObject(text="Only the requester and admins can cancel it. Approvers can reject it."),
        confirm="Cancel request",
        deny="Keep it",
        style="danger",
    )
    return ButtonElement(text=label, action_id=CANCEL, value=request.id, confirm=confirm)


def _decided_buttons(request: Request, page: str | None) -> ActionsBlock:
    """Return the buttons for a request that isn't pending; `page` is the URL of the version's registry page."""
    elements = [ButtonElement(text="Details", action_id=DETAILS, value=request.id)]
    if request.state in {RequestState.STALE, RequestState.EXPIRED}:
        elements.insert(0, ButtonElement(text="Request again", action_id=REQUEST_AGAIN, value=request.id))
    if request.target is Stage.PRODUCTION:
        elements.append(ButtonElement(text="History", action_id=HISTORY, value=request.id))
        if request.state is RequestState.DONE:
            elements.insert(0, ButtonElement(text="Roll back…", action_id=ROLL_BACK, value=request.id))
    if page and len(page) <= MAX_PAGE_LENGTH:
        elements.append(ButtonElement(text=f"Open in {product().name}", action_id=OPEN_REGISTRY, url=page))
    return ActionsBlock(block_id=f"decided:{request.id}", elements=elements)


def _render_approval(command: Approve, request: Request, context: RenderContext) -> SlackAnswer:
    """Return the answer to a vote, with a button that withdraws the vote while the request is pending."""
    text = to_mrkdwn(context.answer)
    blocks: list[Block] = [section(text)]
    if request.state is RequestState.PENDING:
        button = ButtonElement(text="Withdraw", action_id=WITHDRAW, value=request.id)
        blocks.append(ActionsBlock(block_id=f"withdraw:{request.id}", elements=[button]))
    return SlackAnswer(build_message(text, blocks))


def _render_validation(
    command: Validate, result: tuple[VersionInfo, RequestSnapshot], context: RenderContext
) -> SlackAnswer:
    """Return a version's gate results, and the next step if they all passed."""
    version, snapshot = result
    text = to_mrkdwn(summarize_gates(version, command.to, snapshot))
    blocks: list[Block] = [section(text), *row_sections(gate_rows(snapshot))]
    if not snapshot.failed_gates:
        promote_command = f"/model promote {command.model} {version.version} {command.to.value.lower()}"
        blocks.append(context_line(f"No request was opened. To open one: {code(promote_command, 300)}"))
    return SlackAnswer(build_message(text, blocks))


RENDERERS: Renderers = {Approve: _render_approval, Validate: _render_validation}
