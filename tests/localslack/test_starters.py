"""Apps like Slack's starter templates run unmodified: one built with @slack/bolt, one with slack_bolt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localslack import LocalSlack, WorkspaceMember
from tests.support.app.workspaces import local_slack
from tests.support.waiting import PATIENCE

JSON = dict[str, Any]
ROOT = Path(__file__).parents[2]
STARTERS = Path(__file__).parent / "starters"
NODE = 20  # the oldest version that @slack/bolt 5 supports


def python_app(_: Path) -> tuple[list[str], Path]:
    return [sys.executable, "app.py"], STARTERS / "bolt_python"


def node_app(folder: Path) -> tuple[list[str], Path]:
    """Return the command and folder of the @slack/bolt app, a copy with its packages; skip without them."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("The app on @slack/bolt takes Node.js. To have this tested: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], text=True, capture_output=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE:
        pytest.skip(f"@slack/bolt takes Node.js {NODE} or later, and this is {version}")
    installed = subprocess.run(
        [ROOT / "scripts" / "install-npm", STARTERS / "bolt_js"], text=True, capture_output=True, check=False
    )
    if installed.returncode:
        why = installed.stderr.partition("\n")[0]
        pytest.skip(f"npm could not fetch @slack/bolt: {why}")
    app = Path(shutil.copytree(STARTERS / "bolt_js", folder / "app"))
    (app / "node_modules").symlink_to(installed.stdout.strip())
    return [node, "app.js"], app


APPS = {"@slack/bolt": node_app, "slack_bolt": python_app}


@pytest.fixture(scope="module", params=APPS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSlack]:
    """Run a workspace and one of the apps, a process with only the variables that Slack's templates read."""
    folder = tmp_path_factory.mktemp("starter")
    command, where = APPS[request.param](folder)
    output = folder / "output.txt"
    with local_slack(STARTERS / "manifest.json") as slack, output.open("w") as written:
        tokens = {
            "SLACK_API_URL": slack.api_url,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_BOT_TOKEN": slack.bot_token,
        }
        app = subprocess.Popen(command, cwd=where, env={**os.environ, **tokens}, stdout=written, stderr=written)
        try:
            slack.wait_until_connected(timeout=PATIENCE)
            yield slack
        except TimeoutError:
            pytest.fail(f"the app did not connect; it says:\n{output.read_text()}")
        finally:
            app.kill()
            app.wait()


@pytest.fixture
def slack(running: LocalSlack) -> LocalSlack:
    running.reset()
    return running


@pytest.fixture
def alice(slack: LocalSlack) -> WorkspaceMember:
    return slack.person("alice")


def send_message(alice: WorkspaceMember, text: str) -> JSON:
    message = alice.types("#churn", text).message
    assert message is not None
    return message


def open_sample_modal(alice: WorkspaceMember) -> JSON:
    assert alice.uses("Run sample shortcut").acked
    return alice.waits_for_modal(timeout=PATIENCE)


def wait_for_answer(alice: WorkspaceMember, text: str) -> JSON:
    return alice.waits_for("#churn", lambda message: text in message["text"], timeout=PATIENCE)


def test_it_answers_a_message(alice: WorkspaceMember) -> None:
    send_message(alice, "hello there")
    assert wait_for_answer(alice, "hello, <@U0ALICE>")["bot_id"]


def test_it_answers_a_command(alice: WorkspaceMember) -> None:
    assert alice.types("#churn", "/sample-command a sample").acked
    assert wait_for_answer(alice, 'You asked for "a sample".')["is_ephemeral"]


def test_its_global_shortcut_opens_a_modal(alice: WorkspaceMember) -> None:
    assert open_sample_modal(alice)["title"]["text"] == "Sample modal"


def test_its_message_shortcut_replies_with_the_link_and_a_reaction(slack: LocalSlack, alice: WorkspaceMember) -> None:
    message = send_message(alice, "this is odd")
    assert alice.uses("Report message", message).acked
    link = f"{slack.url}archives/C0CHURN/p{message['ts'].replace('.', '')}"
    assert wait_for_answer(alice, "Reported")["text"] == f"Reported: {link}"
    (reported,) = [one for one in alice.sees("#churn") if one["ts"] == message["ts"]]
    assert reported["reactions"][0]["name"] == "eyes"


def test_its_action_updates_the_modal(alice: WorkspaceMember) -> None:
    assert alice.clicks(open_sample_modal(alice), "Update").acked
    alice.waits_for_modal(lambda view: view["title"]["text"] == "Updated modal", timeout=PATIENCE)


def test_its_options_match_the_typed_text(alice: WorkspaceMember) -> None:
    offered = alice.looks_up(open_sample_modal(alice), "sample_options", "de")
    assert [option["value"] for option in offered] == ["design", "delivery"]


def test_its_view_posts_the_submitted_values(alice: WorkspaceMember) -> None:
    open_sample_modal(alice)
    values = {"Your hopes": "a quiet week", "A topic": "Data", "Where to post": "C0CHURN"}
    assert alice.submits(values) is None
    assert wait_for_answer(alice, "quiet")["text"] == "<@U0ALICE> on data: a quiet week"


def test_its_home_tab_is_published_when_it_s_opened(alice: WorkspaceMember) -> None:
    alice.opens_home()
    page = alice.waits_for_home(timeout=PATIENCE)
    assert page["blocks"][0]["text"]["text"] == "*Welcome home, <@U0ALICE>*"


def test_it_answers_an_event_in_the_thread(slack: LocalSlack, alice: WorkspaceMember) -> None:
    message = send_message(alice, "v4 is out")
    alice.reacts(message, "tada")
    slack.wait_for(lambda: len(alice.thread(message)) == 2, timeout=PATIENCE)
    assert alice.thread(message)[1]["text"] == "Thanks for the :tada:"


def test_none_of_its_calls_is_refused(slack: LocalSlack, alice: WorkspaceMember) -> None:
    alice.uses("Report message", send_message(alice, "this is odd"))
    wait_for_answer(alice, "Reported")
    assert [call for call in slack.calls() if not call["ok"]] == []
    assert slack.problems() == []
