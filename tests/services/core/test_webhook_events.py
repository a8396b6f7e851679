"""Webhook events: their content, recipients, and signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

import pytest

from bot.domain.policy.policy import unsigned_endpoints
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ports import Claim, MessageKind, OutboxMessage
from tests.support.services.webhook_events import SECRET, TOKEN, WebhookHarness

# -- events ------------------------------------------------------------------------------------------------------------


def test_a_promotion_is_sent_with_a_valid_signature(webhook_harness: WebhookHarness) -> None:
    move = webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    [got] = webhook_harness.there.got
    stamp = got.headers["x-registrar-timestamp"]
    assert int(stamp) == webhook_harness.bench.clock.now().timestamp()
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-registrar-signature"] == f"v1={signed}"
    assert got.headers["x-registrar-event-id"] == f"event:{move}:HOOK_URL"
    assert got.headers["content-type"] == "application/json"
    assert json.loads(got.body) == {
        "event": "moved",
        "id": move,
        "model": "churn",
        "version": 4,
        "stage": "Production",
        "previous": 3,
        "cause": "promotion",
        "actor": "slack:T1/UBOB",
        "request": move.partition(":")[2],
        "reason": "better f1",
        "at": webhook_harness.bench.clock.now().isoformat(),
        "requester": "slack:T1/UALICE",
        "approvers": ["slack:T1/UBOB"],
        "overridden_by": None,
        "override_reason": "",
    }


@pytest.mark.parametrize(
    "name",
    ["отток", "churn-🚀", "مغادرة", "a\nX-Registrar-Signature: v1=00", "tab\tand\x7f", "50% off", " churn ", "é" * 256],
)
def test_events_arrive_for_any_model_name(webhook_harness: WebhookHarness, name: str) -> None:
    key = f"event:rollback:{name}:promotion:r4k7q:HOOK_URL"
    body = json.dumps({"model": name}, ensure_ascii=False)
    data = {"body": body, "thread": "", "model": name, "version": 4, "shown": "HOOK_URL"}
    with webhook_harness.bench.ledger.write() as tx:
        tx.add_message(
            OutboxMessage(key=key, lane=f"event:HOOK_URL:{name}", kind=MessageKind.EVENT, to="HOOK_URL", data=data)
        )
    webhook_harness.events.deliver(patience=10)
    [got] = webhook_harness.there.got
    assert json.loads(got.body) == {"model": name}
    assert unquote(got.headers["x-registrar-event-id"]) == key
    assert got.headers["x-registrar-event-id"].isascii()
    stamp = got.headers["x-registrar-timestamp"]
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-registrar-signature"] == f"v1={signed}"
    assert webhook_harness.waiting() == []


def test_an_event_that_failed_because_of_its_model_name_is_sent(webhook_harness: WebhookHarness) -> None:
    """An older release couldn't send it, and kept postponing it."""
    webhook_harness.promote()
    [note] = webhook_harness.waiting()
    stuck = replace(note, key="event:rollback:отток:x:HOOK_URL", lane="event:HOOK_URL:отток")
    with webhook_harness.bench.ledger.write() as tx:
        tx.add_message(stuck)
        late = next(one for one in tx.due_messages(webhook_harness.bench.clock.now()) if one.key == stuck.key)
        claimed = tx.claim_message(
            late, Claim("gone", webhook_harness.bench.clock.now(), webhook_harness.bench.clock.now())
        )
        assert claimed is not None
        tx.postpone_message(
            claimed, webhook_harness.bench.clock.now() + timedelta(minutes=2), "its address isn't valid"
        )
    webhook_harness.bench.clock.advance(minutes=2)
    webhook_harness.events.deliver(patience=10)
    assert webhook_harness.waiting() == []
    assert "event:rollback:%D0%BE%D1%82%D1%82%D0%BE%D0%BA:x:HOOK_URL" in {
        got.headers["x-registrar-event-id"] for got in webhook_harness.there.got
    }


def test_other_models_and_stages_send_no_event(webhook_harness: WebhookHarness) -> None:
    webhook_harness.promote(model="fraud")
    webhook_harness.bench.approved("promote churn 4 staging")
    webhook_harness.bench.moves.execute_due("churn")
    assert webhook_harness.waiting() == []


def test_an_unexecuted_transition_sends_no_event(webhook_harness: WebhookHarness) -> None:
    request = webhook_harness.bench.approved()
    webhook_harness.bench.registry.delete_version("churn", 4)
    webhook_harness.bench.moves.execute_due("churn")
    assert webhook_harness.bench.move(request).state is TransitionState.STALE
    assert webhook_harness.waiting() == []


def test_transitions_made_in_mlflow_send_events_but_earlier_ones_do_not(webhook_harness: WebhookHarness) -> None:
    webhook_harness.bench.watch.poll()
    assert webhook_harness.waiting() == []
    webhook_harness.bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    webhook_harness.bench.watch.poll()
    webhook_harness.bench.registry.by_hand("churn", 2, Stage.ARCHIVED)
    webhook_harness.bench.watch.poll()
    webhook_harness.events.deliver(patience=10)
    told = [(one["version"], one["previous"], one["cause"]) for one in webhook_harness.heard()]
    assert told == [(2, 3, "observed"), (None, 2, "observed")]


def test_without_a_secret_events_are_unsigned_and_the_startup_log_says_so(make: Callable[..., WebhookHarness]) -> None:
    webhook_harness = make([{"url": "{there}/open"}])
    webhook_harness.promote()
    webhook_harness.events.deliver(patience=10)
    [got] = webhook_harness.there.got
    assert "x-registrar-signature" not in got.headers
    assert unsigned_endpoints(webhook_harness.bench.policy) == ["notify.0 (127.0.0.1)"]


def test_a_url_in_the_policy_is_not_stored_in_the_ledger(make: Callable[..., WebhookHarness]) -> None:
    webhook_harness = make([{"url": "{there}/" + TOKEN, "secret_env": "HOOK_SECRET"}])
    webhook_harness.promote()
    assert TOKEN not in repr(webhook_harness.waiting())
    webhook_harness.events.deliver(patience=10)
    assert webhook_harness.there.got[0].path == f"/{TOKEN}"
