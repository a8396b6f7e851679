"""Approvers are named and notified, and cards show what blocks a request, over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Person
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, POLICY, RunningApp, message_text, running_app
from tests.support.app.harness import JSON, audit_links, reply_to, type_and_read_reply
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

Run = Callable[..., RunningApp]


@pytest.fixture
def run(slack: LocalSlack, tmp_path: Path) -> Iterator[Run]:
    """Return the function that starts the bot with a rule for Production."""
    with ExitStack() as stack:

        def start(**rule: Any) -> RunningApp:
            models = {"*": {"production": {"approvers": ["lead"], "expires_after": "24h", **rule}}}
            app: AbstractContextManager[RunningApp] = running_app(
                slack, tmp_path, MemoryRegistry(), policy=validate_policy(POLICY | {"models": models})
            )
            return stack.enter_context(app)

        yield start


def shown(app: RunningApp, card: JSON) -> str:
    """Return a card's current text."""
    return next(message_text(one) for one in app.bob.sees(CHANNEL) if one["ts"] == card["ts"])


def approve(card: JSON) -> JSON:
    """Return a card's Approve button."""
    actions = next(block for block in card["blocks"] if block["type"] == "actions")
    found: JSON = actions["elements"][0]
    return found


def test_the_card_mentions_who_it_is_waiting_for_and_follows_the_votes(run: Run) -> None:
    app = run(required=2)
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    [posted] = [one for one in app.slack.calls("chat.postMessage") if "Promote churn v4" in str(one)]
    assert "Waiting for <@U0BOB> and <@U0CAROL>." in str(posted)
    app.bob.clicks(card, "Approve")
    wait_until(lambda: "Waiting for <@U0CAROL>." in shown(app, card))
    app.slack.person("carol").clicks(card, "Approve")
    wait_until(lambda: "is in Production" in shown(app, card))
    assert "Waiting for" not in shown(app, card)


def test_a_group_is_mentioned_as_a_group(run: Run, slack: LocalSlack) -> None:
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    app = run(approvers=["S0LEADS", "U0DAVE"])
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert "Waiting for <!subteam^S0LEADS> or <@U0DAVE>." in message_text(app.card())


def test_each_approver_gets_one_direct_message_with_the_link_and_no_mention(run: Run, slack: LocalSlack) -> None:
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    app = run(approvers=["S0LEADS", "U0BOB"], tell_approvers="direct")
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    assert "Waiting for leads or bob." in message_text(card)
    link = f"archives/C0MLMODELS/p{card['ts'].replace('.', '')}|Open the card>"
    for person in (app.bob, app.slack.person("carol")):
        told = message_text(person.waits_for_direct_message(lambda message: "requested" in message_text(message)))
        assert link in told
        assert "<@U0ALICE> requested `churn` `v3` → `v4` in Production." in told
    app.bob.clicks(card, "Approve")
    wait_until(lambda: "is in Production" in shown(app, card))
    assert [len(who.direct_messages()) for who in (app.bob, app.slack.person("carol"))] == [1, 1]


def test_no_one_is_notified_if_the_policy_says_so(run: Run) -> None:
    app = run(tell_approvers="none")
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = message_text(app.card())
    assert "Waiting for bob or carol." in card
    assert "<@U0BOB>" not in card
    assert app.bob.direct_messages() == []


def test_a_request_without_enough_approvers_is_refused(run: Run) -> None:
    app = run(required=2)
    answer = type_and_read_reply(app.bob, "/model promote churn 4 production")
    assert "it needs 2 approvals, but besides you, only <@U0CAROL> can approve." in answer
    assert "Someone who isn't an approver can request it." in answer
    assert audit_links(app.ledger, EventTag.REQUEST_OPENED) == []
    [refused] = audit_links(app.ledger, EventTag.PROMOTION_REFUSED)
    assert refused.event.evidence["error"] == "TooFewApprovers"


def test_a_request_is_opened_if_slack_cannot_list_the_group(run: Run, slack: LocalSlack) -> None:
    app = run(approvers=["S0LEADS"], required=2, expires_after="1h")
    slack.fail("usergroups.list", "missing_scope", times=None)
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert "Waiting for 2 approvals from <!subteam^S0LEADS>." in message_text(app.card())


def test_during_a_freeze_the_headline_says_why_and_approve_is_not_highlighted(run: Run) -> None:
    app = run()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert approve(app.card())["style"] == "primary"
    app.bob.types(CHANNEL, '/model freeze churn --reason "end of quarter"')
    frozen = app.card(holds="❄️ churn v4 → Production is frozen: end of quarter")
    assert "style" not in approve(frozen)
    assert "style" not in approve_at_home(app)
    app.bob.types(CHANNEL, "/model unfreeze churn")
    assert approve(app.card(holds="Promote churn v4 to Production?"))["style"] == "primary"


def approve_at_home(app: RunningApp) -> JSON:
    """Return the Approve button of the first request on Bob's Home tab."""
    app.bob.opens_home()
    home = app.bob.waits_for_home(lambda view: "request_approve" in str(view))
    return approve(home)


def test_a_blocked_request_s_headline_says_what_it_needs(run: Run) -> None:
    app = run(gates=[{"metric": "accuracy", "at_least": 0.85}], override=["admin"])
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card(holds="⛔ churn v4 → Production is blocked: accuracy failed, override needed")
    assert "style" not in approve(card)
    assert "Waiting for <@U0BOB> or <@U0CAROL>." in message_text(card)
    app.bob.clicks(card, "Approve")
    wait_until(lambda: "Waiting for <@U0DAVE> to override the failed gates." in shown(app, card))


def test_a_changed_tell_approvers_setting_ends_no_pending_request(run: Run) -> None:
    app = run()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    models = {"*": {"production": {"approvers": ["lead"], "expires_after": "24h", "tell_approvers": "none"}}}
    app.registrar.context.active_policy.replace(validate_policy(POLICY | {"models": models}), "edited")
    assert app.registrar.request_upkeep.end_outdated() == 0
    app.bob.clicks(card, "Approve")
    wait_until(lambda: app.registry.version("churn", 4).stage is Stage.PRODUCTION)


# -- people of an Enterprise Grid --------------------------------------------------------------------------------------

ACME = {"id": "E0ACME", "name": "Acme"}


def test_someone_from_another_grid_workspace_can_decide_by_click_and_form(run: Run, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise=ACME)
    app = run()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    app.bob.clicks(card, "Reject")
    app.bob.waits_for_modal()
    assert app.bob.submits({"reason": "too early"}) is None
    wait_until(lambda: "rejected" in shown(app, card))
    [rejected] = audit_links(app.ledger, EventTag.REJECTED)
    assert rejected.event.actor == Person("T0LOCAL", "U0BOB")


def test_someone_from_another_grid_workspace_sees_their_reviews(run: Run, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise=ACME)
    app = run()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.card()
    app.bob.opens_home()
    home = app.bob.waits_for_home(lambda view: "request_approve" in str(view))
    app.bob.clicks(home, "Approve")
    assert wait_until(lambda: app.registry.version("churn", 4).stage is Stage.PRODUCTION)


def test_someone_from_another_grid_workspace_cannot_approve_their_own_request(run: Run, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise=ACME)
    app = run()
    type_and_read_reply(app.bob, "/model promote churn 4 production")  # otherwise, it could come after the click
    card = app.card()
    assert "your own request" in reply_to(app.bob, lambda: app.bob.clicks(card, "Approve"))
    assert audit_links(app.ledger, EventTag.VOTED) == []


def test_a_member_of_the_grid_but_not_of_this_workspace_is_a_stranger(run: Run, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise=ACME, teams=["T0HOME"])
    app = run()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    assert "Only members of this workspace" in reply_to(app.bob, lambda: app.bob.clicks(card, "Approve"))
