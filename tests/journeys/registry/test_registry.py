"""The registry end to end: register, show, compare, and archive versions, and report outside changes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import httpx2
import pytest

from bot.domain.registry.model import Stage
from tests.journeys.registry.measured_models import SECRET, announced, memory
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text


def test_the_best_version_is_shown_only_to_the_requester(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model best churn f1")
    assert "`v4` (no stage) has the highest `f1`: 0.84" in measured.answer(measured.alice, "highest")


def test_a_run_is_registered_and_announced_in_the_channel(measured: RunningApp) -> None:
    memory(measured).add_run("abc123", metrics={"f1": 0.9})
    measured.alice.types(CHANNEL, "/model register abc123 churn --description “wider trees” --tag owner=ann")
    assert "Registered `v5` of `churn` as `1.0.0`" in measured.answer(measured.alice, "Registered")
    notice = measured.card(holds="churn v5")
    assert "<@U0ALICE>" in message_text(notice)
    assert "wider trees" in message_text(notice)


def test_its_details_are_shown_in_a_modal(measured: RunningApp) -> None:
    notice = announced(measured)
    measured.bob.clicks(notice, "Details")
    view = measured.bob.waits_for_modal(lambda view: "% filled" in message_text(view))
    assert "`f1` `0.900`" in message_text(view)


def test_the_staging_button_opens_a_filled_in_form(measured: RunningApp) -> None:
    measured.alice.clicks(announced(measured), "Request Staging")
    measured.alice.waits_for_modal()
    assert measured.alice.submits({"reason": "new data"}) is None
    assert "v5" in message_text(measured.card(holds="new data"))


def test_a_metadata_card_has_every_field_or_says_missing(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model show churn 4")
    shown = measured.answer(measured.alice, "% filled")
    assert "`f1` `0.840`" in shown
    assert "*Owner*\nmissing" in shown
    assert "Missing: semver" in shown


def test_archiving_asks_for_confirmation(measured: RunningApp) -> None:
    measured.bob.types(CHANNEL, "/model archive churn 4")
    question = measured.bob.waits_for(CHANNEL, lambda m: "Archive `v4` of `churn`?" in message_text(m))
    measured.bob.clicks(question, "Archive it")
    measured.answer(measured.bob, "verified in MLflow")
    assert memory(measured).version("churn", 4).stage is Stage.ARCHIVED
    measured.card(holds="archived `v4`")


def test_the_version_in_production_cannot_be_archived(measured: RunningApp) -> None:
    measured.bob.types(CHANNEL, "/model archive churn production")
    measured.answer(measured.bob, "is in Production, so it can't be archived")
    assert measured.production() == [3]


def test_people_who_cannot_archive_get_no_confirmation(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model archive churn 4")
    measured.answer(measured.alice, "Only people who can roll back can do this: <@U0BOB>, <@U0CAROL>")
    assert "Archive it" not in str(measured.alice.sees(CHANNEL))


def test_the_confirmation_is_about_the_current_version(measured: RunningApp) -> None:
    registry = memory(measured)
    registry.transition_stage("churn", 4, Stage.STAGING, archive_existing=False)
    measured.bob.types(CHANNEL, "/model archive churn staging")
    question = measured.bob.waits_for(CHANNEL, lambda m: "Archive `v4` of `churn`?" in message_text(m))
    registry.transition_stage("churn", 2, Stage.STAGING, archive_existing=False)
    measured.bob.clicks(question, "Archive it")
    measured.answer(measured.bob, "Archived `v4` of `churn`")
    assert registry.version("churn", 2).stage is Stage.STAGING


def test_another_person_s_confirmation_cannot_be_answered(measured: RunningApp) -> None:
    measured.bob.types(CHANNEL, "/model archive churn 4")
    question = measured.bob.waits_for(CHANNEL, lambda m: "Archive `v4`" in message_text(m))
    measured.bob.clicks(question, "Keep it")
    measured.answer(measured.bob, "Not archived")
    assert memory(measured).version("churn", 4).stage is Stage.NONE


def test_a_second_version_in_a_stage_is_reported_and_repaired_with_one_click(measured: RunningApp) -> None:
    memory(measured).transition_stage("churn", 4, Stage.PRODUCTION, archive_existing=False)
    measured.registrar.poll_registry()
    notice = measured.card(holds="was changed directly in MLflow")
    measured.alice.clicks(notice, "Keep only v3 in Production")
    measured.answer(measured.alice, "can roll back")
    measured.bob.clicks(notice, "Keep only v3 in Production")
    mended = measured.card(holds="Repaired by <@U0BOB>")
    assert mended["ts"] == notice["ts"]
    assert "Keep only v3" not in message_text(mended)
    assert measured.production() == [3]


def test_a_long_list_has_paging_buttons(measured: RunningApp) -> None:
    for number in range(45):
        memory(measured).add_model(f"m{number:02}")
    measured.alice.types(CHANNEL, "/model list m")
    first = measured.alice.waits_for(CHANNEL, lambda m: "Page 1 of 3, 45 models" in message_text(m))
    measured.alice.clicks(first, "Next")
    second = measured.alice.waits_for(CHANNEL, lambda m: "Page 2 of 3" in message_text(m))
    assert "`m20`" in message_text(second)


def test_older_versions_of_a_model_are_a_click_away(measured: RunningApp) -> None:
    memory(measured).add_model("many", versions=45)
    measured.alice.types(CHANNEL, "/model show many")
    first = measured.alice.waits_for(CHANNEL, lambda m: "Page 1 of 3, 45 versions" in message_text(m))
    measured.alice.clicks(first, "Older")
    second = measured.alice.waits_for(CHANNEL, lambda m: "Page 2 of 3, 45 versions" in message_text(m))
    assert "`v25`" in message_text(second)


# -- MLflow's webhooks -------------------------------------------------------------------------------------------------


def hook(
    app: RunningApp, body: bytes, *, delivery: str = "d1", at: float | None = None, secret: str = SECRET
) -> httpx2.Response:
    """Send a webhook as MLflow would."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return httpx2.post(f"{app.service.address}/v1/mlflow/webhook", content=body, headers=headers)


def event(name: str, entity: str = "model_version") -> bytes:
    return json.dumps({"entity": entity, "action": "created", "data": {"name": name, "version": "5"}}).encode()


def test_a_webhook_announces_a_version_immediately(measured: RunningApp) -> None:
    memory(measured).add_version("churn")
    assert hook(measured, event("churn")).status_code == 202
    measured.card(holds="churn v5")


def test_only_the_model_name_of_a_webhook_is_trusted(measured: RunningApp) -> None:
    assert hook(measured, event("churn")).status_code == 202
    assert hook(measured, event("no such model"), delivery="d2").status_code == 202
    memory(measured).add_version("churn")
    assert hook(measured, event("churn"), delivery="d3").status_code == 202
    measured.card(holds="churn v5")
    assert not [one for one in measured.bob.sees(CHANNEL) if "no such model" in message_text(one)]


def test_a_webhook_with_a_wrong_signature_is_refused(measured: RunningApp) -> None:
    assert hook(measured, event("churn"), secret="another").status_code == 401
    assert httpx2.post(f"{measured.service.address}/v1/mlflow/webhook", content=b"{}").status_code == 401


def test_an_old_webhook_is_refused(measured: RunningApp) -> None:
    assert hook(measured, event("churn"), at=time.time() - 600).status_code == 401


def test_a_replayed_webhook_is_refused(measured: RunningApp) -> None:
    assert hook(measured, event("churn")).status_code == 202
    assert hook(measured, event("churn")).status_code == 409


def test_a_webhook_about_a_prompt_is_ignored(measured: RunningApp) -> None:
    memory(measured).add_model("greeting", versions=1, is_prompt=True)
    assert hook(measured, event("greeting", "prompt_version")).status_code == 202
    assert hook(measured, event("greeting"), delivery="d2").status_code == 202
    measured.registrar.poll_registry()
    assert not [one for one in measured.bob.sees(CHANNEL) if "greeting" in message_text(one)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"entity": 1, "data": {"name": []}}'])
def test_an_invalid_webhook_is_harmless(measured: RunningApp, body: bytes) -> None:
    assert hook(measured, body).status_code == 202
