"""Verify a passport or a status list of Registrar, with nothing of Registrar's: the standard library and cryptography.

Usage: python verify_envelope.py KEY.pub ENVELOPE.json

It prints what was signed. It doesn't compare files, and it doesn't decide whether a passport is still valid: that's in
the status list, which this script verifies as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PASSPORT, STATUS = "application/vnd.in-toto+json", "application/vnd.registrar.status+json"


def verify(envelope: dict[str, Any], key: Ed25519PublicKey) -> bytes:
    """Return the signed bytes. Raises ValueError if this key didn't sign them."""
    kind, [signature] = envelope["payloadType"], envelope["signatures"]
    if kind not in {PASSPORT, STATUS}:
        raise ValueError(f"unknown payload type {kind!r}")
    payload = base64.b64decode(envelope["payload"], validate=True)
    # DSSE 1.0.2: what's signed is the type and the payload, each after its length in bytes.
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    key_id = hashlib.sha256(key.public_bytes_raw()).hexdigest()
    if signature["keyid"] != key_id:
        raise ValueError(f"signed with key {signature['keyid']!r}, not {key_id}")
    try:
        key.verify(base64.b64decode(signature["sig"], validate=True), signed)
    except InvalidSignature:
        raise ValueError("the signature doesn't belong to this payload") from None
    return payload


def main(key_file: str, envelope_file: str) -> None:
    """Print the payload of the envelope, or exit with an error."""
    key = load_pem_public_key(Path(key_file).read_bytes())
    try:
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("not an Ed25519 key")
        payload = json.loads(verify(json.loads(Path(envelope_file).read_bytes()), key))
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"Not verified: {error}")
    print(json.dumps(payload, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
