"""The approval card as blocks: domain in, blocks out, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    HeaderBlock,
    PlainTextObject,
    SectionBlock,
)

from bot.domain.commands.promotions import Approve
from bot.domain.core.ci_run import CiRun
from bot.domain.core.numbers import format_difference, format_number
from bot.domain.core.sentence import Sentence, sanitize_text, truncate
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED_GATE
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState, Vote, counting_approvals
from bot.domain.registry.metric_direction import Direction, is_better
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.registry.signature_changes import CallerEffect
from bot.slack.core.answer import Answer, RenderContext, Renderers
from bot.slack.core.blocks import Message, build_message, context_line, first_rows_and_count, mrkdwn_object, section
from bot.slack.core.mrkdwn import (
    MAX_TEXT_LENGTH,
    code,
    cut_mrkdwn,
    escape,
    escape_and_cut,
    format_time,
    mention_actor,
    to_mrkdwn,
)
from bot.slack.policy.gate_rows import gate_rows
from bot.slack.registry.version_lines import MAX_APPROVERS, blocked_line

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"
OVERRIDE, REQUEST_AGAIN, WITHDRAW = "request_override", "request_again", "request_withdraw"
REVIEW = "request_review"
MAX_METRICS = 8  # figures on the card; of more, the rest is counted: Details and compare have them all
MAX_TITLE_LENGTH = 150  # Slack's limit for a header
MAX_CHANGES = 5  # for callers

# -- the card ----------------------------------------------------------------------------------------------------------

_TITLES = {
    RequestState.PENDING: "Promote {model} v{version} to {target}?",
    RequestState.APPROVED: "⏳ {model} v{version} → {target}: approved",
    RequestState.EXECUTING: "⏳ {model} v{version} → {target}: moving",
    RequestState.DONE: "✅ {model} v{version} is in {target}",
    RequestState.REJECTED: "❌ {model} v{version} → {target}: rejected",
    RequestState.CANCELLED: "↩️ {model} v{version} → {target}: cancelled",
    RequestState.EXPIRED: "⌛ {model} v{version} → {target}: expired",
    RequestState.STALE: "⚠️ {model} v{version} → {target}: out of date",
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
    """Return a request's card as it should look now. It has buttons only while it can be decided.

    `directions`: for each metric, whether higher is better, from the policy. `freeze`: the freeze that stops promotions
    to Production now. `waiting_for`: whom a pending request waits for. `block`: why the version is blocked now, shown
    while the request can be decided.
    """
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=_title(request, freeze), emoji=True)),
        section(_summary(request)),
        *([section(blocked_line(block))] if block and request.state is RequestState.PENDING else []),
        *(
            section(text)
            for text in (
                _metrics_section(request, directions or {}),
                _signature_section(request),
                _gates_section(request),
            )
            if text
        ),
        SectionBlock(fields=[mrkdwn_object(field) for field in _field_texts(request, votes)]),
    ]
    if request.state is RequestState.PENDING:
        blocks += [section(f"❄️ {to_mrkdwn(freeze.description)}")] if freeze else []
        blocks += [section(to_mrkdwn(waiting_for))] if waiting_for else []
        blocks.append(decision_buttons(request, is_frozen=freeze is not None))
    if request.state in {RequestState.STALE, RequestState.EXPIRED}:
        blocks.append(_request_again_buttons(request))
    blocks += [review_buttons(request)] if request.needs_review else []
    blocks.append(context_line(_footer(request)))
    return build_message(_notification_text(request), blocks)


def _title(request: Request, freeze: ActiveFreeze | None) -> str:
    """Return the headline: what there is to decide, or why it can't be decided now and what that takes."""
    change = f"{truncate(sanitize_text(request.model), 60)} v{request.version} → {request.target}"
    if request.state is RequestState.PENDING and freeze:
        reason = sanitize_text(freeze.reason).rstrip(".")
        return truncate(f"❄️ {change} is frozen{f': {reason}' if reason else ' by the policy'}", MAX_TITLE_LENGTH)
    if request.state is RequestState.PENDING and request.has_blocking_gates and request.seen:
        failed = [gate.name for gate in request.seen.failed_gates]
        if failed == [NOT_BLOCKED_GATE]:
            return truncate(f"⛔ {change} is blocked: rolled back as bad, unblock or override needed", MAX_TITLE_LENGTH)
        gates_text = truncate(sanitize_text(failed[0]), 25) if len(failed) == 1 else f"{len(failed)} gates"
        return truncate(f"⛔ {change} is blocked: {gates_text} failed, override needed", MAX_TITLE_LENGTH)
    title = _TITLES[request.state].format(
        model=truncate(sanitize_text(request.model), 80), version=request.version, target=request.target
    )
    return truncate(title, MAX_TITLE_LENGTH)


def _summary(request: Request) -> str:
    semver = f"  ·  semver {code(request.semver, 50)}" if request.semver else ""
    lines = [f"*{to_mrkdwn(promotion_messages.describe_change(request))}*{semver}"]
    if request.breaks_glass:
        lines.append("🚨 *The glass is broken:* it is moved without approvals, past gates and freezes.")
    if request.keep_existing:
        lines.append("The present holder stays in the stage as well.")
    if request.reason:
        lines.append(f"> {escape_and_cut(request.reason, 2000)}")
    return "\n".join(lines)


def _metrics_section(request: Request, directions: Mapping[str, Direction | str]) -> str:
    """Return the candidate's metrics against the incumbent's; those with gates come first."""
    if request.seen is None or not (request.seen.metrics or request.seen.validation):
        return ""
    snapshot = request.seen
    gated = [gate.name for gate in snapshot.gates if gate.name in snapshot.metrics]
    names = list(dict.fromkeys([*gated, *sorted(snapshot.metrics)]))
    rows = [_metric_text(name, snapshot, directions) for name in names[:MAX_METRICS]]
    more = f"  ·  and {len(names) - MAX_METRICS} more" if len(names) > MAX_METRICS else ""
    against = f" against v{request.incumbent}" if request.incumbent is not None and snapshot.against else ""
    lines = [f"*v{request.version}{against}*", "  ·  ".join(rows) + more] if rows else []
    if snapshot.validation:
        reported = [
            f"{code(name, 60)} {code(format_number(value))}" for name, value in sorted(snapshot.validation.items())
        ]
        lines.append(f"The asker's own validation: {'  ·  '.join(reported[:MAX_METRICS])}")
    return cut_mrkdwn("\n".join(lines), MAX_TEXT_LENGTH)


def _metric_text(name: str, snapshot: RequestSnapshot, directions: Mapping[str, Direction | str]) -> str:
    value, was = snapshot.metrics[name], snapshot.against.get(name)
    if was is None:
        return f"{code(name, 60)} {code(format_number(value))}"
    better = "" if value == was else " better" if is_better(name, value, was, directions) else " *worse*"
    return f"{code(name, 60)} {code(format_number(value))} ({format_difference(value - was)}{better})"


def _signature_section(request: Request) -> str:
    """Return what changes for callers, breaking changes first; nothing if nothing changes."""
    if request.seen is None:
        return ""
    callers, lines = request.seen.callers, []
    breaking, compatible = (
        callers.sentences(CallerEffect.BREAKS),
        callers.sentences(CallerEffect.ADDS, CallerEffect.COMPATIBLE),
    )
    room = max(0, MAX_CHANGES - len(breaking))
    if breaking:
        lines.append(f"⚠️ *Breaking for callers:* {_join_changes(breaking[:MAX_CHANGES])}")
    if compatible[:room]:
        lines.append(f"*{'Also for' if breaking else 'For'} callers:* {_join_changes(compatible[:room])}")
    if more := len(callers.changes) + callers.omitted - MAX_CHANGES:
        lines += [f"and {more} more changes"] if more > 0 else []
    if callers.not_compared:
        lines.append(
            f"*For callers:* can't compare with {code(f'v{request.incumbent}')}: {to_mrkdwn(callers.not_compared)}"
        )
    if callers.no_rollback:
        lines.append(f"⚠️ {to_mrkdwn(callers.no_rollback)}")
    return cut_mrkdwn("\n".join(lines), MAX_TEXT_LENGTH)


def _join_changes(sentences: Sequence[Sentence]) -> str:
    return cut_mrkdwn("; ".join(to_mrkdwn(sentence) for sentence in sentences), 1000)


def _gates_section(request: Request) -> str:
    if request.seen is None or not request.seen.gates:
        return ""
    rows = gate_rows(request.seen, is_overridden=request.overridden_by is not None)
    if request.overridden_by is not None:
        reason = escape_and_cut(request.override_reason, 500)
        rows.append(f"Failed gates let pass by {mention_actor(request.overridden_by)}: {reason}")
    return cut_mrkdwn("*Gates*\n" + "\n".join(rows), MAX_TEXT_LENGTH)


def _field_texts(request: Request, votes: Sequence[Vote]) -> list[str]:
    yes = counting_approvals(votes)
    names = (
        ": " + ", ".join(first_rows_and_count(MAX_APPROVERS, [mention_actor(vote.voter) for vote in yes]))
        if yes
        else ""
    )
    counted = "none: the glass is broken" if request.breaks_glass else f"{len(yes)} of {request.required}{names}"
    fields = [f"*Asked by*\n{mention_actor(request.requester)}", f"*Approvals*\n{counted}"]
    lapsed = [
        f"{mention_actor(vote.voter)}: {promotion_messages.lapse_reason(vote.lapsed)}" for vote in votes if vote.lapsed
    ]
    fields += ["*No longer counts*\n" + cut_mrkdwn("\n".join(lapsed), 1500)] if lapsed else []
    fields += [f"*Asked from*\n{ci_link(request.ci)}"] if request.ci else []
    fields += [f"*Review*\n{_review_text(request)}"] if request.breaks_glass and _review_text(request) else []
    if request.state is RequestState.PENDING:
        return [*fields, f"*Expires*\n{format_time(request.expires_at)}"]
    return fields + _decision_fields(request)


def _review_text(request: Request) -> str:
    """Return who reviewed a promotion without approvals, or by when someone has to."""
    if request.reviewed_by and request.reviewed_at:
        reason = escape_and_cut(request.review_reason, 1000)
        return f"Reviewed by {mention_actor(request.reviewed_by)}, {format_time(request.reviewed_at)}: {reason}"
    if not request.needs_review or request.review_due is None:
        return ""
    return f"{'⚠️ Overdue since' if request.review_reminded > 1 else 'Review due by'} {format_time(request.review_due)}"


def review_buttons(request: Request) -> ActionsBlock:
    """Return the button with which someone else follows up on a broken glass."""
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
            RequestState.CANCELLED: "Cancelled by",
        }.get(request.state, "Decided by")
        fields.append(f"*{verb}*\n{mention_actor(request.decided_by)}, {format_time(request.decided_at)}")
    elif request.decided_at:
        fields.append(f"*Ended*\n{format_time(request.decided_at)}")
    if request.outcome:
        title = "Mind" if request.state is RequestState.DONE else "Why"
        fields.append(f"*{title}*\n{escape_and_cut(request.outcome, 1500)}")
    return fields


def decision_buttons(request: Request, *, is_frozen: bool = False) -> ActionsBlock:
    """Return the buttons that decide a pending request. Approve is highlighted only if an approval can decide it."""
    path = truncate(str(promotion_messages.describe_change(request)), 200)
    confirm = ConfirmObject(
        title="Approve?",
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
        elements.append(ButtonElement(text="Let gates pass…", action_id=OVERRIDE, value=request.id))
    return ActionsBlock(block_id=f"decide:{request.id}", elements=elements)


def _request_again_buttons(request: Request) -> ActionsBlock:
    button = ButtonElement(text="Ask again", action_id=REQUEST_AGAIN, value=request.id)
    return ActionsBlock(block_id=f"again:{request.id}", elements=[button])


def _render_approval(command: Approve, request: Request, context: RenderContext) -> Answer:
    """Return the answer to a vote; while the request is undecided, with a button that withdraws the vote."""
    text = to_mrkdwn(context.answer)
    blocks: list[Block] = [section(text)]
    if request.state is RequestState.PENDING:
        button = ButtonElement(text="Take it back", action_id=WITHDRAW, value=request.id)
        blocks.append(ActionsBlock(block_id=f"withdraw:{request.id}", elements=[button]))
    return Answer(build_message(text, blocks))


RENDERERS: Renderers = {Approve: _render_approval}


def approval_invitation(request_id: str, sentence: Sentence, link: str | None) -> Message:
    """Return the message to someone who can approve a new request (its id).

    `link` is the address of its card: empty if unknown, None if there's no card.
    """
    text, typed = to_mrkdwn(sentence), f"type {code(f'/model approve {request_id}')}"
    card = f"<{escape(link)}|Open the card>" if link else "Its card is in the channel"
    how = f"To approve it, {typed}" if link is None else f"{card}, or {typed}"
    return build_message(text, [section(text), section(how)])


def _footer(request: Request) -> str:
    text = f"Request {code(request.id)}"
    if request.state is RequestState.PENDING:
        text += f"  ·  or type {code(f'/model approve {request.id}')}"
    if request.seen and request.seen.policy:
        text += f"  ·  Policy {code(request.seen.policy)}"
    return text


def _notification_text(request: Request) -> str:
    path = to_mrkdwn(promotion_messages.describe_change(request))
    if request.state is RequestState.PENDING:
        return f"{mention_actor(request.requester)} asks: {code(request.model)} {path}"
    return f"{code(request.model)} {path}: {request.state.value}"
