"""Break glass in Slack and from CI."""

from __future__ import annotations

from bot.domain.audit.events import EventTag
from bot.domain.promotions.request import RequestState
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.terminal.ci_job import wait_for_request


class TestBreakGlass:
    def test_an_admin_promotes_without_approvals_and_the_channel_is_alerted(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        alarm = message_text(app.bob.waits_for(CHANNEL, lambda message: "broke glass" in message_text(message)))
        assert "fraud in v3" in alarm
        assert "Done" in app.answer(dave, "verified in MLflow")
        assert app.production() == [4]
        assert EventTag.BROKE_GLASS.value in app.audit()

    def test_another_person_can_review_it_by_command(self, app: RunningApp) -> None:
        request = self.broken(app)
        app.alice.types(CHANNEL, f'/model review {request} --reason "fine"')
        app.answer(app.alice, "Only approvers and admins")
        dave = app.slack.person("dave")
        dave.types(CHANNEL, f'/model review {request} --reason "fine"')
        app.answer(dave, "someone else has to review it")
        app.bob.types(CHANNEL, f'/model review {request} --reason "v3 was down"')
        app.answer(app.bob, "Reviewed ")
        card = app.card(holds="Reviewed by")
        assert "v3 was down" in message_text(card)
        dave.waits_for_direct_message(lambda message: "reviewed your break-glass promotion" in message_text(message))
        assert EventTag.REVIEWED.value in app.audit()

    def test_another_person_can_review_it_with_the_card_s_button(self, app: RunningApp) -> None:
        self.broken(app)
        card = app.card(holds="Review due by")
        app.bob.clicks(card, "Review…")
        app.bob.waits_for_modal()
        app.bob.submits({"reason": "v3 was down"})
        assert "v3 was down" in message_text(app.card(holds="Reviewed by"))

    def test_the_person_who_broke_glass_is_not_shown_the_form(self, app: RunningApp) -> None:
        self.broken(app)
        dave = app.slack.person("dave")
        dave.clicks(app.card(holds="Review due by"), "Review…")
        app.answer(dave, "someone else has to review it")
        assert dave.modals() == []

    def test_without_a_reason_the_command_opens_the_form(self, app: RunningApp) -> None:
        request = self.broken(app)
        app.bob.types(CHANNEL, f"/model review {request}")
        assert "fraud in v3" in message_text(app.bob.waits_for_modal())

    def broken(self, app: RunningApp) -> str:
        """Let Dave break glass; return the request's id."""
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        app.answer(dave, "verified in MLflow")
        with app.ledger.read() as reading:
            return reading.requests_to_review()[0].id

    def test_no_one_else_can_break_glass(self, app: RunningApp) -> None:
        app.bob.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        app.answer(app.bob, "Only admins can")
        assert app.production() == [3]

    def test_without_a_reason_nothing_changes(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn 4 production --break-glass")
        app.answer(dave, "needs a reason")
        assert app.production() == [3]

    def test_it_must_be_typed_in_full_and_opens_no_form(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn --break-glass")
        app.answer(dave, "Missing")
        assert app.production() == [3]

    def test_a_pending_request_ends(self, app: RunningApp) -> None:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        pending = wait_for_request(app)
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 2 production --break-glass --reason "fraud in v3"')
        app.answer(dave, "verified in MLflow")
        with app.ledger.read() as reading:
            assert reading.request(pending).state is RequestState.STALE
        assert app.production() == [2]
