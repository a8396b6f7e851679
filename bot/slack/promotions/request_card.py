"""Render a request's card as blocks, and the answers to votes and `validate`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject, PlainTextObject

from bot.domain.commands.promotions import Approve, Validate
from bot.domain.core.ci_run import CiRun
from bot.domain.core.numbers import format_difference, format_number
from bot.domain.core.sentence import Sentence, sanitize_text, truncate
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, summarize_gates
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.metric_direction import Direction, is_better
from bot.domain.registry.model import VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock, block_details
from bot.domain.registry.signature_changes import CallerEffect, CallerImpact
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
    fitting_rows,
    format_time,
    header,
    mention_actor,
    row_sections,
    section,
    to_mrkdwn,
)

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"
OVERRIDE, REQUEST_AGAIN, WITHDRAW = "request_override", "request_again", "request_withdraw"
REVIEW = "request_review"
MAX_METRICS = 8  # metrics on the card; the others are counted, and shown by Details and `compare`
MAX_CHANGES = 5  # changes for callers
MAX_GATES = 12
MAX_GATES_LENGTH = 2400  # characters of all gates; the others are counted

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


def request_card(
    request: Request,
    votes: Sequence[Vote],
    *,
    directions: Mapping[str, Direction | str] | None = None,
    freeze: ActiveFreeze | None = None,
    waiting_for: Sentence | None = None,
    block: RollbackBlock | None = None,
) -> Message:
    """Return a request's current card. It has decision buttons only while the request is pending.

    `directions` says for each metric whether higher is better, according to the policy. `freeze` is the freeze that
    currently stops promotions to Production. `waiting_for` says who a pending request is waiting for. `block` is the
    block on the version; it's shown only while the request is pending.
    """
    is_pending, change = request.state is RequestState.PENDING, to_mrkdwn(promotion_messages.describe_change(request))
    texts = [
        _summary(request),
        f"⛔ {to_mrkdwn(block_details(block))}" if block and is_pending else "",
        *(_snapshot_texts(request, request.seen, directions or {}) if request.seen else []),
    ]
    blocks: list[Block] = [
        header(_title(request, freeze)),
        *(section(text) for text in texts if text),
        fields_section(_field_texts(request, votes)),
    ]
    if is_pending:
        blocks += [section(f"❄️ {to_mrkdwn(freeze.description)}")] if freeze else []
        blocks += [section(to_mrkdwn(waiting_for))] if waiting_for else []
        blocks.append(decision_buttons(request, is_frozen=freeze is not None))
    if request.state in {RequestState.STALE, RequestState.EXPIRED}:
        button = ButtonElement(text="Request again", action_id=REQUEST_AGAIN, value=request.id)
        blocks.append(ActionsBlock(block_id=f"again:{request.id}", elements=[button]))
    blocks += [review_buttons(request)] if request.needs_review else []
    typed = f"  ·  or type {code(f'/model approve {request.id}')}" if is_pending else ""
    policy = f"  ·  Policy {code(request.seen.policy)}" if request.seen and request.seen.policy else ""
    blocks.append(context_line(f"Request {code(request.id)}{typed}{policy}"))
    subject = f"{code(request.model)} {change}"
    asked = f"{mention_actor(request.requester)} requested {subject}"
    return build_message(asked if is_pending else f"{subject}: {request.state.label}", blocks)


def _title(request: Request, freeze: ActiveFreeze | None) -> str:
    """Return the headline: what to decide, or what blocks the decision and how to unblock it."""
    change = f"{truncate(sanitize_text(request.model), 60)} v{request.version} → {request.target}"
    if request.state is RequestState.PENDING and freeze:
        reason = sanitize_text(freeze.reason).rstrip(".")
        return f"❄️ {change} is frozen{f': {reason}' if reason else ' by policy'}"
    if request.state is RequestState.PENDING and request.has_blocking_gates and request.seen:
        failed = [gate.name for gate in request.seen.failed_gates]
        if failed == [NOT_BLOCKED_GATE]:
            return f"⛔ {change} is blocked: rolled back as bad, unblock or override needed"
        gates_text = truncate(sanitize_text(failed[0]), 25) if len(failed) == 1 else f"{len(failed)} gates"
        return f"⛔ {change} is blocked: {gates_text} failed, override needed"
    model = truncate(sanitize_text(request.model), 80)
    return _TITLES[request.state].format(model=model, version=request.version, target=request.target)


def _summary(request: Request) -> str:
    semver = f"  ·  semver {code(request.semver, 50)}" if request.semver else ""
    lines = [f"*{to_mrkdwn(promotion_messages.describe_change(request))}*{semver}"]
    if request.breaks_glass:
        lines.append("🚨 *Break glass:* promoted without approvals, ignoring gates and freezes.")
    if request.keep_existing:
        lines.append(f"The current version stays in {request.target}, too.")
    if request.reason:
        lines.append(f"> {escape_and_cut(request.reason, 2000)}")
    return "\n".join(lines)


def _snapshot_texts(
    request: Request, snapshot: RequestSnapshot, directions: Mapping[str, Direction | str]
) -> Iterator[str]:
    """Yield the version's metrics, what changes for callers, and its gates; a text is empty if there's nothing."""
    yield _metrics_text(request, snapshot, directions)
    yield _callers_text(request, snapshot.callers)
    if snapshot.gates:
        rows = gate_rows(snapshot, is_overridden=request.overridden_by is not None)
        if request.overridden_by is not None:
            reason = escape_and_cut(request.override_reason, 500)
            rows.append(f"Failed gates overridden by {mention_actor(request.overridden_by)}: {reason}")
        yield "*Gates*\n" + "\n".join(rows)


def _metrics_text(request: Request, snapshot: RequestSnapshot, directions: Mapping[str, Direction | str]) -> str:
    """Return the candidate's metrics compared with the incumbent's; those with gates come first."""
    gated = [gate.name for gate in snapshot.gates if gate.name in snapshot.metrics]
    names = list(dict.fromkeys([*gated, *sorted(snapshot.metrics)]))
    rows = [_metric_text(name, snapshot, directions) for name in names[:MAX_METRICS]]
    more = f"  ·  and {len(names) - MAX_METRICS} more" if len(names) > MAX_METRICS else ""
    against = f" vs v{request.incumbent}" if request.incumbent is not None and snapshot.against else ""
    lines = [f"*v{request.version}{against}*", "  ·  ".join(rows) + more] if rows else []
    reported = [f"{code(name, 60)} {code(format_number(value))}" for name, value in sorted(snapshot.validation.items())]
    if reported:
        lines.append(f"Reported by requester: {'  ·  '.join(reported[:MAX_METRICS])}")
    return "\n".join(lines)


def _metric_text(name: str, snapshot: RequestSnapshot, directions: Mapping[str, Direction | str]) -> str:
    value, was = snapshot.metrics[name], snapshot.against.get(name)
    if was is None:
        return f"{code(name, 60)} {code(format_number(value))}"
    better = "" if value == was else " better" if is_better(name, value, was, directions) else " *worse*"
    return f"{code(name, 60)} {code(format_number(value))} ({format_difference(value - was)}{better})"


def _callers_text(request: Request, callers: CallerImpact) -> str:
    """Return what changes for callers, breaking changes first; empty if nothing changes."""
    breaking = callers.sentences(CallerEffect.BREAKS)
    compatible = callers.sentences(CallerEffect.ADDS, CallerEffect.COMPATIBLE)
    room = max(0, MAX_CHANGES - len(breaking))
    parts = (
        ("⚠️ *Breaking for callers:*", breaking[:MAX_CHANGES]),
        (f"*{'Also for' if breaking else 'For'} callers:*", compatible[:room]),
    )
    lines = [f"{title} {cut_mrkdwn('; '.join(map(to_mrkdwn, changes)), 1000)}" for title, changes in parts if changes]
    if (more := len(callers.changes) + callers.omitted - MAX_CHANGES) > 0:
        lines.append(f"and {more} more changes")
    if callers.not_compared:
        why = to_mrkdwn(callers.not_compared)
        lines.append(f"*For callers:* can't compare with {code(f'v{request.incumbent}')}: {why}")
    if callers.no_rollback:
        lines.append(f"⚠️ {to_mrkdwn(callers.no_rollback)}")
    return "\n".join(lines)


def gate_rows(snapshot: RequestSnapshot, *, is_overridden: bool = False) -> list[str]:
    """Return a line for each gate, failed gates first. `is_overridden`: someone has overridden the failed gates."""
    failed_first = sorted(snapshot.gates, key=lambda gate: gate.passed)
    rows = []
    for gate in failed_first[:MAX_GATES]:
        sign = "✅" if gate.passed else "🔶" if is_overridden else "❌"
        note = f" ({escape_and_cut(gate.note, 120)})" if gate.note else ""
        value, bound = escape_and_cut(gate.value, 120), escape_and_cut(gate.bound, 120)
        rows.append(f"{sign} {code(gate.name, 80)} {value}, required: {bound}{note}")
    return first_rows_and_count(len(fitting_rows(rows, MAX_GATES_LENGTH)), rows, len(failed_first))


def _field_texts(request: Request, votes: Sequence[Vote]) -> list[str]:
    yes = counting_approvals(votes)
    names = ", ".join(first_rows_and_count(MAX_NAMES, [mention_actor(vote.voter) for vote in yes]))
    counted = f"{len(yes)} of {request.required}{f': {names}' if names else ''}"
    counted = "None: break glass" if request.breaks_glass else counted
    fields = [f"*Requested by*\n{mention_actor(request.requester)}", f"*Approvals*\n{counted}"]
    lapsed = [
        f"{mention_actor(vote.voter)}: {promotion_messages.lapse_reason(vote.lapsed)}" for vote in votes if vote.lapsed
    ]
    fields += ["*No longer valid*\n" + cut_mrkdwn("\n".join(lapsed), 1500)] if lapsed else []
    fields += [f"*Requested from*\n{ci_link(request.ci)}"] if request.ci else []
    review = _review_text(request) if request.breaks_glass else ""
    fields += [f"*Review*\n{review}"] if review else []
    if request.state is RequestState.PENDING:
        return [*fields, f"*Expires*\n{format_time(request.expires_at)}"]
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


def decision_buttons(request: Request, *, is_frozen: bool = False) -> ActionsBlock:
    """Return the buttons that decide a pending request. Approve is highlighted unless a freeze or a gate blocks it."""
    path = truncate(str(promotion_messages.describe_change(request)), 200)
    confirm = ConfirmObject(
        title="Approve this request?",
        text=PlainTextObject(text=f"{truncate(sanitize_text(request.model), 80)}: {path}"),
        confirm="Approve",
        deny="Not yet",
    )
    style = None if is_frozen or request.has_blocking_gates else "primary"
    elements = [
        ButtonElement(text="Approve", action_id=APPROVE, value=request.id, style=style, confirm=confirm),
        ButtonElement(text="Reject", action_id=REJECT, value=request.id, style="danger"),
        ButtonElement(text="Details", action_id=DETAILS, value=request.id),
    ]
    if request.has_blocking_gates:
        elements.append(ButtonElement(text="Override gates…", action_id=OVERRIDE, value=request.id))
    return ActionsBlock(block_id=f"decide:{request.id}", elements=elements)


def _render_approval(command: Approve, request: Request, context: RenderContext) -> SlackAnswer:
    """Return the answer to a vote, with a button that withdraws the vote while the request is pending."""
    text = to_mrkdwn(context.answer)
    blocks: list[Block] = [section(text)]
    if request.state is RequestState.PENDING:
        button = ButtonElement(text="Withdraw", action_id=WITHDRAW, value=request.id)
        blocks.append(ActionsBlock(block_id=f"withdraw:{request.id}", elements=[button]))
    return SlackAnswer(build_message(text, blocks))


def approval_invitation(request_id: str, sentence: Sentence, link: str | None) -> Message:
    """Return the message to someone who can approve the new request `request_id`.

    `link` is the address of its card: empty if it isn't known, None if there's no card.
    """
    text, typed = to_mrkdwn(sentence), f"type {code(f'/model approve {request_id}')}"
    card = f"<{escape(link)}|Open the card>" if link else "Use the card in the channel"
    how = f"To approve it, {typed}" if link is None else f"{card}, or {typed}"
    return build_message(text, [section(text), section(how)])


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
