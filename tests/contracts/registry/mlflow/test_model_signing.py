"""OpenSSF's model-signing reads our manifests, and finds that they match the files."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.domain.integrity.manifest import FileManifest, canonical_bytes
from bot.registry.contract import TrackerContract
from bot.registry.mlflow.files import open_files
from bot.services.integrity.hashing import FileHasher, list_files
from tests.support.paths import ROOT

PROGRAM = ROOT / ".tools" / "bin" / "model_signing"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
NAMES = [
    *TrackerContract.odd_file_names,
    "a.txt",
    "a/b",
    "a b",
    "data.bin",
    "data/x",
    "Z",
    "é",
]  # sorted in its own way

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="model-signing isn't installed; scripts/install-tools installs it"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a folder with oddly named files, and one that MLflow adds to a download."""
    for name in [*NAMES, "registered_model_meta"]:
        file = tmp_path / "model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 1000)
    return tmp_path / "model"


def manifest(folder: Path) -> FileManifest:
    """Return the manifest of a folder, read as a version's files are."""
    files = open_files(str(folder), "http://127.0.0.1:5000")
    hasher = FileHasher(10**9, 10**9, threading.Event(), lambda: None)
    return FileManifest.of(hasher.hash(files, path, size) for path, size in list_files(files).items())


def verify(folder: Path, manifest: FileManifest) -> subprocess.CompletedProcess[str]:
    """Sign the manifest as model-signing does, and have it compare the folder with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload = canonical_bytes(manifest.statement("model"))
    signed = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hashlib.sha256(public).hexdigest()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()}],
        },
    }
    paths = {name: folder.with_name(name) for name in ("key.pub", "model.sig")}
    paths["key.pub"].write_bytes(public)
    paths["model.sig"].write_text(json.dumps(bundle))
    options = ["--public_key", str(paths["key.pub"]), "--signature", str(paths["model.sig"])]
    return subprocess.run(
        [PROGRAM, "verify", "key", str(folder), *options], text=True, capture_output=True, check=False
    )


def test_the_files_match_their_manifest(model: Path) -> None:
    result = verify(model, manifest(model))
    assert result.returncode == 0, result.stderr
    assert "succeeded" in result.stdout


def test_a_changed_file_does_not_match(model: Path) -> None:
    recorded = manifest(model)
    (model / "data/x").write_bytes(b"flipped")
    result = verify(model, recorded)
    assert result.returncode != 0
    assert "data/x" in result.stdout + result.stderr
