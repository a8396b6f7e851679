"""Manifests: the path, size, and SHA-256 of each file in a version, in the layout of OpenSSF's model-signing 1.x."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MANIFEST_TYPE = "https://model_signing/signature/v1.0"  # the predicate type of model-signing
IGNORED_PATHS = ("registered_model_meta",)  # MLflow adds it to a downloaded model; it isn't one of the model's files


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its path relative to the model's folder, with `/` separators; size in bytes; and SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileManifest:
    """The files of a version, sorted by the parts of their paths, as model-signing sorts them."""

    files: tuple[FileEntry, ...] = ()

    @classmethod
    def of(cls, files: Iterable[FileEntry]) -> FileManifest:
        """Return the manifest of these files. Raises ValueError if two have the same path."""
        entries = sorted(files, key=lambda entry: entry.path.split("/"))
        if len({entry.path for entry in entries}) < len(entries):
            raise ValueError("two files have the same path")
        return cls(tuple(entries))

    @property
    def size(self) -> int:
        """The total size of the files, in bytes."""
        return sum(entry.size for entry in self.files)

    @cached_property
    def root_digest(self) -> str:
        """model-signing's digest of a model: the SHA-256 of the files' concatenated digests. It doesn't cover paths."""
        return hashlib.sha256(b"".join(bytes.fromhex(entry.sha256) for entry in self.files)).hexdigest()

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the predicate as canonical JSON, in hex. It covers paths, sizes, and contents."""
        return hashlib.sha256(canonical_bytes(self.predicate())).hexdigest()

    def predicate(self) -> dict[str, Any]:
        """Return the manifest as model-signing's predicate, plus each file's size, which model-signing ignores."""
        serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
        return {
            "serialization": serialization | {"ignore_paths": list(IGNORED_PATHS)},
            "resources": [
                {"name": entry.path, "algorithm": "sha256", "digest": entry.sha256, "size": entry.size}
                for entry in self.files
            ],
        }

    def statement(self, name: str) -> dict[str, Any]:
        """Return the manifest as the in-toto statement that model-signing reads; `name` is the subject's name."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": self.root_digest}}],
            "predicateType": MANIFEST_TYPE,
            "predicate": self.predicate(),
        }

    def changed_paths(self, now: FileManifest) -> list[str]:
        """Return the sorted paths of the files that were changed, removed, or added."""
        before, after = ({entry.path: entry for entry in manifest.files} for manifest in (self, now))
        return sorted(path for path in before | after if before.get(path) != after.get(path))

    def resized_paths(self, listing: Mapping[str, int | None]) -> list[str]:
        """Return the sorted paths of the files that were removed, were added, or have a different size.

        `listing` has each file's size, or None if it's unknown.
        """
        sizes = {entry.path: entry.size for entry in self.files}
        gone = sizes.keys() ^ listing.keys()
        return sorted(gone | {path for path, size in listing.items() if size not in {None, sizes.get(path)}})


def is_valid_path(path: str) -> bool:
    """Return whether a path names a file within a folder, and the same file on every system.

    It must be relative and use `/`, without `.`, `..`, or empty parts, backslashes, NUL, or text that isn't Unicode.
    """
    is_text = not any(char in "\\\0" or "\ud800" <= char <= "\udfff" for char in path)
    return is_text and not {"", ".", ".."}.intersection(path.split("/"))


EMPTY_MANIFEST = FileManifest()


def parse_manifest(predicate: Mapping[str, Any]) -> FileManifest:
    """Return the manifest that `FileManifest.predicate` wrote."""
    return FileManifest.of(
        FileEntry(resource["name"], resource["size"], resource["digest"]) for resource in predicate["resources"]
    )


def canonical_bytes(data: object) -> bytes:
    """Return canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
