"""The demo's folder, kept separate from any real installation."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.key_folder import KeyFolder
from handlers.setup.files import save_values

DEFAULT_FOLDER = Path(".demo")

POLICY_TEMPLATE = """\
# The demo's policy: who can move which model where. Edit it while the demo runs; changes apply within seconds.
# Try it: set `required: 2` under production, and Carol has to approve, too.

channel: "#ml-models"          # where requests are posted
policy: {settle: 0s}           # only for the demo; otherwise, an edit that loosens a rule waits for 30 s

roles:                         # people in the local workspace, by their IDs there
  lead: [U0BOB, U0CAROL]       # approvers
  admin: [U0DAVE]              # can cancel anyone's request, freeze, and override failed gates

metrics:                       # how to show metrics; differences below `noise` are ignored
  f1: {decimals: 3}
  latency_ms: {unit: ms, decimals: 0, noise: 2}

models:
  "*": &everywhere             # every model; a longer pattern replaces this whole rule
    staging:
      approvers: [lead]
      requester_may_approve: true
    production:
      approvers: [lead]
      required: 1              # how many people have to approve
      requester_may_approve: false
      expires_after: 24h
      gates:                   # what a version must meet; `/model validate churn 1` checks without a request
        - {metric: f1, not_worse_than_incumbent_by: 0.01}
        - {metric: latency_ms, at_most: 250}
        - {signature: compatible}
      override: [admin]        # who can override a failed gate, with a reason
  "churn":
    <<: *everywhere            # the same, plus a monitor for the version in Production
    monitors:
      - name: accuracy-live
        source: live
        query: accuracy
        greater_than: 0.92     # what's healthy
        every: 10s             # all times are short for the demo; docs/explanation/monitors.md has the usual ones
        fail_after: 2          # consecutive failed checks
        recover_after: 2
        warmup: 0s
        cooldown: 0s
        min_served: 1s         # a rollback target must have served this long; usually 24h
        max_auto: 3            # automatic rollbacks in 24 hours; after that, it asks a person
        action: auto           # dry_run, notify, ask, or auto

# examples/churn/serve.py runs with the demo: it pushes the live accuracy, and reports which version is serving.
sources:
  live: {type: push, require_signature: true}
clients:
  churn-serving:
    token_file: "serve.token"
    models: [churn]
    may: [push, read]          # read: to verify what was approved
  agents:                      # an agent that uses `registrar mcp` for Alice
    token_file: "agents.token"
    acts_for: U0ALICE
    models: [churn]
    may: [read, request]
serving:
  "churn": {url: "http://127.0.0.1:0/version", json: version, every: 1s, timeout: 1m}
"""

# A client in that file that couldn't read in earlier demos.
_PUSHES_ONLY = re.compile(r"(?<=^    models: \[churn\]\n    may: \[push)(?=\]$)", re.MULTILINE)

# Values in that file that depend on the machine; each start updates them.
_TOKEN_FILE = re.compile(r'(?<=token_file: )"(?:[^"]*/)?((?:serve|agents)\.token)"')
_PROBE_PORT = re.compile(r"(?<=http://127\.0\.0\.1:)\d+(?=/version\b)")

# Variables from the user's shell that could name a real workspace, registry, ledger, or run. The proxies are here
# because Slack's client would call 127.0.0.1 through them, too.
_REAL_PREFIXES = ("SLACK_", "MLFLOW_", "REGISTRAR_", "DATABRICKS_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
_DEMO_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow records a run's commit; without git it complains
    "MLFLOW_CONFIGURE_LOGGING": "false",  # its log goes to the demo's log file, not to the terminal
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class DemoFolder:
    """The demo's folder: the paths of its files, and the lock that only one running demo can hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registry_uri = f"sqlite:///{path.absolute() / 'mlflow.db'}"
        self.workspace_file = path / "workspace.db"
        self.policy_file = path / "registrar.yml"
        self.token_file = path / "serve.token"  # serve.py pushes with it; only its owner can read the file
        self.log_file = path / "demo.log"  # output that would clutter the terminal
        self.serving_cache = path / "serving"  # serve.py caches the served model here for a faster next start
        self.agent_token_file = path / "agents.token"
        self.env_file = path / "demo.env"  # for `registrar verify` in another terminal; only its owner can read it
        self.agent_env_file = path / "agent.env"  # for `registrar mcp`, in the same way
        self.broken_file = path / "broken.json"  # the version that someone broke last
        # It marks a demo's folder, stores its port, and (through its lock) shows whether the demo is running.
        self._address_file = path / "demo.address"

    @property
    def has_served(self) -> bool:
        """Whether a model has been served from this folder, which means that the registry is complete."""
        return self.has_registry and any(self.serving_cache.rglob("*.skops"))

    @property
    def has_registry(self) -> bool:
        """Whether this folder has a registry, which means that a demo has run here before."""
        return self.path.joinpath("mlflow.db").exists()

    @property
    def last_port(self) -> int:
        """The port of the previous start, so that an open page or SSH tunnel still works; 0 on the first start."""
        try:
            return int(self._address_file.read_text().rsplit(":", 1)[-1])
        except (OSError, ValueError):
            return 0

    def remember_port(self, port: int) -> None:
        """Record the port, for the next start and for the error shown to anyone who starts a second demo here."""
        self._address_file.write_text(f"127.0.0.1:{port}")

    def write_environment(self, registrar_url: str) -> None:
        """Write the environment files that point `registrar verify` and an agent to this demo. Raises Misconfigured."""
        for env_file, token_file in ((self.env_file, self.token_file), (self.agent_env_file, self.agent_token_file)):
            values = {
                "MLFLOW_TRACKING_URI": self.registry_uri,
                "REGISTRAR_HOME": str(self.path.absolute()),
                "REGISTRAR_URL": registrar_url,
                "REGISTRAR_TOKEN": token_file.read_text(encoding="ascii").strip(),
            }
            save_values(env_file, values)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder until the block ends, and create whatever is missing in it.

        Raises Misconfigured if it isn't a demo's folder, or if another demo is running in it.
        """
        if self.path.joinpath("ledger.db").exists() and not self._address_file.exists():
            raise Misconfigured(
                say(
                    "{home} has a Registrar that isn't a demo, so nothing was changed. Set {setting} to another "
                    "folder, or unset it.",
                    home=Code(str(self.path)),
                    setting=Code("REGISTRAR_HOME"),
                )
            )
        self.path.mkdir(parents=True, exist_ok=True)
        with self._address_file.open("a") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise self._is_running() from None
            if not self.policy_file.exists():
                self.policy_file.write_text(POLICY_TEMPLATE, encoding="utf-8")
            for token_file in (self.token_file, self.agent_token_file):
                if not token_file.exists():
                    token_file.touch(mode=0o600)
                    token_file.write_text(secrets.token_urlsafe(32), encoding="ascii")
            keys = KeyFolder(self.path / "keys")
            if keys.signer() is None:
                keys.activate(keys.create())
            self._adapt_policy()
            yield

    def _is_running(self) -> Misconfigured:
        return Misconfigured(
            say(
                "A demo is already running in {home}{where}. Stop it with Ctrl-C, or run a second one: {command}",
                home=Code(str(self.path)),
                where=f": open http://127.0.0.1:{self.last_port}/" if self.last_port else ", and is starting",
                command=Code("REGISTRAR_HOME=.demo-2 .venv/bin/registrar demo"),
            )
        )

    def _adapt_policy(self) -> None:
        """Point the policy to this folder's token files and a free port for serve.py; allow its client to read."""
        before, folder = self.policy_file.read_text(encoding="utf-8"), self.path.absolute()
        after = _PUSHES_ONLY.sub(", read", before)
        after = _TOKEN_FILE.sub(lambda match_: json.dumps(str(folder / match_[1]), ensure_ascii=False), after)
        after = _PROBE_PORT.sub(lambda match_: str(_find_free_port(int(match_[0]))), after)
        if after != before:
            self.policy_file.write_text(after, encoding="utf-8")


def serving_port(policy: Policy, model: str) -> int | None:
    """Return the local port that the policy probes for the served version; None if it probes none."""
    probe = policy.probe_for(model)
    port = _PROBE_PORT.search(probe.url) if probe else None
    return int(port[0]) if port else None


def _find_free_port(port: int) -> int:
    """Return this port, or a free one if it's taken."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def clear_real_environment() -> Path | None:
    """Remove environment variables that could name real systems, and set the demo's; return REGISTRAR_HOME, or None."""
    home = os.environ.get("REGISTRAR_HOME")
    for name in list(os.environ):
        if name.startswith(_REAL_PREFIXES) or name.upper() in _PROXIES:
            del os.environ[name]
    os.environ.update(_DEMO_ENVIRONMENT)
    return Path(home) if home else None
