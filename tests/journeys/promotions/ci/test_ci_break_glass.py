"""A CI job that breaks the glass."""

from __future__ import annotations

from bot.domain.audit.events import EventTag
from bot.domain.promotions.request import RequestState
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.terminal.ci_job import wait_for_request


class TestBreakingTheGlass:
    def test_an_admin_moves_it_past_approvals_and_the_channel_is_alarmed(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        alarm = message_text(app.bob.waits_for(CHANNEL, lambda message: "broke the glass" in message_text(message)))
        assert "fraud in v3" in alarm
        assert "Done" in app.answer(dave, "read back from MLflow")
        assert app.production() == [4]
        assert EventTag.BROKE_GLASS.value in app.audit()

    def test_another_person_reviews_it_by_command(self, app: RunningApp) -> None:
        request = self.broken(app)
        app.alice.types(CHANNEL, f'/model review {request} --reason "fine"')
        app.answer(app.alice, "Only approvers and admins")
        dave = app.slack.person("dave")
        dave.types(CHANNEL, f'/model review {request} --reason "fine"')
        app.answer(dave, "someone else has to review it")
        app.bob.types(CHANNEL, f'/model review {request} --reason "v3 was down"')
        app.answer(app.bob, "Reviewed:")
        card = app.card(holds="Reviewed by")
        assert "v3 was down" in message_text(card)
        app.slack.wait_for(lambda: any("reviewed it: v3 was down" in message_text(one) for one in app.bob.thread(card)))
        assert EventTag.REVIEWED.value in app.audit()

    def test_another_person_reviews_it_by_the_cards_button(self, app: RunningApp) -> None:
        self.broken(app)
        card = app.card(holds="Review due by")
        app.bob.clicks(card, "Review…")
        app.bob.waits_for_modal()
        app.bob.submits({"reason": "v3 was down"})
        assert "v3 was down" in message_text(app.card(holds="Reviewed by"))

    def test_who_broke_it_is_not_even_shown_the_form(self, app: RunningApp) -> None:
        self.broken(app)
        dave = app.slack.person("dave")
        dave.clicks(app.card(holds="Review due by"), "Review…")
        app.answer(dave, "someone else has to review it")

    def test_without_a_reason_the_command_opens_the_form(self, app: RunningApp) -> None:
        request = self.broken(app)
        app.bob.types(CHANNEL, f"/model review {request}")
        app.bob.waits_for_modal()

    def broken(self, app: RunningApp) -> str:
        """Let Dave break the glass; return the request's id."""
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        app.answer(dave, "read back from MLflow")
        with app.ledger.read() as reading:
            return reading.requests_to_review()[0].id

    def test_nobody_else_does(self, app: RunningApp) -> None:
        app.bob.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        app.answer(app.bob, "Only those with the role admin")
        assert app.production() == [3]

    def test_without_a_reason_nothing_is_done(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn 4 production --break-glass")
        app.answer(dave, "needs a reason")
        assert app.production() == [3]

    def test_it_is_typed_whole_and_never_hidden_behind_a_form(self, app: RunningApp) -> None:
        dave = app.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn --break-glass")
        app.answer(dave, "missing")
        assert app.production() == [3]

    def test_what_waits_for_approvals_is_set_aside(self, app: RunningApp) -> None:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        pending = wait_for_request(app)
        dave = app.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 2 production --break-glass --reason "fraud in v3"')
        app.answer(dave, "read back from MLflow")
        with app.ledger.read() as reading:
            assert reading.request(pending).state is RequestState.STALE
        assert app.production() == [2]
