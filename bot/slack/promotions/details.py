"""Render a request's details: everything that its card leaves out, as blocks for a modal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slack_sdk.models.blocks import Block

from bot.domain.integrity.digest import VersionDigest
from bot.domain.integrity.messages import describe_digest
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.slack.core.blocks import (
    MAX_ROWS_LENGTH,
    code,
    context_line,
    escape_and_cut,
    format_time,
    mention_actor,
    row_sections,
    section,
    to_mrkdwn,
)
from bot.slack.promotions.metric_and_gate_lines import callers_text, change_line, gate_rows, metric_rows, reported_text

MAX_GATES, MAX_METRICS = 100, 40
MAX_CALLER_CHANGES = 20
MAX_REPORTED = 20
MAX_VOTES = 20


def request_details(
    request: Request, votes: Sequence[Vote], metrics: MetricCatalog, digest: VersionDigest | None = None
) -> list[Block]:
    """Return what the ledger knows about a request: its reason, gates, metrics, callers, files, votes, and commands.

    `digest` is the digest of the version's files, if they're hashed.
    """
    seen, is_overridden = request.seen or RequestSnapshot(), request.overridden_by is not None
    blocks: list[Block] = [section("\n".join(_opening_lines(request)))]
    for title, rows in (
        ("Gates", gate_rows(seen, is_overridden=is_overridden, limit=MAX_GATES, max_length=MAX_ROWS_LENGTH)),
        ("Metrics", [*metric_rows(seen, metrics, MAX_METRICS), reported_text(seen, metrics, MAX_REPORTED)]),
        ("Callers", [callers_text(request, seen.callers, MAX_CALLER_CHANGES)]),
        ("Files", [to_mrkdwn(describe_digest(digest))] if digest else []),
        ("Votes", [_vote_row(vote) for vote in votes[:MAX_VOTES]]),
    ):
        shown = [row for row in rows if row]
        blocks += row_sections([f"*{title}*", *shown]) if shown else []
    blocks.append(context_line("  ·  ".join(_reference_texts(request))))
    return blocks


def _opening_lines(request: Request) -> Iterator[str]:
    yield change_line(request)
    requester = to_mrkdwn(promotion_messages.describe_requester(request))
    yield f"Requested by {requester}, {format_time(request.opened_at)}"
    if request.reason:
        yield f"> {escape_and_cut(request.reason, 1000)}"
    if request.overridden_by is not None:
        reason = escape_and_cut(request.override_reason, 1000)
        yield f"🔶 Gates overridden by {mention_actor(request.overridden_by)}: {reason}"


def _vote_row(vote: Vote) -> str:
    sign, verb = ("✅", "approved") if vote.choice is VoteChoice.APPROVE else ("❌", "rejected")
    why = f": {escape_and_cut(vote.reason, 300)}" if vote.reason else ""
    lapsed = f" (no longer counts: {promotion_messages.lapse_reason(vote.lapsed)})" if vote.lapsed else ""
    return f"{sign} {mention_actor(vote.voter)} {verb}, {format_time(vote.at)}{why}{lapsed}"


def _reference_texts(request: Request) -> Iterator[str]:
    yield f"Request {code(request.id)}"
    if request.state is RequestState.PENDING:
        rejection = f'/model reject {request.id} --reason "…"'
        yield f"To decide with a command: {code(f'/model approve {request.id}')} or {code(rejection)}"
    if request.seen and request.seen.policy:
        yield f"Policy {code(request.seen.policy)}"
