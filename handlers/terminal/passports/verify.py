"""`registrar verify`: check that a model's files are the approved ones before anything loads them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from bot.bootstrap.storage import open_registry
from bot.domain.audit.events import canonical_time
from bot.domain.core.actors import format_actor, parse_actor
from bot.domain.core.errors import BadInput, Misconfigured, RegistryRefused
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.registry.model import parse_version_ref, resolve_version
from bot.ports import OpenRegistry, ReadsFiles, VersionFiles
from bot.services.core.context import CHALLENGER
from bot.services.integrity.hashing import list_files
from bot.settings import Settings, read_settings
from handlers.terminal.output import styles
from handlers.terminal.output.command_output import OutputFormat, print_output
from handlers.terminal.output.files import replace_private_file
from handlers.terminal.remote import token_source
from handlers.terminal.session import print_warning
from registrar.verifier import Files, NotVerified, Verified, Verifier, compare

URI = "models:/"  # MLflow's: models:/churn/4, models:/churn@champion, models:/churn/Production


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The command's arguments; `registrar verify --help` describes them."""

    files: str
    model: str | None
    version: int | None
    stage: str | None
    key: Sequence[Path] | None
    bundle: str | None
    url: str | None
    grace: timedelta
    save_bundle: Path | None
    download: Path | None
    json: bool


def run_verify(chosen: Verification) -> int:
    """Verify the files, print the verdict, and return the exit code.

    Raises BadInput, Misconfigured, RegistryRefused, RegistryUnreachable.
    """
    verdict: dict[str, Any] = {"verified": False, "warning": None, "passport": None}
    decision: Sentence | None = None
    try:
        with Console(stderr=True).status("Verifying…"):  # on a screen only
            verified = _verify(chosen, read_settings())
    except NotVerified as refused:
        exit_code, style = refused.exit_code, styles.BAD
        verdict |= {"code": refused.code, "sentence": str(refused)}
    else:
        exit_code, style = 0, styles.GOOD
        warning, passport = verified.warning or None, verified.passport
        sentence = say(
            "{version} is verified: its {files} are those that were approved for {stage}.",
            version=Code(f"{passport['model']} v{passport['version']}"),
            files=pluralize(len(verified.files), "file"),
            stage=passport["stage"],
        )
        verdict = {"verified": True, "code": "verified", "warning": warning, "passport": passport} | {
            "sentence": str(sentence)
        }
        decision = _decision(passport)
    lines = filter(None, (verdict["sentence"], decision, verdict["warning"]))
    print_output(OutputFormat.JSON if chosen.json else OutputFormat.TEXT, verdict, *lines, style=style)
    return exit_code


def _decision(passport: Mapping[str, Any]) -> Sentence:
    """Return who approved the version for its stage, and when its passport was issued.

    Without approvals, returns who the transition was executed for.
    """
    approvers = passport["approved_by"]
    return say(
        "Approved by {people}. The passport was issued at {at}."
        if approvers
        else "Moved without approvals by {people}. The passport was issued at {at}.",
        people=[format_actor(parse_actor(each)) for each in approvers or [passport["executed_for"]]],
        at=datetime.fromisoformat(passport["issued"]),
    )


def _verify(chosen: Verification, settings: Settings) -> Verified:
    verifier, is_uri = _build_verifier(chosen, settings), chosen.files.startswith(URI)
    is_wrong = (chosen.model or chosen.version is not None) if is_uri else (chosen.download or not chosen.model)
    if is_wrong:
        raise BadInput(
            say(
                "Name a URI, such as {uri}, or a folder and {model}. Only a URI can be downloaded.",
                uri=Code("models:/churn@champion"),
                model=Code("--model NAME"),
            )
        )
    if is_uri:
        opened = open_registry(settings, warn=print_warning)
        with closing(opened.registry), closing(opened.tracker):
            verified = _verify_version(verifier, opened, chosen)
    else:
        stage = chosen.stage or "Production"
        verified = verifier.check(chosen.files, model=str(chosen.model), version=chosen.version, stage=stage)
    if chosen.save_bundle:
        replace_private_file(chosen.save_bundle, json.dumps(verified.bundle))
    return verified


def _build_verifier(chosen: Verification, settings: Settings) -> Verifier:
    folder = settings.keys_folder
    keys = chosen.key or sorted(folder.glob("*.pub"))
    if chosen.bundle:
        return Verifier(keys, chosen.bundle, grace=chosen.grace)
    if not (url := chosen.url or settings.bot_url):
        raise Misconfigured(
            say(
                "Set {url} to the bot's address, or add {bundle}.",
                url=Code("REGISTRAR_URL"),
                bundle=Code("--bundle FILE"),
            )
        )
    return Verifier(keys, url, token=token_source(settings, os.environ)[1](), grace=chosen.grace)


def _verify_version(verifier: Verifier, opened: OpenRegistry, chosen: Verification) -> Verified:
    """Verify a version's files where they're stored, and that it's still the version that was approved.

    `--download` also saves the verified files.
    """
    name, at, word = chosen.files.removeprefix(URI).rpartition("@" if "@" in chosen.files else "/")
    ref = parse_version_ref(word if at == "/" else at + word)
    version = resolve_version(ref, opened.registry.model(name), opened.registry.versions(name))
    usual = {("alias", CHALLENGER): "Staging", ("stage", "Staging"): "Staging"}.get((ref.kind, ref.value), "Production")
    verified = verifier.check_passport(
        model=version.model,
        version=version.version,
        stage=chosen.stage or usual,
        run=version.run_id or "",
        created=canonical_time(version.created_at) if version.created_at else "",
    )
    if not isinstance(opened.tracker, ReadsFiles):
        raise RegistryRefused("This registry's adapter can't read files. Download them, and verify the folder.")
    files = opened.tracker.version_files(version)
    if chosen.download:
        _download(verified, files, chosen.download)
    else:
        compare(verified, _hash_files(verified.files, files))
    return verified


def _hash_files(approved: Files, files: VersionFiles, folder: Path | None = None) -> Files:
    """Hash files in chunks, and stop reading a file once it exceeds its approved size.

    Also writes the files to `folder` if there is one.
    """
    found = {}
    for path in list_files(files):
        target, digest, size = folder / path if folder else Path(os.devnull), hashlib.sha256(), 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            for chunk in files.chunks(path):
                digest.update(chunk)
                size += out.write(chunk)
                if size > approved.get(path, (0, ""))[0]:
                    break  # it was changed or added, and may never end
        found[path] = size, digest.hexdigest()
    return found


def _download(verified: Verified, files: VersionFiles, folder: Path) -> None:
    """Download files to a temporary folder next to the target, and move them there once they're verified.

    An existing folder is replaced only if the bundle next to it shows that an earlier call downloaded it. Otherwise,
    raises Misconfigured.
    """
    bundle = Path(f"{folder}.bundle.json")
    if folder.exists() and not bundle.exists():
        raise Misconfigured(say("{file} already exists. Choose another folder.", file=Code(folder)))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=folder.parent) as draft:
            compare(verified, _hash_files(verified.files, files, Path(draft, "files")))
            shutil.rmtree(folder, ignore_errors=True)
            bundle.write_text(json.dumps(verified.bundle), encoding="utf-8")
            Path(draft, "files").rename(folder)
    except OSError as error:
        raise Misconfigured(say("Can't write {file}: {why}.", file=Code(folder), why=error.strerror)) from error
