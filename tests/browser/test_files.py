"""Pictures, other files, and tables on the workspace's page: on a desktop, on a phone, and in dark mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from slack_sdk import WebClient

from localslack import LocalSlack
from tests.localslack.block_builders import png
from tests.localslack.bolt_apps import MANIFEST, web_client
from tests.support.app.workspaces import INSTANT, local_slack
from tests.support.slack.screen import CHANNEL, Screen

pytestmark = pytest.mark.browser

ROOM = "C0MLMODELS"
WAYS = [
    ("desk", {}),
    ("dark", {"color_scheme": "dark"}),
    ("phone", {"viewport": {"width": 390, "height": 844}}),
    ("phone-dark", {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}),
]
METRICS = ["f1", "precision", "recall", "roc_auc", "log_loss", "p95 latency"]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run one workspace for all tests, with the test as its only app."""
    with local_slack(MANIFEST, speed=INSTANT) as slack:
        yield slack


@pytest.fixture
def slack(workspace: LocalSlack) -> LocalSlack:
    workspace.reset()
    return workspace


@pytest.fixture
def client(slack: LocalSlack) -> WebClient:
    return web_client(slack)


def cell(words: str, **style: bool) -> dict[str, Any]:
    if not style:
        return {"type": "raw_text", "text": words}
    run = {"type": "text", "text": words, "style": style}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [run]}]}


def comparison() -> dict[str, Any]:
    """A table like a comparison of two versions."""
    head = [cell("metric", bold=True), cell("v3"), cell("v4"), cell("change"), cell("what it means")]
    rows = [
        [
            cell(name, code=True),
            cell("0.7412"),
            cell("0.7703", bold=True),
            cell("+0.0291"),
            cell(f"{name} on the data of last month"),
        ]
        for name in METRICS
    ]
    settings = [None, {"align": "right"}, {"align": "right"}, {"align": "center"}, {"is_wrapped": True}]
    return {"type": "table", "rows": [head, *rows], "column_settings": settings}


def share(client: WebClient, **more: Any) -> None:
    picture = {"file": png(900, 420), "filename": "curve.png", "title": "F1 over time", "alt_txt": "F1 rises since May"}
    values = {"content": "metric,v3,v4\n" * 100, "filename": "comparison.csv"}
    client.files_upload_v2(channel=ROOM, file_uploads=[picture, values], initial_comment="v3 and v4 of *churn*", **more)


def expect_drawn(picture: Locator) -> None:
    """Wait until the picture has loaded."""
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", True)
    expect(picture).not_to_have_js_property("naturalWidth", 0)


def fits(screen: Screen) -> bool:
    return bool(screen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize(("name", "how"), WAYS)
def test_a_picture_a_file_and_a_table_are_shown(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen], name: str, how: dict[str, object]
) -> None:
    client.chat_postMessage(channel=ROOM, text="v3 and v4 compared", blocks=[comparison()])
    share(client)
    screen = open_window(slack.url, **how)
    message = screen.page.get_by_test_id("message").last
    expect_drawn(message.get_by_role("img", name="F1 rises since May"))
    expect(message.get_by_role("link", name="comparison.csv")).to_contain_text("CSV · 1.3 kB")
    table = screen.page.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(1 + len(METRICS))
    expect(table.get_by_role("columnheader", name="v3")).to_have_css("text-align", "right")
    expect(table.get_by_role("cell", name="0.7703").first.locator("strong")).to_have_text("0.7703")
    expect(table.get_by_role("cell", name="f1 on the data")).to_have_css("white-space", "normal")
    assert fits(screen)
    screen.picture(f"files-{name}")
    table.scroll_into_view_if_needed()
    screen.picture(f"table-{name}")


def test_a_wide_table_scrolls_in_its_own_box(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    wide = {"type": "table", "rows": [[cell(f"column {number}") for number in range(20)]] * 3}
    client.chat_postMessage(channel=ROOM, text="wide", blocks=[wide])
    screen = open_window(slack.url, viewport={"width": 390, "height": 844})
    box = screen.page.get_by_role("group", name="Table")
    expect(box).to_be_visible()
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    assert fits(screen)


def test_files_are_shown_in_the_thread(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    ts = client.chat_postMessage(channel=ROOM, text="card")["ts"]
    screen = open_window(slack.url)
    screen.page.get_by_test_id("message").hover()
    screen.page.get_by_role("button", name="Reply in thread").click()
    share(client, thread_ts=ts)
    expect_drawn(screen.thread().get_by_role("img", name="F1 rises since May"))
    assert fits(screen)
    screen.picture("files-thread")


def test_a_file_is_saved_under_its_name(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    share(client)
    screen = open_window(slack.url)
    with screen.page.expect_download() as saving:
        screen.page.get_by_role("link", name="comparison.csv").click()
    assert saving.value.suggested_filename == "comparison.csv"
    assert Path(saving.value.path()).read_text(encoding="utf-8") == "metric,v3,v4\n" * 100


@pytest.mark.parametrize("way", ["id", "permalink"])
def test_a_block_shows_an_uploaded_picture(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen], way: str
) -> None:
    file = client.files_upload_v2(file=png(300, 200), filename="curve.png")["file"]
    slack_file = {"id": file["id"]} if way == "id" else {"url": file["permalink"]}
    image = {"type": "image", "slack_file": slack_file, "alt_text": "F1 rises since May"}
    accessory = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "accessory": image | {"alt_text": "small"}}
    client.chat_postMessage(channel=ROOM, text="x", blocks=[image, accessory])
    screen = open_window(slack.url)
    expect_drawn(screen.page.get_by_role("img", name="F1 rises since May"))
    expect_drawn(screen.page.get_by_role("img", name="small"))


def test_a_permalink_opens_the_page_at_the_message(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    share(client)
    alice = slack.person("alice")
    link = alice.files(alice.sees(f"#{CHANNEL}")[-1])[0]["permalink"]
    screen = open_window(slack.url)
    screen.page.goto(link)
    expect(screen.page.get_by_role("heading", name=f"#{CHANNEL}")).to_be_visible()
    expect(screen.page.get_by_test_id("message").last).to_have_class("message glow")
