"""Webhook events: retries, limits, and order per endpoint and model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.policy.parser import validate_policy
from bot.ports import ENDPOINT_KINDS, DeliveryOutcome, DeliveryResult, MessageKind, OutboxMessage
from bot.services.core.outbox import Outbox
from bot.webhook_sender import MAX_RETRY_AFTER, WebhookNotifier
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.services.bench import POLICY
from tests.support.services.webhook_events import SECRET, TOKEN, WebhookHarness
from tests.support.waiting import wait_until


def delivering(webhook_harness: WebhookHarness) -> bool:
    """Start delivering what's due, as the clock does repeatedly; return True."""
    webhook_harness.events.deliver()
    return True


# -- retries -----------------------------------------------------------------------------------------------------------


def test_an_event_is_resent_after_a_503_with_the_same_id_and_a_new_signature(webhook_harness: WebhookHarness) -> None:
    webhook_harness.there.replies = [PlannedReply(503), PlannedReply(200)]
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    webhook_harness.bench.clock.advance(seconds=5)
    webhook_harness.events.deliver(patience=10)
    first, second = webhook_harness.there.got
    assert first.body == second.body
    assert first.headers["x-registrar-event-id"] == second.headers["x-registrar-event-id"]
    assert first.headers["x-registrar-timestamp"] != second.headers["x-registrar-timestamp"]
    assert webhook_harness.waiting() == []


@pytest.mark.parametrize(("said", "waits"), [("30", 30), ("86400", MAX_RETRY_AFTER.total_seconds())])
def test_retry_after_is_honored_up_to_a_limit(webhook_harness: WebhookHarness, said: str, waits: float) -> None:
    webhook_harness.there.replies = [PlannedReply(429, headers={"Retry-After": said}), PlannedReply(200)]
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    webhook_harness.bench.clock.advance(seconds=waits - 1)
    webhook_harness.events.deliver(patience=10)
    assert len(webhook_harness.there.got) == 1
    webhook_harness.bench.clock.advance(seconds=1)
    webhook_harness.events.deliver(patience=10)
    assert len(webhook_harness.there.got) == 2


@pytest.mark.parametrize("said", ["", "soon", "Mon, 04 May 2026 12:00:09 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "²"])
def test_any_retry_after_header_is_accepted(webhook_harness: WebhookHarness, said: str) -> None:
    webhook_harness.there.replies = [
        PlannedReply(503, headers={"Retry-After": said.encode().decode("latin-1")}),
        PlannedReply(200),
    ]
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    webhook_harness.bench.clock.advance(minutes=1)
    webhook_harness.events.deliver(patience=10)
    assert len(webhook_harness.there.got) == 2


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_a_refused_event_is_not_resent_and_the_thread_says_so(webhook_harness: WebhookHarness, status: int) -> None:
    webhook_harness.there.replies = [
        PlannedReply(status, headers={"Location": f"{webhook_harness.there.url}/elsewhere"})
    ]
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    assert [got.path for got in webhook_harness.there.got] == [f"/hook?key={TOKEN}"]  # no redirect is followed
    assert webhook_harness.waiting() == []
    assert f"The webhook HOOK_URL rejected this transition's event (HTTP {status}" in " ".join(webhook_harness.told())
    assert webhook_harness.bench.tags()[-1] == EventTag.WEBHOOK_GIVEN_UP.value


def test_an_event_is_dropped_after_24_hours_and_the_thread_says_so(webhook_harness: WebhookHarness) -> None:
    webhook_harness.there.replies = [PlannedReply(500)]
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    webhook_harness.bench.clock.advance(hours=23)
    webhook_harness.events.deliver(patience=10)
    assert len(webhook_harness.waiting()) == 1
    webhook_harness.bench.clock.advance(hours=1)
    webhook_harness.events.deliver(patience=10)
    assert webhook_harness.waiting() == []
    assert "The webhook HOOK_URL didn't accept this transition's event within 1d (HTTP 500). I stopped trying." in (
        webhook_harness.told()
    )


@pytest.mark.parametrize("name", ["HOOK_URL", "HOOK_SECRET"])
def test_an_unset_variable_is_logged_and_retried(
    webhook_harness: WebhookHarness, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = webhook_harness.variables.pop(name)
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    assert f"{name} isn't set" in caplog.text
    assert webhook_harness.there.got == []  # an event is never sent unsigned if it should be signed
    webhook_harness.variables[name] = value
    webhook_harness.bench.clock.advance(seconds=30)
    webhook_harness.events.deliver(patience=10)
    assert len(webhook_harness.there.got) == 1


def test_nothing_secret_is_ever_logged(webhook_harness: WebhookHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="bot")
    webhook_harness.promote()
    for reply in (PlannedReply(500), PlannedReply(429), PlannedReply(404)):
        webhook_harness.there.replies = [reply]
        webhook_harness.events.deliver(patience=10)
        webhook_harness.bench.clock.advance(minutes=5)
    for url in ("http://127.0.0.1:1/" + TOKEN, f"http://{TOKEN}:x/", f"{TOKEN}://a", "http://" + "a" * 70 + TOKEN):
        webhook_harness.variables["HOOK_URL"] = url
        webhook_harness.promote(2 if webhook_harness.bench.registry.holders() == [4] else 4)
        webhook_harness.bench.clock.advance(minutes=5)
        webhook_harness.events.deliver(patience=10)
    ours = [record for record in caplog.records if record.name.startswith("bot")]
    assert len(ours) >= 7
    assert TOKEN not in "".join(logging.Formatter().format(record) for record in ours)
    assert SECRET not in caplog.text


def test_an_endpoint_removed_from_the_policy_gets_no_event(webhook_harness: WebhookHarness) -> None:
    webhook_harness.promote()
    webhook_harness.bench.context.active_policy.replace(validate_policy(POLICY), "new")
    webhook_harness.events.deliver(patience=10)
    assert (webhook_harness.there.got, webhook_harness.waiting()) == ([], [])


# -- order and independence --------------------------------------------------------------------------------------------


def test_events_of_one_model_are_ordered_and_do_not_delay_another_model(webhook_harness: WebhookHarness) -> None:
    webhook_harness.there.replies = [PlannedReply(503, headers={"Retry-After": "30"}), PlannedReply(200)]
    webhook_harness.promote(4)
    webhook_harness.events.deliver(patience=10)
    webhook_harness.promote(2)
    webhook_harness.promote(4, model="churn-eu")
    webhook_harness.events.deliver(patience=10)
    assert [(one["model"], one["version"]) for one in webhook_harness.heard()] == [("churn", 4), ("churn-eu", 4)]
    webhook_harness.bench.clock.advance(minutes=1)
    webhook_harness.events.deliver(patience=10)
    assert [(one["model"], one["version"]) for one in webhook_harness.heard()[2:]] == [("churn", 4), ("churn", 2)]


def test_a_hanging_endpoint_does_not_delay_cards_or_other_endpoints(make: Callable[..., WebhookHarness]) -> None:
    with run_receiver() as other:
        webhook_harness = make([{"url": "{there}"}, {"url": other.url}])
        hangs = threading.Event()
        webhook_harness.there.replies = [PlannedReply(hold=hangs)]
        webhook_harness.promote()
        going = threading.Thread(target=partial(webhook_harness.events.deliver, patience=20))
        going.start()
        assert webhook_harness.there.is_asked.wait(10)
        assert other.is_asked.wait(10)
        webhook_harness.slack.deliver()  # while the endpoint still hangs
        assert {MessageKind.CARD, MessageKind.DIRECT} <= {note.kind for note in webhook_harness.fake_notifier.told}
        assert MessageKind.EVENT not in {note.kind for note in webhook_harness.fake_notifier.told}
        assert not hangs.is_set()
        hangs.set()
        going.join(10)
        assert webhook_harness.waiting() == []


def test_an_endpoint_gets_all_events_while_others_hang_or_fail(make: Callable[..., WebhookHarness]) -> None:
    with run_receiver() as hanging, run_receiver() as failing:
        webhook_harness = make([{"url": hanging.url}, {"url": failing.url}, {"url": "{there}"}])
        hanging.replies, failing.replies = [PlannedReply(hold=threading.Event())], [PlannedReply(500)]
        webhook_harness.promote()
        webhook_harness.events.deliver()
        assert hanging.is_asked.wait(10)
        for version in (2, 4, 2, 4):
            webhook_harness.promote(version)
            webhook_harness.promote(version, model="churn-eu")
            webhook_harness.events.deliver()
        wait_until(lambda: delivering(webhook_harness) and len(webhook_harness.there.got) == 9)
        assert [one["version"] for one in webhook_harness.heard() if one["model"] == "churn"] == [4, 2, 4, 2, 4]
        assert len(hanging.got) == 1  # and it still hangs
        assert failing.got
        hanging.replies[0].hold.set()  # type: ignore[union-attr]  # it has one
        webhook_harness.events.close()


def test_an_endpoint_with_a_hundred_pending_models_does_not_delay_others(make: Callable[..., WebhookHarness]) -> None:
    """That's more than one read of the outbox returns."""
    with run_receiver() as hanging:
        webhook_harness = make([{"url": hanging.url}, {"url": "{there}"}])
        hanging.replies = [PlannedReply(hold=threading.Event())]
        webhook_harness.promote()
        first = webhook_harness.waiting()[0]
        with webhook_harness.bench.ledger.write() as tx:
            for number in range(150):
                tx.add_message(replace(first, key=f"event:{number}", lane=f"event:{first.to}:{number}"))
        webhook_harness.promote(2)
        webhook_harness.events.deliver()
        wait_until(lambda: delivering(webhook_harness) and len(webhook_harness.there.got) == 2)
        assert [one["version"] for one in webhook_harness.heard()] == [4, 2]
        hanging.replies = [PlannedReply(hold=hanging.replies[0].hold), PlannedReply(200)]
        hanging.replies[0].hold.set()  # type: ignore[union-attr]  # it has one
        webhook_harness.events.close()


def test_an_unresponsive_endpoint_is_paused_briefly(webhook_harness: WebhookHarness) -> None:
    called: list[str] = []

    def variable(name: str) -> str:
        called.append(name)
        return "http://127.0.0.1:1/"  # a port without a listener

    clock = webhook_harness.bench.clock
    webhooks = WebhookNotifier(lambda: webhook_harness.bench.policy, str, variable, clock.now)
    notes = [
        OutboxMessage(key=f"event:{n}", lane=f"{n}", kind=MessageKind.EVENT, to="HOOK_URL", data={"body": "{}"})
        for n in range(3)
    ]
    answers = [webhooks.deliver(note) for note in notes]
    assert [one.outcome for one in answers] == [DeliveryOutcome.RETRY] * 3
    assert called.count("HOOK_URL") == 1
    clock.advance(seconds=10)
    webhooks.deliver(notes[1])
    assert called.count("HOOK_URL") == 2


def test_an_event_is_resent_with_its_id_after_a_crash(webhook_harness: WebhookHarness) -> None:
    class Dying(WebhookNotifier):
        def deliver(self, note: OutboxMessage) -> DeliveryResult:
            super().deliver(note)
            raise SystemExit

    webhook_harness.promote()
    dying = Dying(
        lambda: webhook_harness.bench.context.policy,
        str,
        webhook_harness.variables.get,
        webhook_harness.bench.clock.now,
    )
    with pytest.raises(SystemExit):
        Outbox(webhook_harness.bench.context, dying, kinds=ENDPOINT_KINDS).deliver()
    webhook_harness.bench.clock.advance(seconds=31)  # its lease has expired
    webhook_harness.events.deliver(patience=10)
    assert len({got.headers["x-registrar-event-id"] for got in webhook_harness.there.got}) == 1
    assert len(webhook_harness.there.got) == 2
    assert webhook_harness.waiting() == []


def test_the_slack_notifier_never_gets_an_event(webhook_harness: WebhookHarness) -> None:
    webhook_harness.promote()
    webhook_harness.slack.deliver()
    assert MessageKind.EVENT not in {note.kind for note in webhook_harness.fake_notifier.told}
    assert len(webhook_harness.waiting()) == 1


def test_a_misrouted_event_is_refused_by_the_slack_notifier(webhook_harness: WebhookHarness) -> None:
    note = OutboxMessage(key="event:x", lane="x", kind=MessageKind.EVENT, to="NOBODY", data={"body": "{}"})
    assert WebhookNotifier(lambda: webhook_harness.bench.policy, str).deliver(note).outcome is DeliveryOutcome.REFUSED
