"""Makes bundles as Registrar does, with a key of the test's: a signed passport, its manifest, and a status list."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bot.domain.audit.events import canonical_time
from bot.domain.integrity.manifest import FileEntry, FileManifest, canonical_bytes

STATEMENT, STATUS = "application/vnd.in-toto+json", "application/vnd.registrar.status+json"
CONTENTS = {"MLmodel": b"flavors: {}\n", "model.skops": b"\0weights", "data/a/empty": b"", "data-b/größe.txt": b"1,2"}
CREATED = "2026-05-04T12:00:00.123000+00:00"


def write_files(folder: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    """Write a model's files; return the folder."""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def manifest_of(contents: Mapping[str, bytes]) -> FileManifest:
    """Return the manifest that Registrar records for these files."""
    return FileManifest.of(
        FileEntry(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()
    )


def in_time(**delta: float) -> str:
    """Return the canonical text of a time that long from now."""
    return canonical_time(datetime.now(UTC) + timedelta(**delta))


@dataclass(frozen=True)
class SigningKey:
    """A key that signs passports."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.private.public_key().public_bytes_raw()).hexdigest()

    def save(self, folder: Path) -> Path:
        """Write the public key; return its file."""
        file = folder / f"{self.id}.pub"
        file.write_bytes(self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return file

    def sign(self, payload_type: str, payload: bytes | Mapping[str, Any]) -> dict[str, Any]:
        """Return the DSSE envelope of a payload."""
        payload = payload if isinstance(payload, bytes) else canonical_bytes(payload)
        signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
        signature = {"keyid": self.id, "sig": base64.b64encode(self.private.sign(signed)).decode()}
        return {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [signature],
        }


def payload_of(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an envelope's payload."""
    document: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return document


def statement(manifest: FileManifest, model: str = "churn", version: int = 4, **changed: Any) -> dict[str, Any]:
    """Return a passport's statement; `changed` are other values of its predicate."""
    predicate = {
        "id": f"p{version}",
        "model": model,
        "version": version,
        "stage": "Production",
        "run": "run4",
        "created": CREATED,
        "manifest": {"sha256": manifest.digest, "files": len(manifest.files), "bytes": manifest.size},
        "move": "promotion:r7k2m",
        "cause": "promotion",
        "request": "r7k2m",
        "policy": "e42",
        "gates": [{"name": "accuracy", "bound": "≥ 0.85", "value": "0.91", "passed": True}],
        "overridden_by": None,
        "requested_by": "slack:T1/U1",
        "approved_by": ["slack:T1/U2"],
        "executed_for": "slack:T1/U2",
        "audit": {"number": 123, "hash": "ab" * 32},
        "issued": in_time(hours=-1),
        "expires": in_time(days=90),
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": f"{model}/{version}", "digest": {"sha256": manifest.root_digest}}],
        "predicateType": "urn:registrar:passport:v1",
        "predicate": predicate | changed,
    }


def status_list(*passports: Mapping[str, Any], state: str = "valid", **changed: Any) -> dict[str, Any]:
    """Return a status list with the predicates of these passports; `changed` are other values of the list."""
    entries = [
        {key: each[key] for key in ("id", "model", "version", "stage")} | {"status": state, "since": None}
        for each in passports
    ]
    times = {"issued": in_time(minutes=-1), "expires": in_time(hours=1)}
    return {"type": "urn:registrar:passport-status:v1"} | times | {"passports": entries} | changed


def bundle(
    key: SigningKey,
    contents: Mapping[str, bytes] = CONTENTS,
    *,
    state: str = "valid",
    status: Mapping[str, Any] | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """Return a bundle; `changed` are other values of the passport's predicate, `status` of the status list."""
    manifest = manifest_of(contents)
    about = statement(manifest, **changed)
    listed = status_list(about["predicate"], state=state, **(status or {}))
    return {
        "type": "urn:registrar:passport-bundle:v1",
        "passport": key.sign(STATEMENT, about),
        "manifest": manifest.statement(about["subject"][0]["name"]),
        "status": key.sign(STATUS, listed),
    }
