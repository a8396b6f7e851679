"""The folder of Ed25519 keys that sign passports, with one file for each private key and one for each public key."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

ACTIVE_FILE = "active"  # contains the ID of the key that signs; written last


@dataclass(frozen=True, slots=True)
class FileSigner:
    """`bot.ports.PassportSigner` with a key from the folder."""

    key_id: str
    created_at: datetime
    _private_key: Ed25519PrivateKey

    def sign(self, payload: bytes) -> bytes:
        """Return the signature of these bytes."""
        return self._private_key.sign(payload)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key in the folder. `public_path` is the public key's file, for those who verify passports."""

    id: str
    created_at: datetime
    is_active: bool
    can_sign: bool
    public_path: Path


class KeyFolder:
    """The keys in a folder. Changes to the folder take effect immediately, without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def signer(self) -> FileSigner | None:
        """Return a signer with the active key, or None if there isn't one.

        Raises Misconfigured if the key can't be read, isn't the one that its file name says, or isn't private because
        others can read or change it. The group can read a key that root owns, as in a mounted Kubernetes Secret.
        """
        if (key_id := self._active_id()) is None:
            return None
        path = self._path / f"{key_id}.pem"
        data, created_at = _read(path, is_private=True)
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # not chained: it could repeat the key
            key = None
        if not isinstance(key, Ed25519PrivateKey) or key_id_of(key.public_key()) != key_id:
            raise Misconfigured(say("{path} isn't the Ed25519 key that its name says.", path=Code(path)))
        return FileSigner(key_id, created_at, key)

    def stored_keys(self) -> list[StoredKey]:
        """Return all keys, oldest first. Raises Misconfigured."""
        active = self._active_id()
        return sorted(
            (
                StoredKey(
                    id=path.stem,
                    created_at=_modified_at(path.stat()),
                    is_active=path.stem == active,
                    can_sign=path.with_suffix(".pem").exists(),
                    public_path=path.absolute(),
                )
                for path in self._path.glob("*.pub")
            ),
            key=lambda key: (key.created_at, key.id),
        )

    def create(self) -> str:
        """Create a key, without activating it, and return its ID. Raises Misconfigured if that fails."""
        key = Ed25519PrivateKey.generate()
        key_id = key_id_of(key.public_key())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write(self._path / f"{key_id}.pub", public, 0o644)
        _write(self._path / f"{key_id}.pem", private, 0o600)
        return key_id

    def activate(self, key_id: str) -> None:
        """Make this the key that signs. Raises Misconfigured if that fails."""
        _write(self._path / ACTIVE_FILE, f"{key_id}\n".encode(), 0o644)

    def retire(self, key_id: str) -> None:
        """Delete a private key. Its public key stays, so that passports signed with it can still be verified."""
        (self._path / f"{key_id}.pem").unlink(missing_ok=True)

    def _active_id(self) -> str | None:
        path = self._path / ACTIVE_FILE
        try:
            if not path.exists():
                return None
        except OSError as error:
            raise _unusable(path, error) from error
        key_id = _read(path)[0].decode(errors="replace").strip()
        if len(key_id) != 64 or not set(key_id) <= set("0123456789abcdef"):
            raise Misconfigured(say("{path} doesn't contain the ID of a key.", path=Code(path)))
        return key_id


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return a key's ID: the SHA-256 of its 32 bytes, in hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _read(path: Path, *, is_private: bool = False) -> tuple[bytes, datetime]:
    """Return a file's bytes, and when it was last changed.

    Raises Misconfigured if the file can't be read, if others can change it, or if `is_private` and others can read it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(10_000)
    except OSError as error:
        raise _unusable(path, error) from error
    own, allowed = os.geteuid(), 0o755
    if is_private:
        allowed = 0o700 if status.st_uid == own else 0o740
    if status.st_uid not in {own, 0} or stat.S_IMODE(status.st_mode) & ~allowed:
        raise Misconfigured(
            say(
                "Others can read or change {path}. Run {chown} as its owner, or create another key.",
                path=Code(path),
                chown=Code("chmod 600"),
            )
        )
    return data, _modified_at(status)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file to disk atomically. Raises Misconfigured if that fails."""
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _modified_at(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _unusable(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(say("Can't use {path}: {why}.", path=Code(path), why=str(error.strerror)))
