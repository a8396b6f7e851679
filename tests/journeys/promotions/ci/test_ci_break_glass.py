"""A CI job that breaks the glass."""

from __future__ import annotations

from bot.domain.approvals import RequestState
from bot.domain.events import Tag
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.app.ci_job import request_of


class TestBreakingTheGlass:
    def test_an_admin_moves_it_past_approvals_and_the_channel_is_alarmed(self, world: RunningApp) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        alarm = message_text(world.bob.waits_for(CHANNEL, lambda message: "broke the glass" in message_text(message)))
        assert "fraud in v3" in alarm
        assert "Done" in world.answer(dave, "read back from MLflow")
        assert world.production() == [4]
        assert Tag.BROKE_GLASS.value in world.audit()

    def test_another_person_reviews_it_by_command(self, world: RunningApp) -> None:
        request = self.broken(world)
        world.alice.types(CHANNEL, f'/model review {request} --reason "fine"')
        world.answer(world.alice, "Only approvers and admins")
        dave = world.slack.person("dave")
        dave.types(CHANNEL, f'/model review {request} --reason "fine"')
        world.answer(dave, "someone else has to review it")
        world.bob.types(CHANNEL, f'/model review {request} --reason "v3 was down"')
        world.answer(world.bob, "Reviewed:")
        card = world.card(holds="Reviewed by")
        assert "v3 was down" in message_text(card)
        world.slack.wait_for(
            lambda: any("reviewed it: v3 was down" in message_text(one) for one in world.bob.thread(card))
        )
        assert Tag.REVIEWED.value in world.audit()

    def test_another_person_reviews_it_by_the_cards_button(self, world: RunningApp) -> None:
        self.broken(world)
        card = world.card(holds="Review due by")
        world.bob.clicks(card, "Review…")
        world.bob.waits_for_modal()
        world.bob.submits({"reason": "v3 was down"})
        assert "v3 was down" in message_text(world.card(holds="Reviewed by"))

    def test_who_broke_it_is_not_even_shown_the_form(self, world: RunningApp) -> None:
        self.broken(world)
        dave = world.slack.person("dave")
        dave.clicks(world.card(holds="Review due by"), "Review…")
        world.answer(dave, "someone else has to review it")

    def test_without_a_reason_the_command_opens_the_form(self, world: RunningApp) -> None:
        request = self.broken(world)
        world.bob.types(CHANNEL, f"/model review {request}")
        world.bob.waits_for_modal()

    def broken(self, world: RunningApp) -> str:
        """Let Dave break the glass; return the request's id."""
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        world.answer(dave, "read back from MLflow")
        with world.ledger.read() as reading:
            return reading.to_review()[0].id

    def test_nobody_else_does(self, world: RunningApp) -> None:
        world.bob.types(CHANNEL, '/model promote churn 4 production --break-glass --reason "fraud in v3"')
        world.answer(world.bob, "Only those with the role admin")
        assert world.production() == [3]

    def test_without_a_reason_nothing_is_done(self, world: RunningApp) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn 4 production --break-glass")
        world.answer(dave, "needs a reason")
        assert world.production() == [3]

    def test_it_is_typed_whole_and_never_hidden_behind_a_form(self, world: RunningApp) -> None:
        dave = world.slack.person("dave")
        dave.types(CHANNEL, "/model promote churn --break-glass")
        world.answer(dave, "missing")
        assert world.production() == [3]

    def test_what_waits_for_approvals_is_set_aside(self, world: RunningApp) -> None:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        pending = request_of(world)
        dave = world.slack.person("dave")
        dave.types(CHANNEL, '/model promote churn 2 production --break-glass --reason "fraud in v3"')
        world.answer(dave, "read back from MLflow")
        with world.ledger.read() as reading:
            assert reading.request(pending).state is RequestState.STALE
        assert world.production() == [2]
