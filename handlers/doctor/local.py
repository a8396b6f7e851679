"""What lies on this machine: the policy file, the ledger, and the port on which we serve."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bot import http_client
from bot.bootstrap.storage import policy_beside
from bot.domain.core.errors import Misconfigured, Unreachable, WrongPolicy
from bot.domain.core.numbers import counted
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.domain.transitions import restore_messages
from bot.ledger import SqlLedger
from bot.policy_file import parse_policy, read_text
from bot.services.policy.reload import revision
from bot.settings import Settings
from handlers.doctor.check import Check, shown
from handlers.doctor.diagnosis import Finding, mind, ok, wrong
from handlers.doctor.policy_notices import UNMEETABLE, notices
from handlers.startup import listen

# File systems that live on another machine, whose locks SQLite cannot rely on (https://sqlite.org/faq.html#q5).
FAR_AWAY = ("nfs", "cifs", "smb", "afs", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse")
LACKING = "Add approvers, or lower `required`."  # for a rule that can't be met
MOUNTS = Path("/proc/mounts")  # Linux has it


def read_policy(settings: Settings) -> tuple[Policy | None, list[Finding]]:
    """Return the policy, None where there is none that can be used, and what is to be said of it."""
    path, mend = settings.policy, "Mend it there; `registrar policy check` says whether all is right."
    try:
        text = read_text(path)
        policy = parse_policy(text, path)
    except WrongPolicy as error:
        return None, [wrong("policy", f"{path}: {fault}", mend) for fault in error.faults]
    except Misconfigured as error:
        if path.exists():
            return None, [wrong("policy", str(error.sentence), mend)]
        advice = "`registrar init` writes one; if yours is elsewhere, REGISTRAR_POLICY has to name it."
        return None, [wrong("policy", f"There is no policy file {path}.", advice)]
    patterns = counted(len(policy.models), "pattern")
    fine = ok("policy", f"{path} can be used (policy {revision(text)}, {patterns}).")
    minded = [mind("policy", one, "docs/policy.md says how it is meant.") for one in notices(policy)]
    minded += [mind("policy", UNMEETABLE.format(one), LACKING) for one in unmeetable_rules(policy)]
    return policy, [fine, *minded, *_unset(policy, os.environ)]


def _unset(policy: Policy, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the variables that the policy names and the environment lacks: those parts do not work."""
    named = {f"clients.{name}": [one.token_env] for name, one in policy.clients.items()}
    named |= {f"notify.{at}": [one.url_env, one.secret_env] for at, one in enumerate(policy.notify)}
    for path, names in named.items():
        for name in names:
            if name and not environ.get(name):
                what = f"{path} of the policy reads {name}, which is not set here."
                yield mind("policy", what, f"Set {name} for the bot; without it that part does nothing.")


def checks(settings: Settings) -> list[Check]:
    """Return the looks at this machine."""
    return [
        Check(
            "ledger",
            lambda: ledger(settings),
            "Look whether the database runs, and whether REGISTRAR_DATABASE_URL names it and who may use it.",
        ),
        Check("HTTP", lambda: port(settings), "Choose another REGISTRAR_HOST or REGISTRAR_PORT."),
    ]


# -- the ledger --------------------------------------------------------------------------------------------------------


def ledger(settings: Settings) -> Iterator[Finding]:
    """Yield how the ledger is; none is made or brought up to date. Raises Misconfigured and LedgerUnavailable."""
    with closing(SqlLedger(settings.ledger_url)) as opened:
        file = _sqlite_file(settings.ledger_url)
        if file is not None:
            yield from _around(file)
            if not file.exists():
                return
        try:
            opened.require()
        except Misconfigured:
            yield _not_a_ledger(settings, file, is_shared=not opened.is_file)
            return
        yield _tables(opened, settings)
        if opened.is_current():
            yield _head(opened)
            yield from _in_force(opened, settings)
            yield from _hold(opened)


def _sqlite_file(url: str) -> Path | None:
    """Return SQLite's file; None for PostgreSQL, and for SQLite's own form of a name."""
    is_plain = url.startswith("sqlite") and "uri=" not in url
    return Path(url.partition("///")[2].partition("?")[0]) if is_plain else None


def _around(file: Path) -> Iterator[Finding]:
    """Yield what is to be said of where SQLite's file lies, or will lie."""
    folder = next(one for one in [file.absolute().parent, *file.absolute().parents] if one.exists())
    if not os.access(file if file.exists() else folder, os.W_OK) or not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(
            "ledger",
            f"We may not write to {file if file.exists() else folder}.",
            "Give that folder to the user that runs the bot, or name another with REGISTRAR_HOME.",
        )
    elif not file.exists():
        yield ok("ledger", f"There is none yet; `registrar run` makes it at {file}.")
    kind = _file_system(folder, MOUNTS)
    if kind.startswith(FAR_AWAY):
        yield mind(
            "ledger",
            f"{folder} lies on a network file system ({kind}), whose locks SQLite cannot rely on.",
            "Put REGISTRAR_HOME on a disk of this machine, or use PostgreSQL (REGISTRAR_DATABASE_URL).",
        )


def _file_system(folder: Path, mounts: Path) -> str:
    """Return the kind of file system on which a folder lies; nothing where the system does not tell."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    # The kernel writes a space as \040; of several mounts at one place the last one holds.
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows if len(row) > 2}
    where = folder.resolve()
    return next((kinds[one] for one in [where, *where.parents] if one in kinds), "")


def _not_a_ledger(settings: Settings, file: Path | None, *, is_shared: bool) -> Finding:
    if is_shared:
        what = f"The database at {shown(settings.ledger_url)} has no ledger yet."
        return wrong("ledger", what, "`registrar db upgrade` makes its tables.")
    if file is None:
        return ok("ledger", f"{shown(settings.ledger_url)} has no ledger yet; `registrar run` makes its tables.")
    if not file.stat().st_size:
        return ok("ledger", f"{file} is empty; `registrar run` makes the tables.")
    return wrong(
        "ledger",
        f"{file} is no ledger of Registrar's.",
        "Move it away, or name another with REGISTRAR_HOME or REGISTRAR_DATABASE_URL.",
    )


def _tables(opened: SqlLedger, settings: Settings) -> Finding:
    where = shown(settings.ledger_url)
    if opened.is_current():
        return ok("ledger", f"{where} answers, and its tables are up to date.")
    if opened.is_known() and not opened.is_file:
        return wrong(
            "ledger",
            f"{where} answers; its tables are of an older Registrar.",
            "`registrar db upgrade` brings them up to date. Take a copy before: `registrar db backup FILE`.",
        )
    if opened.is_known():
        return mind(
            "ledger",
            f"{where} answers; its tables are of an older Registrar.",
            "Nothing to do: `registrar run` brings them up to date. Take a copy before: `registrar db backup FILE`.",
        )
    return wrong("ledger", f"{where} was written by a newer Registrar.", "Start that one, or restore an older copy.")


def _hold(opened: SqlLedger) -> Iterator[Finding]:
    with opened.read() as reading:
        hold = reading.hold()
    if hold:
        yield mind("ledger", str(restore_messages.found(hold)), str(restore_messages.what_next()))


def _head(opened: SqlLedger) -> Finding:
    with opened.read() as reading:
        head = reading.head()
    if not head.hash:
        return wrong(
            "audit",
            "The audit's head is gone: somebody has changed the ledger by hand.",
            "`registrar audit verify` says what is left; restore a copy.",
        )
    events = counted(head.number, "event")
    return ok("audit", f"The audit has its head, after {events}; `registrar audit verify` reads it all.")


def _in_force(opened: SqlLedger, settings: Settings) -> Iterator[Finding]:
    """Yield that the policy in force isn't the one on disk, with when that one applies if a bot runs here."""
    in_force = policy_beside(settings, opened)
    try:
        text = read_text(settings.policy)
    except Misconfigured:
        text = ""
    if in_force is None or in_force[1] == revision(text):
        return
    what = f"Revision {in_force[1]} of the policy is in force, not what {settings.policy} says."
    warnings = _bot_says(settings, "/readyz").get("warnings") or ["No bot that runs here has seen the edit yet."]
    yield mind("policy", " ".join([what, *map(str, warnings)]), "docs/policy.md says when an edit applies.")


# -- the port ----------------------------------------------------------------------------------------------------------


def port(settings: Settings) -> Iterator[Finding]:
    """Yield what becomes of the port: free, a bot's, or somebody else's."""
    where = f"{settings.host}:{settings.port}"
    if settings.port and _bot_answers(settings):
        yield ok("HTTP", f"A bot is running at {where} already; a second one needs another port.")
        return
    try:
        listen(settings).close()
    except Misconfigured as error:
        is_taken = "in use" in str(error)
        what = f"{where} is taken by another program." if is_taken else str(error.sentence)
        advice = (
            "Choose another with REGISTRAR_PORT, or end that program."
            if is_taken
            else ("REGISTRAR_HOST has to be an address of this machine, REGISTRAR_PORT one that we may use.")
        )
        yield wrong("HTTP", what, advice)
        return
    place = where if settings.port else f"{settings.host}, at a port that is free then"
    ways = [("Slack's signed calls", settings.slack_signing_secret), ("MLflow's webhooks", settings.webhook_secret)]
    taken = ", ".join([*(name for name, secret in ways if secret), "what programs push", "/healthz"])
    yield ok("HTTP", f"`registrar run` will serve at {place}: {taken}.")


def _bot_answers(settings: Settings) -> bool:
    return _bot_says(settings, "/healthz").get("status") == "alive"


def _bot_says(settings: Settings, path: str) -> dict[str, Any]:
    """Return what a bot on our port answers; nothing where none does."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask for what listens
    host = everywhere.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{path}"
    try:
        found = json.loads(http_client.call("GET", url, seconds=2, headers={}, most=10_000).body)
    except (Unreachable, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
