"""Checks for this machine: the policy file, the ledger, the keys, and the HTTP port."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bot import http_client
from bot.bootstrap.ledger_tools import SchemaAge, SqlLedger
from bot.bootstrap.storage import policy_last_in_force
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured, Unreachable, WrongPolicy
from bot.domain.core.numbers import pluralize
from bot.domain.policy.parser import revision_of
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.domain.transitions import restore_messages
from bot.key_folder import KeyFolder
from bot.policy_file import parse_policy, read_policy_text
from bot.settings import Settings
from handlers.doctor.check import Diagnosis, DoctorCheck, display_url, failure, ok, warning
from handlers.doctor.policy_notices import UNMEETABLE_RULE, policy_notices
from handlers.startup_checks import open_listener

# Network file systems, where SQLite can't rely on locks (https://sqlite.org/faq.html#q5).
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "afs",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
)
UNMEETABLE_ADVICE = "Add approvers, or lower `required`."  # for a rule that can't be met
MOUNTS_FILE = Path("/proc/mounts")  # exists only on Linux


def check_policy(settings: Settings) -> tuple[Policy | None, list[Diagnosis]]:
    """Return the policy (None if it can't be used) and the diagnoses about it."""
    path, mend = settings.policy, "Fix the file, then run `registrar policy check`."
    try:
        text = read_policy_text(path)
        policy = parse_policy(text, path)
    except WrongPolicy as error:
        return None, [failure("policy", f"{path}: {fault}", mend) for fault in error.errors]
    except Misconfigured as error:
        if path.exists():
            return None, [failure("policy", str(error.sentence), mend)]
        advice = "Run `registrar init` to create one, or set REGISTRAR_POLICY to the path of yours."
        return None, [failure("policy", f"The policy file {path} doesn't exist.", advice)]
    patterns = pluralize(len(policy.models), "pattern")
    fine = ok("policy", f"{path} is valid (revision {revision_of(text)}, {patterns}).")
    minded = [warning("policy", notice, "See docs/reference/policy.md.") for notice in policy_notices(policy)]
    minded += [warning("policy", UNMEETABLE_RULE.format(rule), UNMEETABLE_ADVICE) for rule in unmeetable_rules(policy)]
    return policy, [fine, *minded, *_unset_variables(policy, os.environ)]


def _unset_variables(policy: Policy, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Yield a warning for each variable that the policy names but the environment doesn't set."""
    named = {f"clients.{name}": [client.token_env] for name, client in policy.clients.items()}
    named |= {path: [endpoint.url_env, endpoint.secret_env] for path, endpoint in policy.endpoints()}
    for path, names in named.items():
        for name in names:
            if name and not environ.get(name):
                problem = f"{path} in the policy needs {name}, which isn't set, so it has no effect."
                yield warning("policy", problem, f"Set {name} in the bot's environment.")


def local_checks(settings: Settings) -> list[DoctorCheck]:
    """Return the checks for this machine."""
    return [
        DoctorCheck(
            "ledger",
            lambda: check_ledger(settings),
            "Check that the database is running and that REGISTRAR_DATABASE_URL has its address and credentials.",
        ),
        DoctorCheck("keys", lambda: check_keys(settings), "Fix the folder in REGISTRAR_KEYS, or create a key."),
        DoctorCheck("HTTP", lambda: check_port(settings), "Choose another REGISTRAR_HOST or REGISTRAR_PORT."),
    ]


# -- the ledger --------------------------------------------------------------------------------------------------------


def check_ledger(settings: Settings) -> Iterator[Diagnosis]:
    """Check the ledger, without creating or upgrading it. Raises Misconfigured and LedgerUnavailable."""
    with closing(SqlLedger(settings.ledger_url)) as opened:
        file = _sqlite_file(settings.ledger_url)
        if file is not None:
            yield from _check_folder(file)
            if not file.exists():
                return
        try:
            opened.require_ledger()
        except Misconfigured:
            yield _no_ledger_diagnosis(settings, file, is_shared=not opened.is_file)
            return
        yield _check_tables(opened, settings)
        if opened.is_current():
            with opened.read() as reader:
                head, hold = reader.audit_head(), reader.active_hold()
            yield _check_audit_head(head)
            yield from _check_policy_in_force(opened, settings)
            if hold:
                cause, steps = restore_messages.hold_cause(hold), restore_messages.hold_next_steps()
                yield warning("ledger", str(cause), str(steps))


def _sqlite_file(url: str) -> Path | None:
    """Return the path of the SQLite file; None for PostgreSQL and for SQLite's `file:` URIs."""
    is_plain = url.startswith("sqlite") and "uri=" not in url
    return Path(url.partition("///")[2].partition("?")[0]) if is_plain else None


def _check_folder(file: Path) -> Iterator[Diagnosis]:
    """Check the SQLite file's folder: whether the bot can write there, and whether it's on a network file system."""
    folder = next(parent for parent in [file.absolute().parent, *file.absolute().parents] if parent.exists())
    if not os.access(file if file.exists() else folder, os.W_OK) or not os.access(folder, os.W_OK | os.X_OK):
        yield failure(
            "ledger",
            f"No permission to write to {file if file.exists() else folder}.",
            "Give the bot's user write access to it, or set REGISTRAR_HOME to another folder.",
        )
    elif not file.exists():
        yield ok("ledger", f"No ledger yet: `registrar run` creates it at {file}.")
    kind = _file_system_type(folder, MOUNTS_FILE)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        yield warning(
            "ledger",
            f"{folder} is on a network file system ({kind}), where SQLite can't rely on locks.",
            "Set REGISTRAR_HOME to a local disk, or use PostgreSQL (REGISTRAR_DATABASE_URL).",
        )


def _file_system_type(folder: Path, mounts: Path) -> str:
    """Return the type of a folder's file system; empty if the system doesn't report it."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    # The kernel writes a space as \040. If several mounts share a path, the last one applies.
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows if len(row) > 2}
    resolved = folder.resolve()
    return next((kinds[parent] for parent in [resolved, *resolved.parents] if parent in kinds), "")


def _no_ledger_diagnosis(settings: Settings, file: Path | None, *, is_shared: bool) -> Diagnosis:
    if is_shared:
        problem = f"The database at {display_url(settings.ledger_url)} has no ledger yet."
        return failure("ledger", problem, "Run `registrar db upgrade` to create it.")
    if file is None:
        return ok("ledger", f"{display_url(settings.ledger_url)} has no ledger yet: `registrar run` creates it.")
    if not file.stat().st_size:
        return ok("ledger", f"{file} is empty: `registrar run` creates the ledger in it.")
    return failure(
        "ledger",
        f"{file} isn't a Registrar ledger.",
        "Move the file, or set REGISTRAR_HOME or REGISTRAR_DATABASE_URL to another location.",
    )


def _check_tables(ledger: SqlLedger, settings: Settings) -> Diagnosis:
    location, age = display_url(settings.ledger_url), ledger.schema().age
    if age is SchemaAge.CURRENT:
        return ok("ledger", f"{location} is responding, and its tables are up to date.")
    problem = f"{location} is responding, but its tables were created by an older version of Registrar."
    copy_first = "Back up first: `registrar db backup FILE`."
    if age is SchemaAge.OLDER and not ledger.is_file:
        return failure("ledger", problem, f"Run `registrar db upgrade` to upgrade them. {copy_first}")
    if age is SchemaAge.OLDER:
        return warning("ledger", problem, f"`registrar run` upgrades them at startup. {copy_first}")
    return failure(
        "ledger",
        f"{location} was written by a newer version of Registrar.",
        "Run that version, or restore an older backup.",
    )


def _check_audit_head(head: ChainHead) -> Diagnosis:
    if not head.hash:
        return failure(
            "audit",
            "The audit log's head is missing: someone edited the ledger directly.",
            "Run `registrar audit verify` to see what's left, then restore a backup.",
        )
    events = pluralize(head.number, "event")
    return ok("audit", f"The audit log's head is in place, after {events}. `registrar audit verify` checks them all.")


def _check_policy_in_force(ledger: SqlLedger, settings: Settings) -> Iterator[Diagnosis]:
    """Yield a warning if the policy in effect differs from the file.

    If a bot is running on this machine, the warning includes why, and when the file takes effect.
    """
    in_force = policy_last_in_force(settings, ledger)
    try:
        text = read_policy_text(settings.policy)
    except Misconfigured:
        text = ""
    if in_force is None or in_force[1] == revision_of(text):
        return
    problem = f"The policy in effect (revision {in_force[1]}) differs from {settings.policy}."
    warnings = _ask_bot(settings, "/readyz").get("warnings") or ["No bot on this machine has seen the edit yet."]
    yield warning(
        "policy",
        " ".join([problem, *map(str, warnings)]),
        "docs/how-to/edit-the-policy.md explains when an edit takes effect.",
    )


# -- the keys ----------------------------------------------------------------------------------------------------------


def check_keys(settings: Settings) -> Iterator[Diagnosis]:
    """Check which key signs passports, if any. Raises Misconfigured if the key can't be used."""
    signer = KeyFolder(settings.keys_folder).signer()
    no_key = "There's no key, so versions get no passports. To create one, run `registrar keys init`."
    yield ok("keys", f"Key {signer.key_id} signs passports." if signer else no_key)


# -- the port ----------------------------------------------------------------------------------------------------------


def check_port(settings: Settings) -> Iterator[Diagnosis]:
    """Check whether the port is free, or in use by a bot or something else."""
    address = f"{settings.host}:{settings.port}"
    if settings.port and _ask_bot(settings, "/healthz").get("status") == "alive":
        yield ok("HTTP", f"A bot is already running at {address}. A second one needs another port.")
        return
    try:
        open_listener(settings).close()
    except Misconfigured as error:
        is_taken = "in use" in str(error)
        problem = f"{address} is in use, and no bot responds there." if is_taken else str(error.sentence)
        advice = (
            "Stop the program that uses it, or set REGISTRAR_PORT to another port."
            if is_taken
            else (
                "Set REGISTRAR_HOST to an address of this machine, and REGISTRAR_PORT to a port that the bot can use."
            )
        )
        yield failure("HTTP", problem, advice)
        return
    location = address if settings.port else f"{settings.host}, on any free port"
    ways = [("Slack's signed calls", settings.slack_signing_secret), ("MLflow's webhooks", settings.webhook_secret)]
    accepted = ", ".join([*(name for name, secret in ways if secret), "the HTTP API", "/healthz"])
    yield ok("HTTP", f"`registrar run` will serve these at {location}: {accepted}.")


def _ask_bot(settings: Settings, path: str) -> dict[str, Any]:
    """Return the JSON reply of the bot on the configured port; empty if there isn't one."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - only maps it to an address to call
    host = everywhere.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{path}"
    try:
        document = json.loads(http_client.send_request("GET", url, timeout=2, headers={}, max_bytes=10_000).body)
    except (Unreachable, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
