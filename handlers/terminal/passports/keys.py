"""`registrar keys`: the keys that sign passports. The bot uses a new one immediately, without a restart."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.errors import Refused
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.key_folder import KeyFolder, StoredKey
from bot.settings import Settings, read_settings
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.command_line.terminal_only_commands import KeysInit, KeysList, KeysRotate
from handlers.terminal.output.command_output import OutputFormat, print_output


def execute(invocation: Invocation) -> int:
    """Execute the command and return the exit code. Raises Misconfigured, Refused, and LedgerUnavailable."""
    command, settings = invocation.command, read_settings()
    assert isinstance(command, KeysList | KeysInit | KeysRotate)
    folder = KeyFolder(Path(command.folder) if command.folder else settings.keys_folder)
    if isinstance(command, KeysList):
        _list(folder.stored_keys(), invocation.output_format)
        return 0
    old = folder.signer()
    if isinstance(command, KeysInit) and old is not None:
        raise Refused(
            say(
                "Key {id} already exists. Replace it with {it}.",
                id=Code(old.key_id),
                it=Code("registrar keys rotate"),
            )
        )
    if isinstance(command, KeysRotate) and old is None:
        raise Refused(say("There's no key to replace. To create one, run {it}.", it=Code("registrar keys init")))
    key_id, issued = folder.create(), None
    if command.folder:
        folder.activate(key_id)
    else:
        issued = _record_and_issue(settings, folder, key_id)
    if isinstance(command, KeysRotate) and command.retire and old is not None:
        folder.retire(old.key_id)
    _print_created(next(key for key in folder.stored_keys() if key.id == key_id), issued, invocation.output_format)
    return 0


def _record_and_issue(settings: Settings, folder: KeyFolder, key_id: str) -> int:
    """Record the key in the audit log, activate it, and return how many passports were issued with it.

    If this is interrupted, the bot issues the rest.
    """
    from bot.bootstrap.build import build_for_terminal
    from bot.bootstrap.storage import open_ledger
    from bot.policy_file import load_policy
    from handlers.terminal.session import current_operator, print_warning

    policy, ledger = load_policy(settings.policy), open_ledger(settings)
    with closing(build_for_terminal(settings, policy, ledger, warn=print_warning)) as registrar:
        now = registrar.context.clock.now()
        with ledger.write() as tx:
            tx.add_audit_event(
                Event(at=now, actor=current_operator(), tag=EventTag.KEY_CREATED, subject=key_id, origin="terminal")
            )
        folder.activate(key_id)
        return registrar.passports.issue_due()


def _print_created(key: StoredKey, issued: int | None, output_format: OutputFormat) -> None:
    issue = say("") if issued is None else say(" It signed {n} so far.", n=pluralize(issued, "passport"))
    sentence = say(
        "Created key {id}. Give {path} to those who verify passports.{issued}",
        id=Code(key.id),
        path=Code(key.public_path),
        issued=issue,
    )
    document = {"key": key.id, "public_key": str(key.public_path), "issued": issued, "sentence": str(sentence)}
    print_output(output_format, document, sentence)


def _list(keys: list[StoredKey], output_format: OutputFormat) -> None:
    document = {
        "keys": [
            {
                "id": key.id,
                "created_at": key.created_at.isoformat(timespec="seconds"),
                "active": key.is_active,
                "can_sign": key.can_sign,
                "public_key": str(key.public_path),
            }
            for key in keys
        ]
    }
    lines = [_key_line(key) for key in keys]
    print_output(output_format, document, *(lines or [say("No keys. Run {it}.", it=Code("registrar keys init"))]))


def _key_line(key: StoredKey) -> Sentence:
    role = "active" if key.is_active else "not active" if key.can_sign else "retired"
    return say("{id} {role}, created {at}: {path}", id=key.id, role=role, at=key.created_at, path=key.public_path)
