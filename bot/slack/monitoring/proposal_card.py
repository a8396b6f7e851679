"""The card for a monitor that an agent proposes. The agent's text is data: escaped, cut, and never formatted."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, PlainTextObject, SectionBlock

from bot.domain.commands.base import MAX_REASON_LENGTH
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.proposals import messages as proposal_messages
from bot.domain.monitoring.proposals.proposal import MonitorProposal, ProposalState
from bot.domain.policy.monitor_config import MonitorConfig, rule_sentence
from bot.slack.core.blocks import Message, build_message, code, context_line, header, section, to_mrkdwn

ADD, DISMISS = "proposal_add", "proposal_dismiss"
MAX_QUERY_LENGTH = 300  # characters of a query; the audit log has all of it

_ICONS = {ProposalState.OPEN: "💡", ProposalState.ADDED: "✅", ProposalState.DISMISSED: "⚪"}


def proposal_card(proposal: MonitorProposal) -> Message:
    """Return a proposed monitor's message as it should look now. Its buttons carry only the proposal's ID."""
    monitor = proposal.monitor
    blocks: list[Block] = [
        header(f"{_ICONS[proposal.state]} {_title(proposal)}"),
        section(to_mrkdwn(rule_sentence(monitor.rule)) + " " + to_mrkdwn(monitor_messages.action_sentence(monitor))),
        section(_source_lines(monitor.rule)),
        section(f"*Backtest*\n{to_mrkdwn(proposal.backtest)}"),
        # Plain text, in which Slack formats nothing.
        SectionBlock(text=PlainTextObject(text=_quoted_reason(proposal), emoji=False)),
    ]
    decided = proposal_messages.decision(proposal)
    if decided is None:
        blocks.append(ActionsBlock(block_id=f"proposal:{proposal.id}", elements=_buttons(proposal)))
    else:
        blocks.append(section(to_mrkdwn(decided)))
    blocks.append(context_line(to_mrkdwn(proposal_messages.proposer(proposal))))
    name = f"{code(monitor.model, 120)} {code(monitor.name)}"
    return build_message(f"{code(str(proposal.agent), 120)} proposes a monitor: {name}", blocks)


def _quoted_reason(proposal: MonitorProposal) -> str:
    return f"Reason: “{truncate(sanitize_text(proposal.reason), MAX_REASON_LENGTH)}”"


def _title(proposal: MonitorProposal) -> str:
    """Return the title; the agent's name is set apart by quotation marks that it can't close."""
    agent = sanitize_text(proposal.agent.name).translate({ord("“"): "'", ord("”"): "'", ord('"'): "'"})
    model = truncate(sanitize_text(proposal.monitor.model), 60)
    return f"“{truncate(agent, 40)}” proposes a monitor: {model} {proposal.monitor.name}"


def _source_lines(rule: MonitorConfig) -> str:
    """Return where the values come from, with the queries as code."""
    queries = [code(truncate(query, MAX_QUERY_LENGTH)) for query in (rule.query, rule.of) if query]
    return f"*Source*\n{code(rule.source)} {' out of '.join(queries)}"


def _buttons(proposal: MonitorProposal) -> list[ButtonElement]:
    return [
        ButtonElement(text="Add monitor", action_id=ADD, value=proposal.id, style="primary"),
        ButtonElement(text="Dismiss", action_id=DISMISS, value=proposal.id),
    ]
