"""`registrar demo`: the whole story on this machine, without Slack, on real models."""

from __future__ import annotations

import logging
import signal
import socket
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
from handlers.demo.folder import DEFAULT, Home, leave_the_real_world, serving_port
from handlers.demo.model_server import Serving
from handlers.demo.models import MODEL
from handlers.demo.progress import Progress
from handlers.startup import listen

if TYPE_CHECKING:
    from bot.registrar import Registrar
    from localslack import LocalSlack

MANIFEST = Path(__file__).parents[2] / "manifest.yml"
ROWS = 6_000  # made-up customers to train on


def demo(*, play: bool = False, train: bool = False, port: int = 0, rows: int = ROWS) -> int:
    """Run the demo until Ctrl-C, or `play` its story once in a home of its own; return the exit code.

    The models come from the snapshot, or are trained here on that many `rows`.

    Raises Misconfigured: the port is taken, a demo runs here already, or the home is not a demo's.
    """
    asked_for = leave_the_real_world()
    _on_the_end(signal.default_int_handler)  # an exception, because a training does not look for anything else
    try:
        with _home(asked_for, is_fresh=play) as home, Progress() as progress:
            run = _play if play else _serve
            return run(home, progress, port, rows if train else None)
    except KeyboardInterrupt:
        if play:
            return 130
        _tell("\nStopped before everything was ready. The next start continues from here.")
        return 0


@contextmanager
def _home(asked_for: Path | None, *, is_fresh: bool) -> Iterator[Home]:
    """Open the demo's folder, and let what would disturb the terminal go into its log."""
    with _throwaway() if is_fresh and not asked_for else nullcontext(asked_for or DEFAULT) as folder:
        home = Home(Path(folder))
        with home.opened():
            _log_to(home.log)
            _tell(f"{'Starting the demo from' if home.is_furnished else 'Setting the demo up in'} {home.folder}")
            yield home


def _throwaway() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="registrar-demo-", ignore_cleanup_errors=True)


def _log_to(file: Path) -> None:
    logging.basicConfig(filename=file, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    for name in ("bot", "handlers"):
        logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def _stage(home: Home, progress: Progress, port: int, rows: int | None) -> Iterator[tuple[LocalSlack, Registrar]]:
    """Run everything until the block ends. serve.py starts first, since it takes as long as all the rest."""
    progress.doing("Loading Registrar")
    serves_at = serving_port(load_policy(home.policy), MODEL)
    here = Settings.model_validate({"REGISTRAR_PORT": 0})  # a free port, to which serve.py pushes as soon as it can
    with listen(here) as listener, Serving(home, _address(listener), serves_at) as serving:
        if home.has_served:
            serving.start()
        with _workspace(home, port) as slack:
            # Here and not above: this takes seconds, and a taken port or home is reported without it.
            from handlers.demo import setup

            with setup.set_up(home, slack, serving, listener, progress, rows) as registrar:
                yield slack, registrar


def _address(listener: socket.socket) -> str:
    return "http://{}:{}".format(*listener.getsockname())


@contextmanager
def _workspace(home: Home, port: int) -> Iterator[LocalSlack]:
    """Run the local workspace at the wanted port; without one at that of the last time, or a free one."""
    with _listening(home, port) as slack:
        home.remember(_port_of(slack))
        yield slack


def _listening(home: Home, port: int) -> LocalSlack:
    from localslack import LocalSlack

    try:
        return LocalSlack.start(MANIFEST, state=home.workspace, port=port or home.port)
    except OSError as error:
        if port:
            raise Misconfigured(
                say(
                    "Port {port} cannot be used: {why}. Without {option}, a free one is taken.",
                    port=str(port),
                    why=error.strerror,
                    option=Code("--port"),
                )
            ) from error
        return LocalSlack.start(MANIFEST, state=home.workspace)


def _port_of(slack: LocalSlack) -> int:
    return int(slack.url.rstrip("/").rpartition(":")[2])


def _serve(home: Home, progress: Progress, port: int, rows: int | None) -> int:
    """Let people live the story until SIGINT or SIGTERM."""
    ended: SimpleQueue[None] = SimpleQueue()
    with _stage(home, progress, port, rows) as (slack, registrar):
        from handlers.demo import setup, welcome
        from handlers.serve import wait_for

        _on_the_end(lambda *_: ended.put(None))
        welcome.greet(slack.bot_token, slack.api_url)
        for line in welcome.lines(
            _port_of(slack), home, setup.first_act(registrar), is_watched=setup.is_watched(registrar)
        ):
            progress.tell(line)
        progress.stop()
        welcome.open_browser(_port_of(slack))
        wait_for(ended)
        progress.tell("\nStopping: finishing what was begun.")
    return 0


def _play(home: Home, progress: Progress, port: int, rows: int | None) -> int:
    """Play the story; return 1 where it breaks."""
    with _stage(home, progress, port, rows) as (slack, _):
        from handlers.demo import story

        progress.doing("Playing the story")
        try:
            story.Story(slack, progress.tell).play()
        except story.StoryError as broke:
            progress.tell(str(broke))
            return 1
    progress.tell("\nThat was the whole story. To try it yourself: make demo")
    return 0


def _on_the_end(handler: Callable[[int, FrameType | None], Any]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _tell(line: str) -> None:
    print(line, flush=True)
