"""`registrar demo`, as a newcomer starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot.domain.registry.model import Stage
from bot.policy_file import load_policy
from handlers.demo import main, model_server, models, setup, snapshot, welcome
from handlers.demo.actions import NOT_ISSUED
from handlers.demo.folder import DemoFolder, clear_real_environment, serving_port
from handlers.demo.progress import ProgressReporter
from handlers.demo.story import DemoStory, StoryError
from localslack import LocalSlack, Remote, connect
from tests.support.app.app_fixture import RunningApp
from tests.support.app.demo_process import PATIENCE, TRAINING, DemoProcess, clean_environment, run_demo
from tests.support.app.live_world import monitored_app
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

BUSY = PATIENCE + 100  # seconds for a test: the story waits for checks that are ten seconds apart, on any machine


@dataclass(frozen=True, slots=True)
class Beginnings:
    """The first two demos of a home, both ended: one while it trained, the other once it was ready."""

    home: Path
    interrupted: DemoProcess
    finished: DemoProcess


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Beginnings:
    """Return a home in which every model is registered, and how it came about."""
    home = tmp_path_factory.mktemp("demo") / "a home"
    interrupted = DemoProcess(home, command=TRAINING)
    interrupted.reads_until("churn v2")
    interrupted.end()
    with DemoProcess(home) as finished:
        pass
    return Beginnings(home, interrupted, finished)


@pytest.fixture
def demo_home(beginnings: Beginnings, tmp_path: Path) -> Path:
    """Give a copy of that home."""
    return shutil.copytree(beginnings.home, tmp_path / "home")


@pytest.mark.slow
@pytest.mark.timeout(BUSY)
def test_the_story_plays_by_itself_and_touches_nothing_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9/api/"
    real = {
        "SLACK_API_URL": nowhere,
        "MLFLOW_TRACKING_URI": nowhere,
        "HTTP_PROXY": nowhere,
        "SLACK_BOT_TOKEN": "xoxb-1",
    }
    monkeypatch.chdir(tmp_path)
    played = run_demo("--play", REGISTRAR_DATABASE_URL="sqlite:///real.db", **real)
    assert (played.returncode, played.stderr) == (0, "")
    for words in ("else has to decide", "v4 is in Production", "v4 is verified", "live failed", "restored to v4"):
        assert words in played.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(BUSY)
def test_a_start_that_was_interrupted_is_continued(beginnings: Beginnings) -> None:
    first, second = beginnings.interrupted, beginnings.finished
    assert (first.process.returncode, second.process.returncode) == (0, 0)
    assert re.findall(r"churn v(\d), ", first.said + second.said) == ["1", "2", "3", "4", "5"]
    assert "churn v1, " in first.said
    assert "churn v5, " in second.said
    assert "Traceback" not in first.said + second.said


@pytest.mark.slow
@pytest.mark.timeout(BUSY)
def test_the_next_start_finds_everything_and_registers_nothing(demo_home: Path) -> None:
    with DemoProcess(demo_home) as demo, connect(demo.url) as slack:
        alice, bob = slack.person("alice"), slack.person("bob")
        find_message(slack, "six steps")
        alice.types(welcome.CHANNEL, "/model promote churn 4 production")
        # MLflow is still being imported: the card comes when it can be read.
        bob.waits_for(welcome.CHANNEL, lambda message: "Promote" in str(message.get("blocks")), PATIENCE)

        elsewhere = run_demo(REGISTRAR_HOME=str(demo_home))
        assert (elsewhere.returncode, demo.url in elsewhere.stderr) == (2, True)

        assert not any("no data" in str(one) for one in bob.sees(welcome.CHANNEL))
        assert demo.end(signal.SIGTERM) == 0
    assert "churn v1, " not in demo.said
    assert "first reading of accuracy-live" in demo.said
    assert "No reading yet" not in demo.said
    assert "Traceback" not in demo.said
    assert demo.left_behind() == []


@pytest.mark.slow
@pytest.mark.timeout(BUSY)
def test_a_version_can_be_broken_and_registrar_rolls_it_back(mlflow_sqlite: str, tmp_path: Path) -> None:
    with DemoProcess(tmp_path) as demo, connect(demo.url) as slack:  # in a folder with MLflow's empty tables
        click_checklist(slack, "Do it for me", "requested v4.")
        click_checklist(slack, "Do it for me", "Registrar refused")
        click_checklist(slack, "Do it for me", "approved v4.")
        find_message(slack, "v4 is in Production", of_checklist=False)
        click_checklist(slack, "Break it", "is falling")
        find_message(slack, "Registrar rolled back to v3 after")
        find_message(slack, "Restored and recovered: `v3` is healthy", of_checklist=False)
    assert "Traceback" not in (tmp_path / "demo.log").read_text()


def find_message(slack: Remote, words: str, *, of_checklist: bool = True) -> dict[str, Any]:
    """Wait until the checklist, or any message, contains this text, and return the message."""

    def holds(message: dict[str, Any]) -> bool:
        return words in str(message) and ("Try Registrar" in message["text"] or not of_checklist)

    return slack.person("alice").waits_for(welcome.CHANNEL, holds, PATIENCE)


def click_checklist(slack: Remote, button: str, outcome: str) -> None:
    """Click a button of the checklist, and wait until it contains `outcome`."""
    assert slack.person("alice").clicks(find_message(slack, button), button).acked
    find_message(slack, outcome)


def test_the_story_is_told_with_the_sentences_that_people_see(slack: LocalSlack, tmp_path: Path) -> None:
    told: list[str] = []
    verdicts = [subprocess.CompletedProcess("", code, "churn v4 is verified.\n") for code in (NOT_ISSUED, 0)]
    with monitored_app(slack, tmp_path) as (app, _, _):
        DemoStory(app.slack, told.append, iter(verdicts).__next__, poll_seconds=0.3).play()
        assert app.production() == [4]
    assert "  Registrar refuses her: This is your own request, so someone else has to decide: Bob, Carol." in told
    assert "✓ Approved  ·  ✓ Moved  ·  ✓ Verified in MLflow" in "\n".join(told)
    assert [line for line in told if "<http" in line] == []
    whole = "\n".join(told)
    for words in (
        "accuracy-live failed",
        "isn't greater than 0.92",
        "v5 is blocked",
        "restored to v4",
        "(picture)",
        "churn v4 is verified.",
    ):
        assert words in whole
    # The next check can find v4 healthy before the thread is read.
    assert re.search(r"Restored(: v4 has been in Production| and recovered: v4 is healthy)", whole)


def test_a_story_names_what_was_not_measured(slack: LocalSlack, tmp_path: Path) -> None:
    with monitored_app(slack, tmp_path, greater_than=0.99, action="dry_run") as (app, _, _):
        story = DemoStory(app.slack, lambda line: None, monitor_timeout=1, poll_seconds=0.3)
        with pytest.raises(StoryError, match="Alice checks the monitor”: the monitor didn't report v4 as healthy"):
            story.play()


def test_a_story_names_the_step_that_broke(slack: LocalSlack) -> None:
    story = DemoStory(slack, lambda line: None, timeout=0.1)
    with pytest.raises(StoryError, match="“Alice requests a promotion”: Registrar didn't answer"):
        story.play()


def test_a_home_that_is_no_demo_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("real")
    refused = run_demo(REGISTRAR_HOME=str(tmp_path))
    assert refused.returncode == 2
    assert "REGISTRAR_HOME" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("missing", main.EXTRA_MODULES)
def test_without_the_extra_the_demo_says_how_to_install_it(missing: str, tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules[{missing!r}] = None; from handlers.terminal.main import main"
    refused = subprocess.run(
        [sys.executable, "-c", f"{hidden}; sys.exit(main(['demo']))"],
        env=clean_environment(REGISTRAR_HOME=str(tmp_path / "home")),
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert "registrar-bot[demo]" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run_demo("--port", port, REGISTRAR_HOME=str(tmp_path))
    assert refused.returncode == 2
    assert f"Can't use port {port}" in refused.stderr


def test_a_new_home_has_a_token_and_a_monitor_that_only_fit_itself(tmp_path: Path) -> None:
    first, copy = DemoFolder(tmp_path / "a home"), DemoFolder(tmp_path / "a copy")
    with first.hold():
        before = load_policy(first.policy_file)
    assert first.token_file.stat().st_mode & 0o777 == 0o600
    assert len(first.token_file.read_text()) > 30
    shutil.copytree(first.path, copy.path)
    port = serving_port(before, models.MODEL)
    assert port
    with socket.create_server(("127.0.0.1", port)), copy.hold():
        after = load_policy(copy.policy_file)
    assert serving_port(after, models.MODEL) not in {None, port}
    assert after.clients["churn-serving"].token_file == str(copy.token_file.absolute())
    [monitor] = after.rules_for(models.MODEL).monitors
    assert monitor.action == "auto"


def test_a_home_of_an_earlier_demo_is_started_and_told_what_it_lacks(app: RunningApp, tmp_path: Path) -> None:
    home = DemoFolder(tmp_path / "older")
    home.path.mkdir()
    home.policy_file.write_text("channel: '#ml-models'\nmodels: {'*': {}}\n")
    with home.hold():
        assert serving_port(load_policy(home.policy_file), models.MODEL) is None
    assert not setup.has_monitors(app.registrar)
    told = welcome.welcome_lines(40123, home, has_monitors=False)
    assert any("from an earlier demo and has no monitor" in line for line in told)


def test_what_serves_is_started_again_when_it_dies_and_ends_with_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "serve.py"
    script.write_text("import sys\nprint('begun', flush=True)\nsys.exit(3)\n")
    monkeypatch.setattr(model_server, "SERVING_SCRIPT", script)
    monkeypatch.setattr(model_server, "RESTART_SECONDS", 0.05)
    home = DemoFolder(tmp_path / "home")
    with home.hold(), model_server.ModelServer(home, "http://127.0.0.1:9", 9) as running:
        running.start()
        pause = threading.Event()
        for _ in range(200):
            if home.log_file.exists() and home.log_file.read_text().count("begun") >= 2:
                break
            pause.wait(0.05)
    assert home.log_file.read_text().count("begun") >= 2
    assert not running._thread.is_alive()


def test_a_broken_version_stays_broken_when_what_serves_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "serve.py"
    script.write_text("import sys\nprint(sys.stdin.readline(), flush=True)\nsys.exit(3)\n")
    monkeypatch.setattr(model_server, "SERVING_SCRIPT", script)
    monkeypatch.setattr(model_server, "RESTART_SECONDS", 0.05)
    home = DemoFolder(tmp_path / "home")
    with home.hold(), model_server.ModelServer(home, "http://127.0.0.1:9", 9) as running:
        running.start()
        running.break_version(4)
        assert wait_until(lambda: home.log_file.exists() and home.log_file.read_text().count("break 4") >= 2)


def test_over_ssh_the_line_for_the_tunnel_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 2222")
    monkeypatch.setenv("LOGNAME", "ann")
    told = welcome.welcome_lines(40123, DemoFolder(tmp_path))
    assert "  ssh -p 2222 -L 40123:127.0.0.1:40123 ann@192.0.2.1" in told


@pytest.mark.parametrize(("session", "opened"), [({}, 1), ({"SSH_CONNECTION": "192.0.2.7 1 192.0.2.1 22"}, 0)])
def test_a_browser_opens_only_before_somebody(
    monkeypatch: pytest.MonkeyPatch, session: dict[str, str], opened: int
) -> None:
    pages: list[str] = []
    monkeypatch.setattr(webbrowser, "open", pages.append)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name in ("SSH_CONNECTION", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"DISPLAY": ":0"} | session).items():
        monkeypatch.setenv(name, value)
    welcome.open_browser(40123)
    assert len(pages) == opened


def test_the_environment_of_a_real_registrar_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_BOT_TOKEN", "MLFLOW_RUN_ID", "REGISTRAR_DATABASE_URL", "https_proxy"):
        monkeypatch.setenv(name, "real")
    monkeypatch.setenv("REGISTRAR_HOME", "elsewhere")
    assert clear_real_environment() == Path("elsewhere")
    assert "real" not in os.environ.values()


def test_what_is_registered_is_not_registered_again_and_what_was_moved_stays(tmp_path: Path) -> None:
    registry, home, progress = MemoryRegistry(), DemoFolder(tmp_path), ProgressReporter(StringIO())
    registry.add_model("churn", versions=models.VERSION_COUNT)
    assert models.prepare_models(registry, home, progress)
    registry.transition_stage("churn", 4, Stage.PRODUCTION, archive_existing=True)
    assert not models.prepare_models(registry, home, progress)
    assert [one.stage for one in registry.versions("churn")][:2] == [Stage.NONE, Stage.PRODUCTION]


# -- the snapshot ------------------------------------------------------------------------------------------------------

# What a machine calls its folders, in an address or a path, on Linux, macOS and Windows.
ABSOLUTE = re.compile(
    rb"file:/|(?<![\w.])/(?:home|root|Users|tmp|work|dev|var|opt|usr|private|mnt)/|\b[A-Za-z]:\\\\?\w"
)


def contents(file: Path) -> Iterator[bytes]:
    """Yield what is in a file, and if it's an archive, its members' names and what is in them."""
    yield file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)


def test_the_snapshot_names_no_folder_of_the_machine_that_made_it() -> None:
    files = [file for file in snapshot.SNAPSHOT_FOLDER.rglob("*") if file.is_file()]
    assert len(files) > models.VERSION_COUNT
    found = {file.name: match[0] for file in files for part in contents(file) if (match := ABSOLUTE.search(part))}
    assert found == {}
    assert ABSOLUTE.search(b"artifact_path: file:///dev/shm/a")
    assert ABSOLUTE.search(b'"/home/ann/churn"')


def test_the_snapshot_was_made_with_the_locked_scikit_learn() -> None:
    lock = (models.TRAINING_SCRIPT.parents[2] / "requirements-demo.lock").read_text(encoding="utf-8")
    locked = re.search(r"^scikit-learn==(\S+)", lock, flags=re.MULTILINE)
    assert locked
    assert snapshot.read_snapshot()["made_with"]["scikit-learn"] == locked[1], "run scripts/snapshot.py"


def test_models_made_with_another_scikit_learn_are_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    assert snapshot.is_compatible()
    monkeypatch.setattr(snapshot, "version", lambda name: "0.1")
    assert not snapshot.is_compatible()


# -- ready -------------------------------------------------------------------------------------------------------------


def test_it_is_ready_with_a_reading_of_this_start(slack: LocalSlack, tmp_path: Path) -> None:
    with monitored_app(slack, tmp_path) as (app, clock, _):
        wait_until(lambda: setup._has_reading(app.registrar, clock.now() - timedelta(days=1)))
        now = clock.now()
        assert not setup._has_reading(app.registrar, now + timedelta(days=1))
        wait_until(lambda: setup._has_reading(app.registrar, now))


def test_nobody_waits_for_a_monitor_that_is_not_there(app: RunningApp, tmp_path: Path) -> None:
    assert setup._has_reading(app.registrar, app.registrar.context.clock.now())


def test_nobody_waits_for_a_serve_py_that_keeps_dying(tmp_path: Path) -> None:
    home = DemoFolder(tmp_path / "home")
    with home.hold(), model_server.ModelServer(home, "http://127.0.0.1:9", 9) as dying:
        dying.crash_count = setup.MAX_CRASHES
        assert not setup._wait_until(dying.is_answering, dying)


def test_what_serves_says_so(tmp_path: Path) -> None:
    home = DemoFolder(tmp_path / "home")
    with home.hold(), run_receiver() as receiver:
        port = urlsplit(receiver.url).port
        running = model_server.ModelServer(home, "http://127.0.0.1:9", port)
        receiver.replies = [PlannedReply(503), PlannedReply(200)]
        assert [running.is_answering(), running.is_answering()] == [False, True]
    assert not model_server.ModelServer(home, "http://127.0.0.1:9", None).is_answering()


def test_there_are_as_many_versions_as_the_script_has_candidates() -> None:
    assert models.TRAINING_SCRIPT.read_text(encoding="utf-8").count("Candidate(estimator=") == models.VERSION_COUNT


def test_help_is_not_slowed_down_by_what_only_the_demo_needs() -> None:
    code = "import sys, handlers.terminal.main; print({'mlflow', 'slack_bolt', 'uvicorn'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True, timeout=30)
    assert said.stdout == "set()\n"
