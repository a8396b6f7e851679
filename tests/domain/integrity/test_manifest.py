"""Manifests: their order, digests, and differences."""

from __future__ import annotations

import hashlib

import pytest

from bot.domain.integrity.manifest import EMPTY_MANIFEST, FileEntry, FileManifest, is_valid_path, parse_manifest


def entry(path: str, contents: str = "x") -> FileEntry:
    """Return the entry of a file with these contents."""
    return FileEntry(path, len(contents), hashlib.sha256(contents.encode()).hexdigest())


def test_files_are_sorted_by_the_parts_of_their_paths() -> None:
    manifest = FileManifest.of([entry("a.txt"), entry("a/b"), entry("a b")])
    assert [file.path for file in manifest.files] == ["a/b", "a b", "a.txt"]


def test_two_files_with_the_same_path_are_refused() -> None:
    with pytest.raises(ValueError, match="same path"):
        FileManifest.of([entry("a"), entry("a", "y")])


def test_a_manifest_survives_being_written() -> None:
    manifest = FileManifest.of([entry("b/вес"), entry("a")])
    assert parse_manifest(manifest.predicate()) == manifest


@pytest.mark.parametrize("other", [entry("b"), entry("a", "y"), FileEntry("a", 2, entry("a").sha256)])
def test_the_digest_covers_paths_contents_and_sizes(other: FileEntry) -> None:
    assert FileManifest.of([entry("a")]).digest != FileManifest.of([other]).digest


def test_changed_added_and_removed_files_are_named() -> None:
    before = FileManifest.of([entry("kept"), entry("changed"), entry("removed")])
    now = FileManifest.of([entry("kept"), entry("changed", "y"), entry("added")])
    assert before.changed_paths(now) == ["added", "changed", "removed"]


def test_a_listing_shows_added_removed_and_resized_files() -> None:
    manifest = FileManifest.of([entry("kept"), entry("resized"), entry("removed"), entry("unknown")])
    assert manifest.resized_paths({"kept": 1, "resized": 2, "added": 1, "unknown": None}) == [
        "added",
        "removed",
        "resized",
    ]


def test_an_empty_manifest_has_no_size() -> None:
    assert (EMPTY_MANIFEST.size, EMPTY_MANIFEST.files) == (0, ())


@pytest.mark.parametrize("path", ["a", "a/b", "a b/100%", "вес.bin", "..a", "...", ".hidden", "a:b"])
def test_a_path_within_the_folder_is_valid(path: str) -> None:
    assert is_valid_path(path)


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0", "\ud800", "..", "."])
def test_any_other_path_is_invalid(path: str) -> None:
    assert not is_valid_path(path)
