"""Events to webhooks: what is told, to whom, and signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

import pytest

from bot.domain.moves import MoveState
from bot.domain.policy import unsigned_endpoints
from bot.domain.registry import Stage
from bot.ports import Note, NoteKind
from tests.support.services.webhook_events import SECRET, TOKEN, Telling

# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_promotion_is_told_and_the_signature_verifies(telling: Telling) -> None:
    move = telling.promote()
    telling.events.deliver(wait=10)
    [got] = telling.there.got
    stamp = got.headers["x-registrar-timestamp"]
    assert int(stamp) == telling.bench.clock.now().timestamp()
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
        "at": telling.bench.clock.now().isoformat(),
        "requester": "slack:T1/UALICE",
        "approvers": ["slack:T1/UBOB"],
        "overridden_by": None,
        "override_reason": "",
    }


@pytest.mark.parametrize(
    "name",
    ["отток", "churn-🚀", "مغادرة", "a\nX-Registrar-Signature: v1=00", "tab\tand\x7f", "50% off", " churn ", "é" * 256],
)
def test_whatever_a_model_is_called_its_event_arrives(telling: Telling, name: str) -> None:
    key = f"event:rollback:{name}:promotion:r4k7q:HOOK_URL"
    body = json.dumps({"model": name}, ensure_ascii=False)
    data = {"body": body, "thread": "", "model": name, "version": 4, "shown": "HOOK_URL"}
    with telling.bench.ledger.write() as tx:
        tx.add_note(Note(key=key, lane=f"event:HOOK_URL:{name}", kind=NoteKind.EVENT, to="HOOK_URL", data=data))
    telling.events.deliver(wait=10)
    [got] = telling.there.got
    assert json.loads(got.body) == {"model": name}
    assert unquote(got.headers["x-registrar-event-id"]) == key
    assert got.headers["x-registrar-event-id"].isascii()
    stamp = got.headers["x-registrar-timestamp"]
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-registrar-signature"] == f"v1={signed}"
    assert telling.waiting() == []


def test_an_event_that_waited_because_of_its_models_name_goes_out(telling: Telling) -> None:
    """An older Registrar could not send it, and postponed it again and again."""
    telling.promote()
    [note] = telling.waiting()
    stuck = replace(note, key="event:rollback:отток:x:HOOK_URL", lane="event:HOOK_URL:отток")
    with telling.bench.ledger.write() as tx:
        tx.add_note(stuck)
        late = next(one for one in tx.due_notes(telling.bench.clock.now()) if one.key == stuck.key)
        claimed = tx.claim_note(late, "gone", telling.bench.clock.now(), telling.bench.clock.now())
        assert claimed is not None
        tx.postpone(claimed, telling.bench.clock.now() + timedelta(minutes=2), "its address is none that can be called")
    telling.bench.clock.advance(minutes=2)
    telling.events.deliver(wait=10)
    assert telling.waiting() == []
    assert "event:rollback:%D0%BE%D1%82%D1%82%D0%BE%D0%BA:x:HOOK_URL" in {
        got.headers["x-registrar-event-id"] for got in telling.there.got
    }


def test_other_models_and_other_stages_are_told_to_nobody(telling: Telling) -> None:
    telling.promote(model="fraud")
    telling.bench.approved("promote churn 4 staging")
    telling.bench.moves.run("churn")
    assert telling.waiting() == []


def test_a_move_that_came_to_nothing_is_told_to_nobody(telling: Telling) -> None:
    request = telling.bench.approved()
    telling.bench.registry.delete_version("churn", 4)
    telling.bench.moves.run("churn")
    assert telling.bench.move(request).state is MoveState.STALE
    assert telling.waiting() == []


def test_what_others_moved_is_told_and_what_was_there_before_us_is_not(telling: Telling) -> None:
    telling.bench.watch.poll()
    assert telling.waiting() == []
    telling.bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    telling.bench.watch.poll()
    telling.bench.registry.by_hand("churn", 2, Stage.ARCHIVED)
    telling.bench.watch.poll()
    telling.events.deliver(wait=10)
    told = [(one["version"], one["previous"], one["cause"]) for one in telling.heard()]
    assert told == [(2, 3, "observed"), (None, 2, "observed")]


def test_without_a_secret_it_goes_out_unsigned_and_the_start_says_so(make: Callable[..., Telling]) -> None:
    telling = make([{"url": "{there}/open"}])
    telling.promote()
    telling.events.deliver(wait=10)
    [got] = telling.there.got
    assert "x-registrar-signature" not in got.headers
    assert unsigned_endpoints(telling.bench.policy) == ["notify.0 (127.0.0.1)"]


def test_an_address_in_the_policy_is_not_kept_in_the_ledger(make: Callable[..., Telling]) -> None:
    telling = make([{"url": "{there}/" + TOKEN, "secret_env": "HOOK_SECRET"}])
    telling.promote()
    assert TOKEN not in repr(telling.waiting())
    telling.events.deliver(wait=10)
    assert telling.there.got[0].path == f"/{TOKEN}"
