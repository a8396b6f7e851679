"""Check that a model's files are exactly those that were approved in Registrar, before you load them.

    verifier = Verifier(keys=["registrar.pub"], source="https://registrar.example.com", token="…")
    verifier.check("downloaded/churn", model="churn", version=4)  # raises NotVerified

You can copy this file into your program, because it needs only Python 3.11 or later and `cryptography`. Keys are never
taken from Registrar's responses or from a bundle; copy the .pub files from Registrar's folder of keys yourself. Only
data signed with one of these keys can make a check pass; unsigned data can only make it fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote
from urllib.request import HTTPErrorProcessor, Request, build_opener

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

IGNORED_PATHS = ("registered_model_meta",)  # MLflow adds it to a downloaded model; it isn't one of the model's files
LARGEST_IGNORED = 4_000  # bytes: MLflow's file has two short lines, so a larger one isn't MLflow's
LARGEST_ANSWER = 64 * 2**20  # bytes of a bundle: enough for the manifest of 300,000 files
TIMEOUT = 30.0  # seconds for one answer of Registrar's
CLOCK_SKEW = timedelta(minutes=5)  # how far two machines' clocks can be apart

# Each reason's exit code and sentence. The reason itself is part of the interface: it's never renamed.
REASONS: dict[str, tuple[int, str]] = {
    "no_keys": (2, "There's no trusted key. Copy a .pub file from Registrar's folder of keys."),
    "bad_key": (2, "{path} isn't an Ed25519 public key in a PEM file."),
    "no_bundle": (2, "{path} isn't a bundle's file, or a URL that starts with https://."),
    "call_refused": (2, "Registrar refused the call ({why}). Check the token, and what its client can read."),
    "wrong_clock": (2, "The status list was issued in the future, at {at}. Check this machine's clock."),
    "unreachable": (3, "Registrar isn't responding at {url} ({why})."),
    "expired": (4, "The passport of {model} v{version} has expired."),
    "replaced": (4, "Another version replaced {model} v{version} in {stage}."),
    "rolled_back": (4, "{model} v{version} was rolled back."),
    "blocked": (4, "{model} v{version} is blocked."),
    "unreviewed": (4, "{model} v{version} was promoted by breaking glass, and the review is overdue."),
    "files_changed": (4, "Registrar found that files of {model} v{version} were changed after the approval."),
    "moved_outside": (4, "{stage} of {model} was changed outside Registrar, so v{version} isn't approved anymore."),
    "reissued": (4, "A newer passport replaced this one of {model} v{version}. Get a new bundle."),
    "not_listed": (4, "The status list doesn't have this passport. Get a new bundle."),
    "status_missing": (4, "There's no status list, so nothing says that the passport is still valid."),
    "status_expired": (4, "The status list expired at {at}. Get a new bundle."),
    "file_changed": (6, "{path} was changed after the approval.{more}"),
    "file_missing": (6, "{path} is missing.{more}"),
    "file_added": (6, "{path} was added after the approval.{more}"),
    "symlink": (6, "{path} is a link. Only regular files can be verified."),
    "not_a_file": (6, "{path} isn't a regular file."),
    "unsafe_path": (6, "A file can't have the name {path}."),
    "unreadable": (6, "Can't read {path}."),
    "no_passport": (7, "{model} v{version} has no passport for {stage}: nobody approved it."),
    "not_issued_yet": (7, "The passport of {model} for {stage} hasn't been issued yet. {why}"),
    "none_approved": (7, "No version of {model} has a valid passport for {stage}."),
    "wrong_key": (8, "The {what} was signed with a key that isn't trusted here."),
    "bad_signature": (8, "The signature of the {what} is wrong."),
    "malformed": (8, "The {what} is malformed."),
    "another_model": (9, "The passport is for the model {found}, not {model}."),
    "another_version": (9, "The passport is for {model} v{found}, not v{version}."),
    "another_stage": (9, "The passport is for {found}, not {stage}."),
    "recreated": (9, "{model} v{version} was deleted and created again after the approval."),
}
REVOKED = {"expired", "replaced", "rolled_back", "blocked", "unreviewed", "files_changed", "moved_outside", "reissued"}

STATEMENT, PASSPORT = "https://in-toto.io/Statement/v1", "urn:registrar:passport:v1"
SIGNED_STATEMENT, SIGNED_STATUS = "application/vnd.in-toto+json", "application/vnd.registrar.status+json"
MANIFEST, STATUS = "https://model_signing/signature/v1.0", "urn:registrar:passport-status:v1"
BUNDLE = "urn:registrar:passport-bundle:v1"

Files = Mapping[str, tuple[int, str]]  # the size in bytes and the SHA-256 in hex of each file, by its path with `/`


class NotVerified(Exception):
    """The files aren't verified, so don't load them. `code` is a key in REASONS; the message is its sentence."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.exit_code, sentence = REASONS[code]
        super().__init__(sentence.format(**{name: _printable(str(value)[:200]) for name, value in values.items()}))


@dataclass(frozen=True)
class Verified:
    """What was verified: the passport's signed predicate, the approved files, and the bundle that was checked.

    `warning` is a sentence if the status list has expired but is still within the grace period; otherwise, it's empty.
    """

    passport: Mapping[str, Any]
    files: Files
    bundle: Mapping[str, Any]
    warning: str


class Verifier:
    """Checks files against a passport. Raises NotVerified if there's no key, or if one is unusable.

    `keys` are the paths of trusted public keys. `source` is Registrar's URL, a bundle's path, or a bundle; for a URL,
    `token` is a client's token. `grace` is how long an expired status list is still accepted; use it only for what's
    already running.
    """

    def __init__(
        self,
        keys: Iterable[str | Path],
        source: str | Path | Mapping[str, Any],
        *,
        token: str = "",
        grace: timedelta = timedelta(0),
    ) -> None:
        self._keys = dict(map(_load_key, keys))
        self._source, self._token, self._grace = source if isinstance(source, Mapping) else str(source), token, grace
        _refuse_if(not self._keys, "no_keys")

    def check(
        self, folder: str | Path, *, model: str, version: int | None = None, stage: str = "Production"
    ) -> Verified:
        """Verify the files in a folder; return what was verified. Raises NotVerified.

        If `version` is None, it's the version that the bundle is for, or the one that Registrar lists as valid in the
        stage.
        """
        verified = self.check_passport(model=model, version=version, stage=stage)
        compare(verified, hash_folder(folder))
        return verified

    def check_passport(
        self, *, model: str, version: int | None = None, stage: str = "Production", run: str = "", created: str = ""
    ) -> Verified:
        """Verify everything except the files, which `compare` checks. Raises NotVerified.

        `run` and `created` are the version's run ID and creation time in MLflow, if known; they differ if the version
        was deleted and created again.
        """
        bundle = self._read_bundle(model, version, stage)
        with _strict("bundle"):
            _refuse_if(bundle.get("status") is None, "status_missing")
            _require(bundle.keys() == {"type", "passport", "manifest", "status"} and bundle["type"] == BUNDLE)
        with _strict("passport"):
            statement = self._open(bundle["passport"], SIGNED_STATEMENT, "passport")
            passport = statement["predicate"]
            wanted = {"model": model, "version": passport["version"] if version is None else version, "stage": stage}
            _require((statement["_type"], statement["predicateType"]) == (STATEMENT, PASSPORT))
            _require((type(passport["version"]), type(passport["id"])) == (int, str))
            for key, value in wanted.items():
                _refuse_if(passport[key] != value, f"another_{key}", **wanted, found=passport[key])
            _require([each["name"] for each in statement["subject"]] == [f"{model}/{wanted['version']}"])
            for mine, approved in ((run, passport["run"]), (created, passport["created"])):
                _refuse_if(bool(mine and approved and mine != approved), "recreated", **wanted)
            _refuse_if(datetime.now(UTC) >= _time(passport["expires"]), "expired", **wanted)
        files = _approved_files(bundle["manifest"], statement)
        return Verified(passport, files, bundle, self._check_status(bundle["status"], passport))

    def _check_status(self, envelope: Any, passport: Mapping[str, Any]) -> str:
        """Check that the status list says the passport is valid; return the warning, or an empty string."""
        with _strict("status list"):
            listed, now = self._open_status(envelope), datetime.now(UTC)
            issued, expires = _time(listed["issued"]), _time(listed["expires"])
            _refuse_if(now + CLOCK_SKEW < issued, "wrong_clock", at=issued)
            _refuse_if(now >= expires + self._grace, "status_expired", at=expires)
            about = {key: passport[key] for key in ("id", "model", "version", "stage")}
            mine = [each for each in listed["passports"] if each["id"] == about["id"]]
            _refuse_if(not mine, "not_listed")
            [entry] = mine
            _require(_canonical(entry | about) == _canonical(entry))  # so that 4 isn't 4.0
            _require(entry["status"] in REVOKED | {"valid"})
            _refuse_if(entry["status"] != "valid", entry["status"], **about)
        return "" if now < expires else f"The status list expired at {expires}. It's accepted for {self._grace} longer."

    def _open_status(self, envelope: Any) -> Mapping[str, Any]:
        listed = self._open(envelope, SIGNED_STATUS, "status list")
        _require(listed["type"] == STATUS)
        return listed

    def _open(self, envelope: Any, payload_type: str, what: str) -> dict[str, Any]:
        """Return the payload of a DSSE envelope that has exactly one signature, made with a trusted key."""
        [signature] = envelope["signatures"]
        payload, seal = base64.b64decode(envelope["payload"]), base64.b64decode(signature["sig"])
        ours = {"keyid": signature["keyid"], "sig": base64.b64encode(seal).decode()}
        text = base64.b64encode(payload).decode()
        _require(envelope == {"payloadType": payload_type, "payload": text, "signatures": [ours]})
        if (key := self._keys.get(signature["keyid"])) is None:
            raise NotVerified("wrong_key", what=what)
        head = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} "
        try:
            key.verify(seal, head.encode() + payload)
        except InvalidSignature:
            raise NotVerified("bad_signature", what=what) from None
        document: dict[str, Any] = _parse(payload)
        _require(_canonical(document) == payload)  # so that there's only one way to read it
        return document

    def _read_bundle(self, model: str, version: int | None, stage: str) -> Any:
        if not isinstance(self._source, str):
            with _strict("bundle"):
                return _parse(_canonical(self._source))
        if self._source.startswith(("https://", "http://")):
            version = self._approved_version(model, stage) if version is None else version
            path = f"bundle/{quote(model, safe='')}/{version}?stage={quote(stage)}"
            return self._get(path, {"model": model, "version": version, "stage": stage})
        try:
            with Path(self._source).open("rb") as file, _strict("bundle"):
                return _parse(file.read(LARGEST_ANSWER + 1))
        except (OSError, ValueError):
            raise NotVerified("no_bundle", path=self._source) from None

    def _approved_version(self, model: str, stage: str) -> int:
        wanted = {"model": model, "stage": stage, "status": "valid"}
        answer = self._get("status", wanted)
        with _strict("status list"):
            for entry in self._open_status(answer)["passports"]:
                if entry | wanted == entry:
                    return int(entry["version"])
        raise NotVerified("none_approved", **wanted)

    def _get(self, path: str, about: Mapping[str, object]) -> Any:
        """Return Registrar's response, within the time limit even if a server sends a header one byte per second."""
        url, answer = f"{str(self._source).rstrip('/')}/v1/passports/{path}", Future[tuple[int, bytes]]()
        Thread(target=self._ask, args=(url, answer), name="ask Registrar", daemon=True).start()
        try:
            status, body = answer.result(TIMEOUT)
        except (OSError, HTTPException, ValueError) as error:
            raise NotVerified("unreachable", url=self._source, why=type(error).__name__) from error
        if status not in {200, 404}:
            is_refusal = 400 <= status < 500 and status != 429
            raise NotVerified("call_refused" if is_refusal else "unreachable", url=self._source, why=status)
        with _strict("answer"):
            said = _parse(body)
            if status == 404:
                _require(said["kind"] in ("no_passport", "not_issued_yet"))
                raise NotVerified(said["kind"], **about, why=said["error"])
        return said

    def _ask(self, url: str, into: Future[tuple[int, bytes]]) -> None:
        """Put a response's status and body, or the exception, into a future.

        Redirects aren't followed, because they could send the token elsewhere.
        """
        ends, body = time.monotonic() + TIMEOUT, bytearray()
        try:
            request = Request(url, headers={"Authorization": f"Bearer {self._token}"})  # noqa: S310 - it's HTTP
            with build_opener(_EveryAnswer).open(request, timeout=TIMEOUT) as answer:
                while len(body) <= LARGEST_ANSWER and time.monotonic() < ends and (piece := answer.read1(2**16)):
                    body += piece
            into.set_result((answer.status, bytes(body)))
        except Exception as error:  # raised again by the thread that waits
            into.set_exception(error)


class _EveryAnswer(HTTPErrorProcessor):
    """Returns every response as it is, including redirects."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


# -- files -------------------------------------------------------------------------------------------------------------


def hash_folder(folder: str | Path) -> Files:
    """Hash the files in a folder, in constant memory. Raises NotVerified for anything but files and folders."""
    found, waiting = dict[str, tuple[int, str]](), [""]
    while waiting:
        inside = waiting.pop()
        try:
            with _open_folder(folder, inside) as place:
                for entry in list(os.scandir(place)):
                    path = _check_path(inside + entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/")
                    elif not entry.is_file(follow_symlinks=False):
                        raise NotVerified("symlink" if entry.is_symlink() else "not_a_file", path=path)
                    elif path not in IGNORED_PATHS or entry.stat().st_size > LARGEST_IGNORED:
                        with open(_open_inside(place, entry.path), "rb") as file:
                            digest = hashlib.file_digest(file, "sha256").hexdigest()
                            found[path] = file.tell(), digest
        except OSError:
            raise NotVerified("unreadable", path=Path(folder, inside)) from None
    return found


@contextmanager
def _open_folder(folder: str | Path, inside: str) -> Iterator[int | Path]:
    """Yield a folder's descriptor, so that replacing the folder with a link can't redirect reads elsewhere.

    Windows has no folder descriptors, so the path is yielded there.
    """
    if os.scandir not in os.supports_fd:
        yield Path(folder, inside)
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        for name in filter(None, inside.split("/")):
            outer, place = place, _open_inside(place, name)
            os.close(outer)
        yield place
    finally:
        os.close(place)


def _open_inside(place: int | Path, name: str) -> int:
    """Open a file or folder in `place` without following links or waiting for pipes; return its descriptor."""
    flags = (getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    return os.open(name, os.O_RDONLY | sum(flags), dir_fd=place if isinstance(place, int) else None)


def _check_path(path: str) -> str:
    """Return a file's path within its folder. Raises NotVerified if another system could read it differently."""
    if {"", ".", ".."} & set(path.split("/")) or re.search(r"[\\\0\ud800-\udfff]", path):
        raise NotVerified("unsafe_path", path=path)
    return path


def _predicate(files: Files) -> dict[str, Any]:
    ordered = sorted(files.items(), key=lambda item: item[0].split("/"))
    resources = [{"name": name, "algorithm": "sha256", "digest": sha, "size": size} for name, (size, sha) in ordered]
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(IGNORED_PATHS)}
    return {"serialization": how, "resources": resources}


def manifest_digest(files: Files) -> str:
    """Return the SHA-256 of the files' manifest, in hex. It covers paths, sizes, and contents."""
    return hashlib.sha256(_canonical(_predicate(files))).hexdigest()


def compare(verified: Verified, files: Files) -> None:
    """Compare files with the approved ones. Raises NotVerified, naming the first path that differs."""
    if manifest_digest(files) != verified.passport["manifest"]["sha256"]:
        approved = verified.files
        paths = sorted(path for path in {*approved, *files} if approved.get(path) != files.get(path)) or [""]
        code = "file_missing" if paths[0] not in files else "file_changed" if paths[0] in approved else "file_added"
        more = f" In all, {len(paths):,} files differ." if paths[1:] else ""
        raise NotVerified(code, path=paths[0], more=more)


def _approved_files(manifest: Any, statement: dict[str, Any]) -> Files:
    """Return the files in a bundle's manifest. It isn't signed, but its digest must match the passport's."""
    with _strict("manifest"):
        files = {each["name"]: (each["size"], each["digest"]) for each in manifest["predicate"]["resources"]}
        ours = statement | {"predicateType": MANIFEST, "predicate": _predicate(files)}
        _require(_canonical(manifest) == _canonical(ours))
        _require(manifest_digest(files) == statement["predicate"]["manifest"]["sha256"])
        return files


# -- strict parsing ----------------------------------------------------------------------------------------------------


@contextmanager
def _strict(what: str) -> Iterator[None]:
    """Raise NotVerified (`malformed`) if the block can't read a document; `what` names the document."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise NotVerified("malformed", what=what) from None


def _refuse_if(is_wrong: bool, code: str, **values: object) -> None:
    if is_wrong:
        raise NotVerified(code, **values)


def _require(is_met: bool) -> None:
    if not is_met:
        raise ValueError


def _parse(data: bytes) -> Any:
    _require(len(data) <= LARGEST_ANSWER)
    return json.loads(data.decode(), object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require(len(dict(pairs)) == len(pairs))
    return dict(pairs)


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text).astimezone(UTC)
    _require(at.isoformat(timespec="microseconds") == text)
    return at


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _load_key(path: str | Path) -> tuple[str, Ed25519PublicKey]:
    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise NotVerified("bad_key", path=path) from None
    if not isinstance(key, Ed25519PublicKey):
        raise NotVerified("bad_key", path=path)
    return hashlib.sha256(key.public_bytes_raw()).hexdigest(), key
