"""The registry end to end: register, show, compare, and archive versions, and report outside changes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.domain.registry.model import Stage
from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app

SECRET = "what MLflow signs with"


@pytest.fixture
def measured(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with `churn`, whose four versions have runs; v3 is in Production."""
    registry = MemoryRegistry()
    for number in range(1, 5):
        registry.add_run(f"run{number}", metrics={"f1": 0.8 + number / 100, "latency_ms": 40.0 + number})
    registry.add_model("churn")
    for number in range(1, 5):
        stage = Stage.PRODUCTION if number == 3 else Stage.NONE
        registry.add_version("churn", run_id=f"run{number}", stage=stage)
    registry.set_alias("churn", "champion", 3)
    with running_app(slack, tmp_path, registry, webhook_secret=SECRET) as app:
        app.registrar.poll_registry()
        yield app


def memory(app: RunningApp) -> MemoryRegistry:
    assert isinstance(app.registry, MemoryRegistry)
    return app.registry


def test_a_comparison_is_posted_with_its_chart_in_the_thread(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model compare churn")
    message = measured.card(holds="beats")
    assert "`v4` beats Production `v3` on `f1` by +0.01; worse on `latency_ms` by +1." in message_text(message)
    table = next(block for block in message["blocks"] if block["type"] == "table")
    assert [row[0]["text"] for row in table["rows"]] == ["Version", "v4", "v3", "v2", "v1"]
    [picture] = measured.slack.wait_for(lambda: files_in_thread(measured, message))
    assert picture["mimetype"] == "image/png"
    assert measured.alice.downloads(picture).startswith(b"\x89PNG")


def files_in_thread(app: RunningApp, message: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for reply in app.alice.thread(message) for file in app.alice.files(reply)]


def test_rows_that_do_not_fit_the_table_come_as_csv(measured: RunningApp) -> None:
    memory(measured).add_model("big")
    for number in range(1, 121):
        memory(measured).add_run(f"big{number}", metrics={"f1": number / 1000})
        memory(measured).add_version("big", run_id=f"big{number}")
    measured.alice.types(CHANNEL, "/model compare big")
    message = measured.card(holds="more versions in the CSV")
    [csv_file] = measured.slack.wait_for(lambda: files_in_thread(measured, message)[1:])
    csv = measured.alice.downloads(csv_file).decode()
    assert len(csv.splitlines()) == 121


def test_in_a_channel_without_the_bot_the_comparison_comes_as_a_direct_message(measured: RunningApp) -> None:
    measured.slack.add_channel("C0ELSE", "elsewhere", members=["U0ALICE"], is_private=True)
    measured.alice.types("C0ELSE", "/model compare churn 4")
    assert "beats Production `v3`" in message_text(
        measured.alice.waits_for_direct_message(lambda m: "beats" in message_text(m))
    )
    assert "sent it to you directly" in measured.answer(measured.alice, "can't post here", "C0ELSE")


def test_in_a_restricted_channel_the_answer_and_error_code_come_directly(measured: RunningApp) -> None:
    measured.slack.fail("chat.postMessage", "restricted_action")
    measured.alice.types(CHANNEL, "/model compare churn 4")
    assert "beats Production `v3`" in message_text(
        measured.alice.waits_for_direct_message(lambda m: "beats" in message_text(m))
    )
    answer = measured.answer(measured.alice, "sent it to you directly")
    assert "won't let me post here (`restricted_action`)" in answer
    assert "/invite" not in answer


def test_a_rate_limited_comparison_is_posted_later(measured: RunningApp) -> None:
    measured.slack.rate_limit("chat.postMessage", retry_after=1)
    measured.alice.types(CHANNEL, "/model compare churn 4")
    assert "beats Production `v3`" in message_text(measured.card(holds="beats"))
    assert [call["error"] for call in measured.slack.calls("chat.postMessage")] == ["ratelimited", None]


@pytest.mark.parametrize(("error", "tries_again"), [("msg_blocks_too_long", False), ("fatal_error", True)])
def test_a_failed_comparison_shows_the_code_and_suggests_a_retry_only_if_it_can_help(
    measured: RunningApp, error: str, tries_again: bool
) -> None:
    measured.slack.fail("chat.postMessage", error)
    measured.alice.types(CHANNEL, "/model compare churn 4")
    assert ("Try again" in measured.answer(measured.alice, f"rejected the message (`{error}`)")) is tries_again


def test_in_an_open_channel_without_the_bot_the_answer_says_how_to_get_the_chart(measured: RunningApp) -> None:
    measured.slack.add_channel("C0OPEN", "open", members=["U0ALICE"])
    measured.alice.types("C0OPEN", "/model compare churn 4")
    assert "can't attach charts and files" in measured.answer(measured.alice, "/invite @registrar", "C0OPEN")


def test_a_channel_without_the_bot_gets_one_invitation_hint(measured: RunningApp) -> None:
    measured.slack.add_channel("C0OPEN", "open", members=["U0ALICE", "U0BOB"])
    for version in ("v4", "v2"):
        measured.alice.types("C0OPEN", f"/model compare churn {version}")
        measured.card("C0OPEN", holds=f"`{version}`")
    measured.slack.wait_for(lambda: len(measured.slack.calls("files.completeUploadExternal")) == 2)
    assert str(measured.alice.sees("C0OPEN")).count("can't attach charts and files. To get them") == 2  # text and block


def test_only_an_admin_hears_once_that_files_cannot_be_attached(measured: RunningApp) -> None:
    measured.slack.fail("files.getUploadURLExternal", "missing_scope", times=None)
    for version in ("v4", "v2"):
        measured.alice.types(CHANNEL, f"/model compare churn {version}")
        measured.card(holds=f"`{version}`")
    told = measured.slack.person("dave").waits_for_direct_message()
    assert "missing scopes that I need: `files:write`" in message_text(told)
    measured.slack.wait_for(lambda: len(measured.slack.calls("files.getUploadURLExternal")) == 2)
    measured.registrar.outbox.deliver(patience=5)
    posted = [one["args"] for one in measured.slack.calls("chat.postMessage")]
    assert [one["channel"] for one in posted if "files:write" in str(one)] == ["U0DAVE"]
    assert [one for one in posted if one.get("thread_ts")] == []


def test_if_slack_refuses_the_csv_the_answer_suggests_a_command(measured: RunningApp) -> None:
    memory(measured).add_model("big")
    for number in range(1, 121):
        memory(measured).add_run(f"big{number}", metrics={"f1": number / 1000})
        memory(measured).add_version("big", run_id=f"big{number}")
    measured.slack.fail("files.getUploadURLExternal", "missing_scope", times=None)
    measured.alice.types(CHANNEL, "/model compare big")
    line = measured.answer(measured.alice, "Slack rejected the CSV")
    assert "Slack rejected the CSV. To see other versions, name them: `/model compare big 1 …`" in line


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


def test_a_new_version_is_compared_with_production_in_its_thread(measured: RunningApp) -> None:
    notice = announced(measured)
    measured.bob.clicks(notice, "Compare with Production")
    [reply] = measured.slack.wait_for(
        lambda: [one for one in measured.bob.thread(notice) if "Production `v3`" in message_text(one)]
    )
    assert any(block["type"] == "table" for block in reply["blocks"])


def announced(app: RunningApp) -> dict[str, Any]:
    memory(app).add_run("run5", metrics={"f1": 0.9})
    memory(app).add_version("churn", run_id="run5")
    app.registrar.poll_registry()
    return app.card(holds="churn v5")


def test_its_details_are_shown_in_a_modal(measured: RunningApp) -> None:
    notice = announced(measured)
    measured.bob.clicks(notice, "Details")
    view = measured.bob.waits_for_modal(lambda view: "% filled" in message_text(view))
    assert "`f1` `0.9`" in message_text(view)


def test_the_staging_button_opens_a_filled_in_form(measured: RunningApp) -> None:
    measured.alice.clicks(announced(measured), "Request Staging")
    measured.alice.waits_for_modal()
    assert measured.alice.submits({"reason": "new data"}) is None
    assert "v5" in message_text(measured.card(holds="new data"))


def test_a_metadata_card_has_every_field_or_says_missing(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model show churn 4")
    shown = measured.answer(measured.alice, "% filled")
    assert "`f1` `0.84`" in shown
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


def test_people_who_cannot_archive_get_no_confirmation(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model archive churn 4")
    measured.answer(measured.alice, "Only people who can roll back can do this: <@U0BOB>, <@U0CAROL>")


def test_the_confirmation_is_about_the_current_version(measured: RunningApp) -> None:
    registry = memory(measured)
    registry.transition_stage("churn", 4, Stage.STAGING, archive_existing=False)
    measured.bob.types(CHANNEL, "/model archive churn staging")
    question = measured.bob.waits_for(CHANNEL, lambda m: "Archive `v4` of `churn`?" in message_text(m))
    registry.transition_stage("churn", 2, Stage.STAGING, archive_existing=False)
    measured.bob.clicks(question, "Archive it")
    measured.answer(measured.bob, "Archived `v4` of `churn`")


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
) -> httpx.Response:
    """Send a webhook as MLflow would."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return httpx.post(f"{app.service.address}/v1/mlflow/webhook", content=body, headers=headers)


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
    assert httpx.post(f"{measured.service.address}/v1/mlflow/webhook", content=b"{}").status_code == 401


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
