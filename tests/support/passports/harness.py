"""A bench with a key that signs passports, and versions whose files are recorded."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bot.domain.integrity.digest import DigestState, VersionDigest, digest_id
from bot.domain.integrity.manifest import FileEntry, FileManifest
from bot.domain.registry.model import Stage
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.passport_status import PassportState
from bot.key_folder import KeyFolder
from bot.services.transitions.passports import IssuedPassport, Passports, issue_waiting, read_statuses
from tests.support.services.bench import BOB, Bench

STATUS_HOUR = 1  # hours for which a status list can be used
RECORDED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def new_key(folder: KeyFolder) -> str:
    """Create a key, make it the one that signs, and return its ID."""
    key_id = folder.create()
    folder.activate(key_id)
    return key_id


def opened_envelope(text: str, key_file: Path) -> dict[str, Any]:
    """Return the payload of a DSSE envelope, whose signature is verified with a public key."""
    envelope = json.loads(text)
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    key: Any = load_pem_public_key(key_file.read_bytes())
    [signature] = envelope["signatures"]
    assert signature["keyid"] == key_file.stem
    key.verify(base64.b64decode(signature["sig"]), b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
    payload: dict[str, Any] = json.loads(body)
    return payload


def a_manifest(version: int) -> FileManifest:
    """Return the manifest of a version with one file."""
    return FileManifest.of([FileEntry("model/MLmodel", 12, f"{version:064x}")])


def recorded(bench: Bench, version: int, model: str = "churn", **changes: Any) -> VersionDigest:
    """Return the complete digest of a version."""
    info = bench.registry.version(model, version)
    digest = VersionDigest(
        id=digest_id(info),
        model=model,
        version=version,
        identity=info.identity(),
        requested_at=bench.clock.now(),
        state=DigestState.RECORDED,
        manifest=a_manifest(version),
        recorded_at=RECORDED_AT,
    )
    return replace(digest, **changes)


@dataclass(kw_only=True)
class PassportHarness:
    """A bench that issues passports."""

    bench: Bench
    folder: Path
    passports: Passports = field(init=False)
    keys: KeyFolder = field(init=False)

    def __post_init__(self) -> None:
        self.keys = KeyFolder(self.folder)
        object.__setattr__(self.bench.context, "signer", self.keys.signer)
        self.passports = Passports(self.bench.context, self.bench.context.passport_lifetime / 365 / 24 * STATUS_HOUR)

    def record(self, version: int, model: str = "churn") -> None:
        """Record a version's files, as the job does, and issue what waited for that."""
        digest = recorded(self.bench, version, model)
        with self.bench.ledger.write() as tx:
            if not tx.add_digest(digest):
                tx.save_digest(digest)
            issue_waiting(self.bench.context, tx, digest)

    def promote(self, version: int = 4, stage: str = "production") -> str:
        """Promote a version, and return the transition's ID."""
        self.bench.clock.advance(seconds=1)
        request = self.bench.approved(f"promote churn {version} {stage}")
        self.bench.moves.execute_due("churn")
        self.bench.clock.advance(seconds=1)
        return f"promotion:{request.id}"

    def roll_back(self) -> None:
        """Roll Production back to the version before."""
        self.bench.do('rollback churn --reason "too slow"', BOB)
        self.bench.clock.advance(seconds=1)

    def issued(self, version: int = 4, model: str = "churn") -> list[Passport]:
        """Return a version's passports, oldest first."""
        with self.bench.ledger.read() as reader:
            return reader.passports(model, version)[::-1]

    def statement(self, version: int = 4) -> dict[str, Any]:
        """Return what the version's latest passport states, verified with the public key in the folder."""
        passport = self.issued(version)[-1]
        return opened_envelope(passport.envelope, self.folder / f"{passport.key}.pub")

    def states(self) -> dict[str, PassportState]:
        """Return the state of every passport that hasn't expired, by its ID."""
        with self.bench.ledger.read() as reader:
            return {each.passport.id: each.state for each in read_statuses(reader, self.bench.clock.now())}

    def found(self, version: int = 4) -> IssuedPassport:
        """Return the passport of a version in Production."""
        return self.passports.find("churn", version, Stage.PRODUCTION)


@pytest.fixture
def office(bench: Bench, tmp_path: Path) -> PassportHarness:
    """A bench with a key; the files of v1 and v4 of `churn` are recorded."""
    harness = PassportHarness(bench=bench, folder=tmp_path / "keys")
    new_key(harness.keys)
    for version in (1, 4):
        harness.record(version)
    return harness
