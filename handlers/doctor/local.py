"""What lies on this machine: the policy file, the ledger, and the port on which we serve."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bot import http_client
from bot.bootstrap.ledger_tools import SqlLedger
from bot.bootstrap.storage import policy_last_in_force
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured, Unreachable, WrongPolicy
from bot.domain.core.numbers import pluralize
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.domain.transitions import restore_messages
from bot.policy_file import parse_policy, read_policy_text
from bot.services.policy.reload import revision_of
from bot.settings import Settings
from handlers.doctor.check import Diagnosis, DoctorCheck, display_url, failure, ok, warning
from handlers.doctor.policy_notices import UNMEETABLE_RULE, policy_notices
from handlers.startup import open_listener

# Network file systems, whose locks SQLite can't rely on (https://sqlite.org/faq.html#q5).
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
MOUNTS_FILE = Path("/proc/mounts")  # Linux has it


def check_policy(settings: Settings) -> tuple[Policy | None, list[Diagnosis]]:
    """Return the policy, None if it can't be used, and the diagnoses about it."""
    path, mend = settings.policy, "Mend it there; `registrar policy check` says whether all is right."
    try:
        text = read_policy_text(path)
        policy = parse_policy(text, path)
    except WrongPolicy as error:
        return None, [failure("policy", f"{path}: {fault}", mend) for fault in error.errors]
    except Misconfigured as error:
        if path.exists():
            return None, [failure("policy", str(error.sentence), mend)]
        advice = "`registrar init` writes one; if yours is elsewhere, REGISTRAR_POLICY has to name it."
        return None, [failure("policy", f"There is no policy file {path}.", advice)]
    patterns = pluralize(len(policy.models), "pattern")
    fine = ok("policy", f"{path} can be used (policy {revision_of(text)}, {patterns}).")
    minded = [warning("policy", notice, "docs/policy.md says how it is meant.") for notice in policy_notices(policy)]
    minded += [warning("policy", UNMEETABLE_RULE.format(rule), UNMEETABLE_ADVICE) for rule in unmeetable_rules(policy)]
    return policy, [fine, *minded, *_unset_variables(policy, os.environ)]


def _unset_variables(policy: Policy, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Yield the variables that the policy names and the environment is missing: those parts don't work."""
    named = {f"clients.{name}": [client.token_env] for name, client in policy.clients.items()}
    named |= {f"notify.{at}": [webhook.url_env, webhook.secret_env] for at, webhook in enumerate(policy.notify)}
    for path, names in named.items():
        for name in names:
            if name and not environ.get(name):
                problem = f"{path} of the policy reads {name}, which is not set here."
                yield warning("policy", problem, f"Set {name} for the bot; without it that part does nothing.")


def local_checks(settings: Settings) -> list[DoctorCheck]:
    """Return the checks of this machine."""
    return [
        DoctorCheck(
            "ledger",
            lambda: check_ledger(settings),
            "Look whether the database runs, and whether REGISTRAR_DATABASE_URL names it and who may use it.",
        ),
        DoctorCheck("HTTP", lambda: check_port(settings), "Choose another REGISTRAR_HOST or REGISTRAR_PORT."),
    ]


# -- the ledger --------------------------------------------------------------------------------------------------------


def check_ledger(settings: Settings) -> Iterator[Diagnosis]:
    """Yield how the ledger is; none is made or brought up to date. Raises Misconfigured and LedgerUnavailable."""
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
    """Return SQLite's file; None for PostgreSQL, and for SQLite's own form of a name."""
    is_plain = url.startswith("sqlite") and "uri=" not in url
    return Path(url.partition("///")[2].partition("?")[0]) if is_plain else None


def _check_folder(file: Path) -> Iterator[Diagnosis]:
    """Yield the diagnoses about the folder of SQLite's file."""
    folder = next(parent for parent in [file.absolute().parent, *file.absolute().parents] if parent.exists())
    if not os.access(file if file.exists() else folder, os.W_OK) or not os.access(folder, os.W_OK | os.X_OK):
        yield failure(
            "ledger",
            f"We may not write to {file if file.exists() else folder}.",
            "Give that folder to the user that runs the bot, or name another with REGISTRAR_HOME.",
        )
    elif not file.exists():
        yield ok("ledger", f"There is none yet; `registrar run` makes it at {file}.")
    kind = _file_system_type(folder, MOUNTS_FILE)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        yield warning(
            "ledger",
            f"{folder} lies on a network file system ({kind}), whose locks SQLite cannot rely on.",
            "Put REGISTRAR_HOME on a disk of this machine, or use PostgreSQL (REGISTRAR_DATABASE_URL).",
        )


def _file_system_type(folder: Path, mounts: Path) -> str:
    """Return the type of the file system of a folder; empty if the system doesn't report it."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    # The kernel writes a space as \040; of several mounts at one path, the last one counts.
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows if len(row) > 2}
    resolved = folder.resolve()
    return next((kinds[parent] for parent in [resolved, *resolved.parents] if parent in kinds), "")


def _no_ledger_diagnosis(settings: Settings, file: Path | None, *, is_shared: bool) -> Diagnosis:
    if is_shared:
        problem = f"The database at {display_url(settings.ledger_url)} has no ledger yet."
        return failure("ledger", problem, "`registrar db upgrade` makes its tables.")
    if file is None:
        return ok("ledger", f"{display_url(settings.ledger_url)} has no ledger yet; `registrar run` makes its tables.")
    if not file.stat().st_size:
        return ok("ledger", f"{file} is empty; `registrar run` makes the tables.")
    return failure(
        "ledger",
        f"{file} is no ledger of Registrar's.",
        "Move it away, or name another with REGISTRAR_HOME or REGISTRAR_DATABASE_URL.",
    )


def _check_tables(ledger: SqlLedger, settings: Settings) -> Diagnosis:
    location = display_url(settings.ledger_url)
    if ledger.is_current():
        return ok("ledger", f"{location} answers, and its tables are up to date.")
    problem = f"{location} answers; its tables are of an older Registrar."
    copy_first = "Take a copy before: `registrar db backup FILE`."
    if ledger.is_compatible() and not ledger.is_file:
        return failure("ledger", problem, f"`registrar db upgrade` brings them up to date. {copy_first}")
    if ledger.is_compatible():
        return warning("ledger", problem, f"Nothing to do: `registrar run` brings them up to date. {copy_first}")
    return failure(
        "ledger", f"{location} was written by a newer Registrar.", "Start that one, or restore an older copy."
    )


def _check_audit_head(head: ChainHead) -> Diagnosis:
    if not head.hash:
        return failure(
            "audit",
            "The audit's head is gone: somebody has changed the ledger by hand.",
            "`registrar audit verify` says what is left; restore a copy.",
        )
    events = pluralize(head.number, "event")
    return ok("audit", f"The audit has its head, after {events}; `registrar audit verify` reads it all.")


def _check_policy_in_force(ledger: SqlLedger, settings: Settings) -> Iterator[Diagnosis]:
    """Yield that the policy in force isn't the one on disk, with when that one applies if a bot runs here."""
    in_force = policy_last_in_force(settings, ledger)
    try:
        text = read_policy_text(settings.policy)
    except Misconfigured:
        text = ""
    if in_force is None or in_force[1] == revision_of(text):
        return
    problem = f"Revision {in_force[1]} of the policy is in force, not what {settings.policy} says."
    warnings = _ask_bot(settings, "/readyz").get("warnings") or ["No bot that runs here has seen the edit yet."]
    yield warning("policy", " ".join([problem, *map(str, warnings)]), "docs/policy.md says when an edit applies.")


# -- the port ----------------------------------------------------------------------------------------------------------


def check_port(settings: Settings) -> Iterator[Diagnosis]:
    """Yield whether the port is free, a bot's, or another program's."""
    address = f"{settings.host}:{settings.port}"
    if settings.port and _ask_bot(settings, "/healthz").get("status") == "alive":
        yield ok("HTTP", f"A bot is running at {address} already; a second one needs another port.")
        return
    try:
        open_listener(settings).close()
    except Misconfigured as error:
        is_taken = "in use" in str(error)
        problem = f"{address} is taken by another program." if is_taken else str(error.sentence)
        advice = (
            "Choose another with REGISTRAR_PORT, or end that program."
            if is_taken
            else ("REGISTRAR_HOST has to be an address of this machine, REGISTRAR_PORT one that we may use.")
        )
        yield failure("HTTP", problem, advice)
        return
    location = address if settings.port else f"{settings.host}, at a port that is free then"
    ways = [("Slack's signed calls", settings.slack_signing_secret), ("MLflow's webhooks", settings.webhook_secret)]
    accepted = ", ".join([*(name for name, secret in ways if secret), "what programs push", "/healthz"])
    yield ok("HTTP", f"`registrar run` will serve at {location}: {accepted}.")


def _ask_bot(settings: Settings, path: str) -> dict[str, Any]:
    """Return what a bot on our port answers; empty if there's none."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask for what listens
    host = everywhere.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{path}"
    try:
        document = json.loads(http_client.send_request("GET", url, timeout=2, headers={}, max_bytes=10_000).body)
    except (Unreachable, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
