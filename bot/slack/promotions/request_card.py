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

from bot.domain.core.ci_run import CiRun
from bot.domain.core.numbers import delta, number
from bot.domain.core.sentence import Say, clean, short
from bot.domain.policy.freezes import Frozen
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import NOT_BLOCKED
from bot.domain.promotions.request import Request, RequestState, Vote, approvals
from bot.domain.promotions.snapshot import Seen
from bot.domain.registry.metric_direction import Direction, is_better
from bot.domain.registry.rollback_block import Bar
from bot.domain.registry.signature_changes import Effect
from bot.slack.core.blocks import Message, markdown, message, section, small, up_to
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, escape, fit, mrkdwn, when, who
from bot.slack.policy.gate_rows import gate_rows
from bot.slack.registry.version_lines import APPROVERS_MOST, blocked_line

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"
OVERRIDE, AGAIN, WITHDRAW = "request_override", "request_again", "request_withdraw"
REVIEW = "request_review"
METRICS_MOST = 8  # figures on the card; of more, the rest is counted: Details and compare have them all
TITLE_MOST = 150  # characters that Slack takes in a header
CHANGES_MOST = 5  # for callers

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


def card(
    request: Request,
    votes: Sequence[Vote],
    *,
    directions: Mapping[str, Direction | str] | None = None,
    stopped: Frozen | None = None,
    waiting: Say | None = None,
    block: Bar | None = None,
) -> Message:
    """Return a request's one message as it has to look now. Buttons are there only while it can be decided.

    `directions` are the policy's, of metrics; `stopped` is why nothing moves in Production now, `waiting` says whom a
    pending request waits for, and `block` is what blocks the version now, shown while the request can be decided.
    """
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=_title(request, stopped), emoji=True)),
        section(_what(request)),
        *([section(blocked_line(block))] if block and request.state is RequestState.PENDING else []),
        *(section(text) for text in (_figures(request, directions or {}), _callers(request), _gates(request)) if text),
        SectionBlock(fields=[markdown(field) for field in _fields(request, votes)]),
    ]
    if request.state is RequestState.PENDING:
        blocks += [section(f"❄️ {mrkdwn(stopped.why)}")] if stopped else []
        blocks += [section(mrkdwn(waiting))] if waiting else []
        blocks.append(decision_buttons(request, is_frozen=stopped is not None))
    if request.state in {RequestState.STALE, RequestState.EXPIRED}:
        blocks.append(_again(request))
    blocks += [review_button(request)] if request.needs_review else []
    blocks.append(small(_footer(request)))
    return message(_notification(request), blocks)


def _title(request: Request, stopped: Frozen | None) -> str:
    """Return the headline: what there is to decide, or why it can't be decided now and what that takes."""
    change = f"{short(clean(request.model), 60)} v{request.version} → {request.target}"
    if request.state is RequestState.PENDING and stopped:
        reason = clean(stopped.reason).rstrip(".")
        return short(f"❄️ {change} is frozen{f': {reason}' if reason else ' by the policy'}", TITLE_MOST)
    if request.state is RequestState.PENDING and request.is_blocked and request.seen:
        failed = [gate.name for gate in request.seen.failed]
        if failed == [NOT_BLOCKED]:
            return short(f"⛔ {change} is blocked: rolled back as bad, unblock or override needed", TITLE_MOST)
        what = short(clean(failed[0]), 25) if len(failed) == 1 else f"{len(failed)} gates"
        return short(f"⛔ {change} is blocked: {what} failed, override needed", TITLE_MOST)
    title = _TITLES[request.state].format(
        model=short(clean(request.model), 80), version=request.version, target=request.target
    )
    return short(title, TITLE_MOST)


def _what(request: Request) -> str:
    semver = f"  ·  semver {code(request.semver, 50)}" if request.semver else ""
    lines = [f"*{mrkdwn(promotion_messages.path(request))}*{semver}"]
    if request.breaks_glass:
        lines.append("🚨 *The glass is broken:* it is moved without approvals, past gates and freezes.")
    if request.keep_existing:
        lines.append("The present holder stays in the stage as well.")
    if request.reason:
        lines.append(f"> {fit(request.reason, 2000)}")
    return "\n".join(lines)


def _figures(request: Request, directions: Mapping[str, Direction | str]) -> str:
    """Return the candidate's figures against the incumbent's; those that gates look at come first."""
    if request.seen is None or not (request.seen.metrics or request.seen.validation):
        return ""
    seen = request.seen
    gated = [gate.name for gate in seen.gates if gate.name in seen.metrics]
    names = list(dict.fromkeys([*gated, *sorted(seen.metrics)]))
    rows = [_figure(name, seen, directions) for name in names[:METRICS_MOST]]
    more = f"  ·  and {len(names) - METRICS_MOST} more" if len(names) > METRICS_MOST else ""
    against = f" against v{request.incumbent}" if request.incumbent is not None and seen.against else ""
    lines = [f"*v{request.version}{against}*", "  ·  ".join(rows) + more] if rows else []
    if seen.validation:
        told = [f"{code(name, 60)} {code(number(value))}" for name, value in sorted(seen.validation.items())]
        lines.append(f"The asker's own validation: {'  ·  '.join(told[:METRICS_MOST])}")
    return cut("\n".join(lines), TEXT_MOST)


def _figure(name: str, seen: Seen, directions: Mapping[str, Direction | str]) -> str:
    value, was = seen.metrics[name], seen.against.get(name)
    if was is None:
        return f"{code(name, 60)} {code(number(value))}"
    better = "" if value == was else " better" if is_better(name, value, was, directions) else " *worse*"
    return f"{code(name, 60)} {code(number(value))} ({delta(value - was)}{better})"


def _callers(request: Request) -> str:
    """Return what changes for callers, breaking changes first; nothing where nothing does."""
    if request.seen is None:
        return ""
    found, lines = request.seen.callers, []
    breaking, others = found.says(Effect.BREAKS), found.says(Effect.ADDS, Effect.FITS)
    room = max(0, CHANGES_MOST - len(breaking))
    if breaking:
        lines.append(f"⚠️ *Breaking for callers:* {_changes(breaking[:CHANGES_MOST])}")
    if others[:room]:
        lines.append(f"*{'Also for' if breaking else 'For'} callers:* {_changes(others[:room])}")
    if more := len(found.changes) + found.more - CHANGES_MOST:
        lines += [f"and {more} more changes"] if more > 0 else []
    if found.unknown:
        lines.append(f"*For callers:* can't compare with {code(f'v{request.incumbent}')}: {mrkdwn(found.unknown)}")
    if found.way_back:
        lines.append(f"⚠️ {mrkdwn(found.way_back)}")
    return cut("\n".join(lines), TEXT_MOST)


def _changes(said: Sequence[Say]) -> str:
    return cut("; ".join(mrkdwn(one) for one in said), 1000)


def _gates(request: Request) -> str:
    if request.seen is None or not request.seen.gates:
        return ""
    rows = gate_rows(request.seen, passed_over=request.overridden_by is not None)
    if request.overridden_by is not None:
        rows.append(f"Failed gates let pass by {who(request.overridden_by)}: {fit(request.override_reason, 500)}")
    return cut("*Gates*\n" + "\n".join(rows), TEXT_MOST)


def _fields(request: Request, votes: Sequence[Vote]) -> list[str]:
    yes = approvals(votes)
    names = ": " + ", ".join(up_to(APPROVERS_MOST, [who(vote.voter) for vote in yes])) if yes else ""
    counted = "none: the glass is broken" if request.breaks_glass else f"{len(yes)} of {request.required}{names}"
    fields = [f"*Asked by*\n{who(request.requester)}", f"*Approvals*\n{counted}"]
    lapsed = [f"{who(vote.voter)}: {promotion_messages.lapsed_by(vote.lapsed)}" for vote in votes if vote.lapsed]
    fields += ["*No longer counts*\n" + cut("\n".join(lapsed), 1500)] if lapsed else []
    fields += [f"*Asked from*\n{ci_link(request.ci)}"] if request.ci else []
    fields += [f"*Review*\n{_review(request)}"] if request.breaks_glass and _review(request) else []
    if request.state is RequestState.PENDING:
        return [*fields, f"*Expires*\n{when(request.expires_at)}"]
    return fields + _decision(request)


def _review(request: Request) -> str:
    """Return who reviewed what was moved without approvals, or by when someone has to."""
    if request.reviewed_by and request.reviewed_at:
        said = fit(request.review_reason, 1000)
        return f"Reviewed by {who(request.reviewed_by)}, {when(request.reviewed_at)}: {said}"
    if not request.needs_review or request.review_due is None:
        return ""
    return f"{'⚠️ Overdue since' if request.review_reminded > 1 else 'Review due by'} {when(request.review_due)}"


def review_button(request: Request) -> ActionsBlock:
    """Return the button with which someone else follows up on a broken glass."""
    button = ButtonElement(text="Review…", action_id=REVIEW, value=request.id)
    return ActionsBlock(block_id=f"review:{request.id}", elements=[button])


def ci_link(ci: CiRun) -> str:
    """Return the run in which a program asked, as a link where its page is known."""
    run = f"run {ci.run}" if ci.run else "CI run"
    shown = fit("  ·  ".join(part for part in (ci.repository, run) if part), 300)
    commit = f", commit {code(ci.commit, 12)}" if ci.commit else ""
    return (f"<{escape(ci.url)}|{shown}>" if ci.url else shown) + commit


def _decision(request: Request) -> list[str]:
    fields = []
    if request.decided_by and request.decided_at:
        verb = {
            RequestState.REJECTED: "Rejected by",
            RequestState.CANCELLED: "Cancelled by",
        }.get(request.state, "Decided by")
        fields.append(f"*{verb}*\n{who(request.decided_by)}, {when(request.decided_at)}")
    elif request.decided_at:
        fields.append(f"*Ended*\n{when(request.decided_at)}")
    if request.outcome:
        title = "Mind" if request.state is RequestState.DONE else "Why"
        fields.append(f"*{title}*\n{fit(request.outcome, 1500)}")
    return fields


def decision_buttons(request: Request, *, is_frozen: bool = False) -> ActionsBlock:
    """Return the buttons that decide a pending request. Approve stands out only where an approval can decide it."""
    path = short(str(promotion_messages.path(request)), 200)
    confirm = ConfirmObject(
        title="Approve?",
        text=PlainTextObject(text=f"{short(clean(request.model), 80)}: {path}"),
        confirm="Approve",
        deny="Not yet",
    )
    style = None if is_frozen or request.is_blocked else "primary"
    elements = [
        ButtonElement(text="Approve", action_id=APPROVE, value=request.id, style=style, confirm=confirm),
        ButtonElement(text="Reject", action_id=REJECT, value=request.id, style="danger"),
        ButtonElement(text="Details", action_id=DETAILS, value=request.id),
    ]
    if request.is_blocked:
        elements.append(ButtonElement(text="Let gates pass…", action_id=OVERRIDE, value=request.id))
    return ActionsBlock(block_id=f"decide:{request.id}", elements=elements)


def _again(request: Request) -> ActionsBlock:
    button = ButtonElement(text="Ask again", action_id=AGAIN, value=request.id)
    return ActionsBlock(block_id=f"again:{request.id}", elements=[button])


def counted(request: Request, sentence: Say) -> Message:
    """Return the answer to whoever voted; while nothing is decided, with the button that takes the vote back."""
    text = mrkdwn(sentence)
    blocks: list[Block] = [section(text)]
    if request.state is RequestState.PENDING:
        button = ButtonElement(text="Take it back", action_id=WITHDRAW, value=request.id)
        blocks.append(ActionsBlock(block_id=f"withdraw:{request.id}", elements=[button]))
    return message(text, blocks)


def invitation(request: str, sentence: Say, link: str | None) -> Message:
    """Return the message to someone who can approve a new request (its id).

    `link` is the address of its card: empty if unknown, None if there's no card.
    """
    text, typed = mrkdwn(sentence), f"type {code(f'/model approve {request}')}"
    card = f"<{escape(link)}|Open the card>" if link else "Its card is in the channel"
    how = f"To approve it, {typed}" if link is None else f"{card}, or {typed}"
    return message(text, [section(text), section(how)])


def _footer(request: Request) -> str:
    text = f"Request {code(request.id)}"
    if request.state is RequestState.PENDING:
        text += f"  ·  or type {code(f'/model approve {request.id}')}"
    if request.seen and request.seen.policy:
        text += f"  ·  Policy {code(request.seen.policy)}"
    return text


def _notification(request: Request) -> str:
    path = mrkdwn(promotion_messages.path(request))
    if request.state is RequestState.PENDING:
        return f"{who(request.requester)} asks: {code(request.model)} {path}"
    return f"{code(request.model)} {path}: {request.state.value}"
