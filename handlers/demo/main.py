"""`registrar demo`: the complete workflow on this machine, without Slack, with real models."""

from __future__ import annotations

import importlib.util
import logging
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.policy_file import load_policy
from bot.settings import Settings
from handlers.demo.folder import DEFAULT_FOLDER, DemoFolder, clear_real_environment, serving_port
from handlers.demo.model_server import ModelServer
from handlers.demo.models import MODEL
from handlers.demo.progress import ProgressReporter
from handlers.startup_checks import open_listener

if TYPE_CHECKING:
    from bot.registrar import Registrar
    from handlers.demo.guide import DemoGuide
    from localslack import LocalSlack

MANIFEST = Path(__file__).parents[2] / "manifest.yml"
EXTRA_MODULES = ("sklearn", "skops")  # what only the demo and the examples need
TRAINING_ROWS = 6_000  # synthetic customers to train on


def run_demo(*, play: bool = False, train: bool = False, port: int = 0, rows: int = TRAINING_ROWS) -> int:
    """Run the demo until Ctrl-C, or `play` its story once in a folder of its own; return the exit code.

    `play` uses a temporary folder unless REGISTRAR_HOME is set. With `train`, the models are trained here on `rows`
    synthetic customers; otherwise, they come from the snapshot, or are trained if it needs another scikit-learn
    version. Raises Misconfigured if the port is taken, a demo is already running here, the folder isn't a demo's, or
    the packages that only the demo needs aren't installed.
    """
    _require_extra()
    asked_for = clear_real_environment()
    _on_stop_signals(signal.default_int_handler)  # an exception, because training doesn't check for anything else
    try:
        with _open_folder(asked_for, is_fresh=play) as home, ProgressReporter() as progress:
            run = _play if play else _serve
            return run(home, progress, port, rows if train else None)
    except KeyboardInterrupt:
        if play:
            return 130
        print("\nStopped before everything was ready. The next start continues from here.", flush=True)
        return 0


def _require_extra() -> None:
    """Raise Misconfigured if the packages of the `demo` extra aren't installed."""
    if not all(map(importlib.util.find_spec, EXTRA_MODULES)):
        raise Misconfigured(
            say(
                "The demo needs scikit-learn and skops. Install Registrar with its extra: {extra}",
                extra=Code("registrar-bot[demo]"),
            )
        )


@contextmanager
def _open_folder(chosen: Path | None, *, is_fresh: bool) -> Iterator[DemoFolder]:
    """Open the demo's folder, and send logs that would clutter the terminal to its log file."""
    with (
        tempfile.TemporaryDirectory(prefix="registrar-demo-", ignore_cleanup_errors=True)
        if is_fresh and not chosen
        else nullcontext(chosen or DEFAULT_FOLDER)
    ) as folder:
        home = DemoFolder(Path(folder))
        with home.hold():
            logging.basicConfig(filename=home.log_file, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
            logging.captureWarnings(True)
            for name in ("bot", "handlers"):
                logging.getLogger(name).setLevel(logging.INFO)
            start = "Starting the demo from" if home.has_registry else "Setting up the demo in"
            print(f"{start} {home.path}", flush=True)
            yield home


@contextmanager
def _run_everything(
    folder: DemoFolder, progress: ProgressReporter, port: int, rows: int | None
) -> Iterator[tuple[LocalSlack, Registrar, DemoGuide]]:
    """Run everything until the block ends.

    If serve.py has served from this folder before, it starts first, since it takes as long to start as everything else.
    """
    progress.begin_step("Loading Registrar")
    serves_at = serving_port(load_policy(folder.policy_file), MODEL)
    settings = Settings.model_validate({"REGISTRAR_PORT": 0})  # a free port, to which serve.py pushes as soon as it can
    with (
        open_listener(settings) as listener,
        ModelServer(folder, url := "http://{}:{}".format(*listener.getsockname()), serves_at) as serving,
    ):
        folder.write_environment(url)
        if folder.has_served:
            serving.start()
        with _start_workspace(folder, port) as slack:
            folder.remember_port(_port_of(slack))
            # Imported here because this takes seconds, and a taken port or folder is reported without it.
            from handlers.demo import setup

            with setup.run_registrar(folder, slack, serving, listener, progress, rows) as (registrar, guide):
                yield slack, registrar, guide


def _start_workspace(folder: DemoFolder, port: int) -> LocalSlack:
    """Start the local workspace on `port`; if it's 0, use the previous start's port, or else a free one."""
    from localslack import LocalSlack

    try:
        return LocalSlack.start(MANIFEST, state=folder.workspace_file, port=port or folder.last_port)
    except OSError as error:
        if not port:
            return LocalSlack.start(MANIFEST, state=folder.workspace_file)
        raise Misconfigured(
            say(
                "Can't use port {port}: {why}. Omit {option} to use a free port.",
                port=str(port),
                why=error.strerror,
                option=Code("--port"),
            )
        ) from error


def _port_of(slack: LocalSlack) -> int:
    return int(slack.url.rstrip("/").rpartition(":")[2])


def _serve(folder: DemoFolder, progress: ProgressReporter, port: int, rows: int | None) -> int:
    """Run the demo until SIGINT or SIGTERM."""
    ended: SimpleQueue[None] = SimpleQueue()
    with _run_everything(folder, progress, port, rows) as (slack, registrar, guide), guide:
        from handlers.demo import setup, welcome
        from handlers.serve import wait_for_stop

        _on_stop_signals(lambda *_: ended.put(None))
        for line in welcome.welcome_lines(_port_of(slack), folder, has_monitors=setup.has_monitors(registrar)):
            progress.print_line(line)
        progress.stop()
        welcome.open_browser(_port_of(slack))
        wait_for_stop(ended)
        progress.print_line("\nStopping after the current work is finished.")
    return 0


def _play(folder: DemoFolder, progress: ProgressReporter, port: int, rows: int | None) -> int:
    """Play the story; return 0, or 1 if it fails."""
    with _run_everything(folder, progress, port, rows) as (slack, *_):
        from handlers.demo import actions, story

        progress.begin_step("Playing the story")
        try:
            story.DemoStory(slack, progress.print_line, lambda: actions.verify_champion(folder.env_file)).play()
        except story.StoryError as broke:
            progress.print_line(str(broke))
            return 1
    progress.print_line("\nThat was the whole story. To try it yourself: registrar demo")
    return 0


def _on_stop_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
