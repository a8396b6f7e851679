"""What a page's commands find: the parts that it asks for with `<!-- run with: … -->`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pytest
import yaml

from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, POLICY
from tests.support.app.workspaces import SPEED
from tests.support.docs.blocks import CodeBlock
from tests.support.docs.shell import put_programs_on_path, shell_environment
from tests.support.ledger.ledgers import PostgresServer
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

PARTS = ("policy", "ledger", "mlflow", "slack", "registrar", "client", "postgres", "checkout")
NEEDS = {"registrar": ("policy", "mlflow", "slack"), "client": ("policy", "mlflow", "slack", "registrar")}
TOKEN = "t0ken-of-the-docs"
READY = "Registrar is ready"
WHERE_POSTGRES_IS = "PGHOST=db.internal PGUSER=registrar PGPASSWORD=…"


@dataclass(slots=True)
class PageWorld:
    """A folder with what a page needs."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    replacements: dict[str, str] = field(default_factory=dict)  # what a page calls its parts, and where they are here
    programs: list[Path] = field(default_factory=list)
    first: list[CodeBlock] = field(default_factory=list)  # what is typed before the page's own blocks

    def as_typed(self, block: CodeBlock) -> CodeBlock:
        """Return the block with this world's addresses."""
        text = block.text
        for old, new in self.replacements.items():
            text = text.replace(old, new)
        return CodeBlock(block.page, block.line, block.language, text, block.mark)

    def environment(self) -> dict[str, str]:
        """Return the environment of the page's shell."""
        return shell_environment(self.folder.with_name("home"), self.programs, **self.variables)


def wanted_parts(setting: str) -> list[str]:
    """Return the parts that a page's `run with` stands for."""
    named = [name.strip() for name in setting.split(",") if name.strip()]
    assert set(named) <= set(PARTS), f"unknown parts in “{setting}”; known: {', '.join(PARTS)}"
    wanted = {*named, *(one for name in named for one in NEEDS.get(name, ()))}
    if "registrar" in wanted:
        wanted -= {"ledger"}  # it writes its own; the one of this part is about models that MLflow doesn't have
    return [name for name in PARTS if name in wanted]


@contextmanager
def page_world(parts: list[str], root: Path, request: pytest.FixtureRequest) -> Iterator[PageWorld]:
    """Set up a folder with these parts."""
    world = PageWorld(root / "page")
    world.folder.mkdir()
    world.programs.append(put_programs_on_path(root / "programs"))
    for part in parts:
        if part in _ADD:
            _ADD[part](world, request)
    if "slack" not in parts:
        yield world
        return
    slack: LocalSlack = request.getfixturevalue("slack")
    world.variables |= {
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "REGISTRAR_SLACK_PACE": str(1 / SPEED),
    }
    if "registrar" in parts:
        _add_registrar(world, is_client="client" in parts)
    with _bob_approves(slack):
        yield world


def _add_policy(world: PageWorld, _: pytest.FixtureRequest) -> None:
    client = {"token_env": "REGISTRAR_CLIENT_DOCS", "may": ["push", "request"]}
    models = {**POLICY["models"], "*": POLICY["models"]["*"] | {"rollback": {"by": ["lead", "U0ALICE"]}}}
    policy = POLICY | {
        "models": models,
        "operators": {getpass.getuser(): "U0ALICE"},
        "sources": {"live": {"type": "push"}},
        "clients": {"docs": client},
    }
    (world.folder / "registrar.yml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    world.variables["REGISTRAR_CLIENT_DOCS"] = TOKEN


def _add_ledger(world: PageWorld, _: pytest.FixtureRequest) -> None:
    (world.folder / ".registrar").mkdir()
    with closing(SqlLedger(f"sqlite:///{world.folder / '.registrar' / 'ledger.db'}")) as ledger:
        ledger.migrate()
        populate(open_bench(ledger))


def _add_mlflow(world: PageWorld, request: pytest.FixtureRequest) -> None:
    from mlflow import MlflowClient

    backend: MlflowBackend = request.getfixturevalue("mlflow_backend")
    server: MlflowServer = request.getfixturevalue("mlflow_server")
    backend.add_model("churn")
    for f1, stage in ((0.80, Stage.ARCHIVED), (0.83, Stage.NONE), (0.88, Stage.PRODUCTION), (0.91, Stage.NONE)):
        run_id = backend.add_run(metrics={"f1": f1, "accuracy": f1})
        backend.add_version("churn", stage=stage, run_id=run_id, source="s3://models/churn")
    MlflowClient(server.uri).set_registered_model_alias("churn", "champion", "3")
    world.variables["MLFLOW_TRACKING_URI"] = server.uri
    world.replacements["http://mlflow.internal:5000"] = server.uri


def _add_postgres(world: PageWorld, request: pytest.FixtureRequest) -> None:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    socket = re.search(r"host=([^&]+)", server.url("postgres"))
    assert socket
    world.variables |= {"PGHOST": socket[1], "PGUSER": "postgres"}
    world.replacements[WHERE_POSTGRES_IS] = f"PGHOST={socket[1]} PGUSER=postgres"
    world.programs.append(server.programs)


def _add_checkout(world: PageWorld, _: pytest.FixtureRequest) -> None:
    for name in ("examples", "deploy", "manifest.yml"):
        (world.folder / name).symlink_to(ROOT / name)
    put_programs_on_path(world.folder / ".venv" / "bin")


_ADD = {
    "policy": _add_policy,
    "ledger": _add_ledger,
    "mlflow": _add_mlflow,
    "postgres": _add_postgres,
    "checkout": _add_checkout,
}


def _add_registrar(world: PageWorld, *, is_client: bool) -> None:
    """Let a running Registrar be the first thing that's typed; a client's terminal isn't on its machine."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    start = f"REGISTRAR_URL='' REGISTRAR_PORT={port} registrar run\n"
    world.first.append(CodeBlock("(the page's Registrar)", 0, "sh", start, f"runs until: {READY}"))
    world.variables |= {"REGISTRAR_TOKEN": TOKEN, **({"REGISTRAR_URL": address} if is_client else {})}
    world.replacements |= {"http://localhost:3000": address, "http://127.0.0.1:3000": address}


@contextmanager
def _bob_approves(slack: LocalSlack) -> Iterator[None]:
    """Have Bob approve each request that he sees."""
    bob, done = slack.person("bob"), Event()
    approved: set[str] = set()

    def approve() -> None:
        while not done.wait(0.2):
            for message in bob.sees(CHANNEL):
                is_pending = "request_approve" in str(message.get("blocks")) and message["ts"] not in approved
                if is_pending and bob.clicks(message, "Approve").acked:
                    approved.add(message["ts"])

    thread = Thread(target=approve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)
