"""Every message, made from the worst-case values of people and registries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache

from bot.domain.audit.events import EventTag
from bot.domain.commands.audit import ShowAudit
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.monitoring import MonitorAdd, MonitorShow
from bot.domain.commands.policy import ShowPolicy
from bot.domain.commands.promotions import Approve, Validate
from bot.domain.core.actors import Automation, Client
from bot.domain.core.sentence import Code, Mention, MessageLink, Name, Sentence, say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident import IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.proposals.proposal import ProposalState
from bot.domain.policy.messages import describe_rules
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import (
    PendingApprovers,
    approval_invitation,
    describe_starter,
    waiting_for_approvers,
)
from bot.domain.promotions.model_overview import ModelView
from bot.domain.promotions.request import RequestSnapshot, RequestState
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import VersionRef
from bot.domain.registry.new_version_messages import describe_new_version
from bot.domain.rollbacks.history import TimeWindow
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import TransitionKind
from bot.ports import NO_LINKS
from bot.registry.mlflow.adapter import links
from bot.slack.commands import help_text
from bot.slack.commands.rendering import render
from bot.slack.core import blocks
from bot.slack.core.answer import MAX_BUTTON_VALUE, RenderContext
from bot.slack.core.blocks import Message
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import incident_card
from bot.slack.monitoring.incident_review import review_message
from bot.slack.monitoring.proposal_card import proposal_card
from bot.slack.promotions import request_card
from bot.slack.registry import answers as registry_answers
from bot.slack.registry import comparison
from bot.slack.registry.unfurl import version_unfurl
from bot.slack.rollbacks.history import timeline_message
from bot.slack.transitions import drift_notice
from tests.support.slack.worst_case_monitors import a_monitor, a_proposal, a_review, a_row, a_view, an_incident
from tests.support.slack.worst_case_values import (
    BOB,
    NOW,
    REASONS,
    TEXTS,
    a_bare_card,
    a_block,
    a_card,
    a_comparison,
    a_freeze,
    a_link,
    a_model,
    a_policy,
    a_request,
    a_term,
    a_timeline,
    a_version,
    a_wait,
    seen,
    votes,
)

A_MONITOR = MonitorShow(model="m", name="accuracy")


CARD_LINK = MessageLink("r4k7q", "#ml-models", "See the card", url="https://ci.example/rr?a=1&b=2")


def rendered(command: Command, view: object, answer: Sentence = say(""), *, is_public: bool = False) -> Message:  # noqa: B008 - immutable
    """Return the message that answers a command."""
    return render(command, view, RenderContext(now=NOW, answer=answer, is_public=is_public)).message


def broken_glass(name: str) -> Iterator[tuple[str, Message]]:
    """Yield the cards of a break-glass promotion, before and after its review."""
    moved = replace(a_request(name), state=RequestState.DONE, breaks_glass=True, review_due=NOW)
    yield "card to review", request_card.request_card(moved, [])
    yield "card with an overdue review", request_card.request_card(replace(moved, review_reminded=2), [])
    said = replace(moved, reviewed_by=BOB, reviewed_at=NOW, review_reason=TEXTS[name])
    yield "card with its review", request_card.request_card(said, [])


def findings(name: str) -> Iterator[DriftNotice]:
    """Yield drift notices of each kind, repaired and not, with many lines."""
    new = DriftNotice(
        id="n0123456789abcdef",
        kind=DriftNoticeKind.REGISTERED,
        model=TEXTS[name] or "m",
        at=NOW,
        versions=(7,),
        lines=tuple(describe_new_version(a_version(name))),
    )
    yield from (new, replace(new, versions=tuple(range(1000, 0, -1)), by=BOB))
    lines = tuple(say("{it} went", it=TEXTS[name]) for _ in range(100))
    changed = replace(new, kind=DriftNoticeKind.CHANGED, versions=(), lines=lines, mend=999_999_999)
    yield from (changed, replace(changed, mended_by=BOB, mended_at=NOW), replace(changed, lines=lines[:1], mend=None))


@cache
def every_message(name: str) -> tuple[tuple[str, Message], ...]:
    """Return every kind of message, made from one of the texts, with its label. Don't modify them."""
    return tuple(_messages(name))


def _messages(name: str) -> Iterator[tuple[str, Message]]:
    for state in RequestState:
        yield (
            f"card {state.value}",
            request_card.request_card(
                a_request(name, state),
                votes(50),
                freeze=a_freeze(name),
                status=a_wait(name),
                starter=describe_starter(a_request(name, state), a_policy()),
                block=a_block(name),
            ),
        )
        yield (
            f"ended {state.value}",
            blocks.sentence_message(promotion_messages.outcome_announcement(a_request(name, state))),
        )
        yield (
            f"decided {state.value}",
            blocks.sentence_message(promotion_messages.already_decided_reason(a_request(name, state))),
        )
        yield f"broken glass {state.value}", request_card.request_card(a_request(name, state, breaks_glass=True), [])
    yield "invitation", blocks.sentence_message(approval_invitation(a_request(name), CARD_LINK))
    yield "frozen", request_card.request_card(a_request(name, seen=None), [], freeze=a_freeze(name))
    yield "glass", blocks.sentence_message(break_glass_messages.break_glass_announcement(a_request(name), CARD_LINK))
    yield (
        "counted",
        rendered(
            Approve(request="r4k7q"),
            a_request(name),
            promotion_messages.approval_confirmation(a_request(name), 1, CARD_LINK),
        ),
    )
    version, looked = a_version(name), seen(name)
    for found in (looked, RequestSnapshot(), replace(looked, gates=looked.gates[1:2])):
        wanted = Validate(model="m", version=VersionRef("number", "7"))
        yield f"{len(found.gates)} gates", rendered(wanted, (version, found))
    shown = ShowPolicy.model_construct(model=TEXTS[name] or "m")
    yield "policy", rendered(shown, describe_rules(a_policy(), "m", "0123456789ab"))
    for number in (0, 1, 20, 21):
        found_events = [a_link(name, tag) for tag in EventTag] * number
        unreviewed = break_glass_messages.unreviewed_summary([a_request(name)] * number, NOW)
        yield f"audit of {number}", rendered(ShowAudit(model="m"), (found_events[:number], unreviewed))
    yield from broken_glass(name)
    yield "card by a program", request_card.request_card(a_request(name, requester=Client("ci")), [])
    for number in (0, 1, 20, 21, 1000):
        yield f"{number} models", registry_answers.model_list([a_model(name)] * number, TEXTS[name])
        yield f"{number} requests", registry_answers.request_list([a_request(name)] * number)
        view = ModelView(
            a_model(name),
            [a_version(name)] * number,
            [a_request(name)] * min(number, 2),
            {a_version(name).version: a_block(name)},
        )
        yield f"a model of {number} versions", registry_answers.model_answer(view)
        yield f"history of {number}", timeline_message(a_timeline(name, min(number, 50)))
    yield "a version", registry_answers.version_answer(a_card(name), links("https://mlflow.example:5000/base"))
    yield "a bare version", registry_answers.version_answer(a_bare_card(), NO_LINKS)
    yield from previews(name)
    yield "archive?", registry_answers.archive_question("r4k7q", TEXTS[name] or "m", "v7")
    for finding in findings(name):
        yield f"{finding.kind.value} {len(finding.versions)}", drift_notice.drift_message(finding)
    for number in (1, 2, 99, 100, 101, 1000):
        yield f"{number} versions compared", comparison.comparison_message(a_comparison(name, number))[0]
    yield from histories(name)
    for rows in (0, 1, 20, 21, 1000):
        yield (
            f"{rows} monitors",
            monitoring_answers.monitor_list([a_row(name, MonitorStatus.FAILED)] * rows, NOW, TEXTS[name] or None),
        )
    for stands in MonitorStatus:
        yield f"a monitor, {stands.value}", monitoring_answers.monitor_view(a_view(name, stands))
        yield f"posted, {stands.value}", rendered(A_MONITOR, a_view(name, stands), is_public=True)
    views = [
        replace(a_view(name), monitor=a_monitor(name, id=f"m4k7q{n}")) for n in range(monitoring_answers.MAX_DETAILS)
    ]
    yield "details", monitoring_answers.incident_details(an_incident(name), views)
    yield "no details", monitoring_answers.incident_details(an_incident(name), [])
    added = MonitorAdd(model="m", name="accuracy", settings={"greater_than": "0.8"})
    yield "added", rendered(added, a_monitor(name), monitor_messages.added_answer(a_monitor(name), NOW))
    yield from incidents(name)
    yield "proposal", proposal_card(a_proposal(name))
    for decision in (ProposalState.ADDED, ProposalState.DISMISSED):
        yield f"proposal, {decision.value}", proposal_card(a_proposal(name).with_decision(decision, BOB, NOW))
    yield from helps(name)
    yield from ((f"sentence {number}", blocks.sentence_message(one)) for number, one in enumerate(every_sentence(name)))


def previews(name: str) -> Iterator[tuple[str, Message]]:
    """Yield what's below a link to a version's page, with and without an open request."""
    for request in (None, a_request(name)):
        shown_blocks = version_unfurl(
            a_card(name), MetricCatalog(), request, "https://slack.example.com/archives/C1/p1"
        )
        yield f"a link to a version{' with a request' if request else ''}", blocks.Message("A link", shown_blocks)


def helps(name: str) -> Iterator[tuple[str, Message]]:
    """Yield the menu and the help."""
    yield "menu", help_text.menu()
    yield "help", help_text.help_overview()
    yield "form", help_text.form_offer(say("Missing {what}.", what=TEXTS[name]), "x" * MAX_BUTTON_VALUE)
    yield "help monitor", help_text.group_help("Monitoring")
    for verb in COMMANDS.values():
        yield f"help {verb.verb}", help_text.command_help(verb)


def histories(name: str) -> Iterator[tuple[str, Message]]:
    """Yield timelines: for every kind of transition, at a time, on a day, and before the history begins."""
    yield "history by an automation", timeline_message(a_timeline(name, by=Automation("registry-poll")))
    for kind in TransitionKind:
        yield f"history of a {kind.value}", timeline_message(a_timeline(name, kind=kind, request=None))
    for asked in (
        TimeWindow(NOW),
        TimeWindow(NOW - timedelta(days=9)),
        TimeWindow(NOW, NOW + timedelta(days=1), NOW.date()),
    ):
        found = a_timeline(name, 9)
        for nobody in (replace(found, window=asked, periods=(), after=a_term(name)), replace(found, window=asked)):
            yield f"history at {asked}", timeline_message(nobody)


def incidents(name: str) -> Iterator[tuple[str, Message]]:
    """Yield the message of every kind of incident in every state, with its label."""
    serving = ServingCheck(
        move="m1", model="m", version=999_999_998, lane="i4k7q", asked_at=NOW, seen=TEXTS[name] * 20, confirmed_at=NOW
    )
    over = {"resolved_at": NOW, "resolution": say("{it}.", it=REASONS[name])}
    seen = {"acknowledged_by": BOB, "acknowledged_at": NOW}
    for kind in IncidentKind:
        for doing in IncidentStatus:
            for number, changes in enumerate(({}, over, seen)):
                incident = an_incident(name, kind=kind, doing=doing, **changes)
                state = list(ServingCheckState)[number]
                card = incident_card.card(
                    incident, [a_monitor(name)] * 3, serving=replace(serving, state=state), now=NOW
                )
                yield f"incident {kind.value} {doing.value} {number}", card
                yield f"review {kind.value} {doing.value} {number}", review_message(a_review(incident, name))
                yield (
                    f"acted {kind.value} {doing.value} {number}",
                    blocks.sentence_message(incident_messages.action_taken(incident)),
                )


def every_sentence(name: str) -> Iterator[Sentence]:
    """Yield every sentence that contains outside text."""
    request = a_request(name, RequestState.REJECTED)
    yield promotion_messages.request_confirmation(
        request, CARD_LINK, waiting_for_approvers(PendingApprovers(["S0LEADS", "U0BOB"] * 5, 2), None)
    )
    yield promotion_messages.outcome_announcement(replace(request, decided_by=BOB, outcome=REASONS[name]))
    yield promotion_messages.approval_confirmation(request, 1, replace(CARD_LINK, url=""))
    yield promotion_messages.rejection_confirmation(request)
    yield promotion_messages.cancellation_confirmation(request)
    yield say(
        "{a} {b} {c} {d}", a=Name(TEXTS[name] * 20), b=Code(TEXTS[name] * 20), c=REASONS[name] * 5, d=Mention("U1")
    )
    yield say("{all}", all=[Mention(f"U0{number:09d}") for number in range(400)])
    yield say("{all}", all=[TEXTS[name]] * 50)
