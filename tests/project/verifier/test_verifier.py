"""The verifier that other programs can copy: each reason to refuse, with its sentence."""

from __future__ import annotations

import ast
import json
import os
import shutil
import string
import sys
import tracemalloc
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bot.domain.integrity.manifest import IGNORED_PATHS
from registrar import verifier
from registrar.verifier import NotVerified, Verifier, hash_folder, manifest_digest
from tests.support.integrity.signed_bundles import (
    CONTENTS,
    CREATED,
    STATUS,
    SigningKey,
    bundle,
    in_time,
    manifest_of,
    payload_of,
    write_files,
)
from tests.support.integrity.verifying import KEY, check, refusal
from tests.support.paths import ROOT

OTHER_KEY = SigningKey()


# -- files -------------------------------------------------------------------------------------------------------------


def test_approved_files_are_verified(folder: Path, trusted: Path) -> None:
    verified = check(folder, trusted)
    assert (verified.passport["approved_by"], verified.warning) == (["slack:T1/U2"], "")


def test_the_version_can_be_the_bundle_s(folder: Path, trusted: Path) -> None:
    assert check(folder, trusted, version=None).passport["version"] == 4


def test_a_bundle_can_be_given_as_a_dictionary(folder: Path, trusted: Path) -> None:
    assert Verifier([trusted], bundle(KEY)).check(folder, model="churn").passport["version"] == 4
    for wrong in ({}, {"status": {1, 2}}, bundle(KEY) | {"manifest": float("nan")}):
        said = refusal(lambda it=wrong: Verifier([trusted], it).check(folder, model="churn"))  # type: ignore[misc]
        assert said[0] in {"malformed", "status_missing"}


def test_a_flipped_byte_is_refused(folder: Path, trusted: Path) -> None:
    (folder / "model.skops").write_bytes(b"\0weighty")
    said = refusal(lambda: check(folder, trusted))
    assert said == ("file_changed", "model.skops was changed after the approval.")


def test_a_missing_file_is_refused(folder: Path, trusted: Path) -> None:
    (folder / "data/a/empty").unlink()
    assert refusal(lambda: check(folder, trusted)) == ("file_missing", "data/a/empty is missing.")


def test_added_files_are_refused(folder: Path, trusted: Path) -> None:
    write_files(folder, {"code/evil.py": b"", "code/worse.py": b""})
    said = refusal(lambda: check(folder, trusted))
    assert said == ("file_added", "code/evil.py was added after the approval. In all, 2 files differ.")


def test_the_file_that_mlflow_adds_to_a_download_is_ignored(folder: Path, trusted: Path) -> None:
    assert verifier.IGNORED_PATHS == IGNORED_PATHS
    (folder / "registered_model_meta").write_text("model_name: churn")
    check(folder, trusted)


def test_a_file_with_that_name_that_is_larger_than_mlflow_s_is_not_ignored(folder: Path, trusted: Path) -> None:
    (folder / "registered_model_meta").write_bytes(bytes(4_001))
    said = refusal(lambda: check(folder, trusted))
    assert said == ("file_added", "registered_model_meta was added after the approval.")


def test_a_folder_with_the_name_of_the_ignored_file_is_not_ignored(folder: Path, trusted: Path) -> None:
    write_files(folder, {"registered_model_meta/evil.py": b""})
    assert refusal(lambda: check(folder, trusted))[0] == "file_added"


@pytest.mark.parametrize("name", ["model.skops", "extra", "registered_model_meta", "data"])
def test_a_link_is_refused_even_if_it_leads_to_the_same_bytes(folder: Path, trusted: Path, name: str) -> None:
    elsewhere = folder.parent / "elsewhere"
    if (folder / name).exists():
        (folder / name).rename(elsewhere)
    else:
        elsewhere.touch()
    (folder / name).symlink_to(elsewhere)
    said = refusal(lambda: check(folder, trusted))
    assert said == ("symlink", f"{name} is a link. Only regular files can be verified.")


@pytest.mark.parametrize("when", ["data", "data/a/empty"])
def test_a_folder_that_is_replaced_by_a_link_during_the_check_leads_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    write_files(folder.parent / "elsewhere", {"a/empty": b"secret", "secret": b""})
    approved, check_path = hash_folder(folder), verifier._check_path

    def replace_at(path: str) -> str:
        if path == when:
            (folder / "data").rename(folder.parent / "moved")
            (folder / "data").symlink_to(folder.parent / "elsewhere")
        return check_path(path)

    monkeypatch.setattr(verifier, "_check_path", replace_at)
    with suppress(NotVerified):
        assert hash_folder(folder) == approved


def test_a_pipe_is_refused_without_reading_it(folder: Path, trusted: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert refusal(lambda: check(folder, trusted)) == ("not_a_file", "pipe isn't a regular file.")


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"a\\b", r"a\b"), (b"\xff\n", r"'\udcff\n'"), ("\u202egpj.exe".encode() + b"\\", r"'\u202egpj.exe\\'")],
)
def test_a_name_that_another_system_reads_differently_is_refused(
    folder: Path, trusted: Path, name: bytes, shown: str
) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).touch()  # noqa: PTH118 - the name isn't text
    assert refusal(lambda: check(folder, trusted)) == ("unsafe_path", f"A file can't have the name {shown}.")


@pytest.mark.parametrize("path", ["../a", "a/../b", "/etc/passwd", "a//b", "a/", "", ".", "a\0b", "..\\a", "\ud800"])
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    assert refusal(lambda: verifier._check_path(path))[0] == "unsafe_path"


def test_a_folder_that_does_not_exist_is_refused(folder: Path, trusted: Path) -> None:
    shutil.rmtree(folder)
    assert refusal(lambda: check(folder, trusted)) == ("unreadable", f"Can't read {folder}.")


@pytest.mark.parametrize(
    "contents",
    [
        {},
        CONTENTS,
        {"a/b": b"1", "a-b": b"2", "a.b": b"3", "ab/c/d": b"4"} | {"A": b"5", "é": b"6", "e\u0301": b"7"},
        {f"{'x' * (number % 7 + 1)}/{number:03}/😀{number}": bytes(number) for number in range(200)},
    ],
    ids=["none", "some", "sorted by their parts", "many"],
)
def test_a_folder_has_the_manifest_that_registrar_records(tmp_path: Path, contents: dict[str, bytes]) -> None:
    assert manifest_digest(hash_folder(write_files(tmp_path, contents))) == manifest_of(contents).digest


def test_a_large_file_is_hashed_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**26)
    tracemalloc.start()
    hash_folder(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


# -- what the passport is for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        ({"model": "spam"}, {}, "The passport is for the model spam, not churn."),
        ({"model": "сhurn"}, {}, "The passport is for the model сhurn, not churn."),  # a Cyrillic letter
        ({"version": 3}, {}, "The passport is for churn v3, not v4."),
        ({"stage": "Staging"}, {}, "The passport is for Staging, not Production."),
        ({}, {"version": 0}, "The passport is for churn v4, not v0."),
    ],
)
def test_a_passport_for_something_else_is_refused(
    folder: Path, trusted: Path, given: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    [about] = given or wanted
    assert refusal(lambda: check(folder, trusted, bundle(KEY, **given), **wanted)) == (f"another_{about}", said)


@pytest.mark.parametrize("now", [{"run": "run5"}, {"created": "2026-05-05T12:00:00.000000+00:00"}])
def test_a_version_that_was_created_again_is_refused(folder: Path, trusted: Path, now: dict[str, str]) -> None:
    check(folder, trusted)
    checking = Verifier([trusted], folder.parent / "bundle.json")
    said = refusal(lambda: checking.check_passport(model="churn", version=4, **now))
    assert said == ("recreated", "churn v4 was deleted and created again after the approval.")
    checking.check_passport(model="churn", version=4, run="run4", created=CREATED)


# -- whether it's still valid ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("replaced", "Another version replaced churn v4 in Production."),
        ("rolled_back", "churn v4 was rolled back."),
        ("blocked", "churn v4 is blocked."),
        ("unreviewed", "churn v4 was promoted by breaking glass, and the review is overdue."),
        ("files_changed", "Registrar found that files of churn v4 were changed after the approval."),
        ("moved_outside", "Production of churn was changed outside Registrar, so v4 isn't approved anymore."),
        ("reissued", "A newer passport replaced this one of churn v4. Get a new bundle."),
        ("expired", "The passport of churn v4 has expired."),
    ],
)
def test_a_revoked_passport_is_refused(folder: Path, trusted: Path, state: str, said: str) -> None:
    assert refusal(lambda: check(folder, trusted, bundle(KEY, state=state))) == (state, said)


def test_a_passport_is_refused_after_its_end(folder: Path, trusted: Path) -> None:
    given = bundle(KEY, expires=in_time(seconds=-1))
    assert refusal(lambda: check(folder, trusted, given)) == ("expired", "The passport of churn v4 has expired.")


def test_an_expired_status_list_is_refused(folder: Path, trusted: Path) -> None:
    given = bundle(KEY, status={"expires": in_time(seconds=-1)})
    code, said = refusal(lambda: check(folder, trusted, given))
    assert (code, said[:28]) == ("status_expired", "The status list expired at 2")


def test_an_expired_status_list_is_accepted_for_the_grace_period_with_a_warning(folder: Path, trusted: Path) -> None:
    given = bundle(KEY, status={"expires": in_time(hours=-3)})
    warning = check(folder, trusted, given, grace=timedelta(hours=4)).warning
    assert warning.endswith("It's accepted for 4:00:00 longer.")
    assert refusal(lambda: check(folder, trusted, given, grace=timedelta(hours=2)))[0] == "status_expired"


def test_a_passport_that_is_newer_than_the_list_is_refused_even_with_grace(folder: Path, trusted: Path) -> None:
    given = bundle(KEY, status={"expires": in_time(hours=-3), "passports": []})
    said = refusal(lambda: check(folder, trusted, given, grace=timedelta(days=1)))
    assert said == ("not_listed", "The status list doesn't have this passport. Get a new bundle.")


@pytest.mark.parametrize("without", [{"status": None}, {}])
def test_a_bundle_without_a_status_list_is_refused(folder: Path, trusted: Path, without: dict[str, None]) -> None:
    given = {key: value for key, value in bundle(KEY).items() if key != "status"} | without
    assert refusal(lambda: check(folder, trusted, given))[0] == "status_missing"


def test_a_status_list_from_the_future_is_refused(folder: Path, trusted: Path) -> None:
    given = bundle(KEY, status={"issued": in_time(minutes=6), "expires": in_time(hours=2)})
    assert refusal(lambda: check(folder, trusted, given))[0] == "wrong_clock"


def test_an_older_passport_of_a_version_that_is_back_is_refused(folder: Path, trusted: Path) -> None:
    older, newer = bundle(KEY, id="p1"), bundle(KEY, id="p2")
    listed = payload_of(newer["status"])
    listed["passports"] += payload_of(bundle(KEY, id="p1", state="replaced")["status"])["passports"]
    status = KEY.sign(STATUS, listed)
    check(folder, trusted, newer | {"status": status})
    assert refusal(lambda: check(folder, trusted, older | {"status": status}))[0] == "replaced"


@pytest.mark.parametrize("change", [{"version": 4.0}, {"model": "spam"}, {"status": "fine"}, {"status": ["valid"]}])
def test_an_entry_of_the_status_list_that_does_not_fit_is_refused(
    folder: Path, trusted: Path, change: dict[str, Any]
) -> None:
    listed = payload_of(bundle(KEY)["status"])
    listed["passports"][0] |= change
    assert refusal(lambda: check(folder, trusted, bundle(KEY) | {"status": KEY.sign(STATUS, listed)}))[0] == "malformed"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_passport_by_another_key_is_refused(folder: Path, trusted: Path) -> None:
    said = refusal(lambda: check(folder, trusted, bundle(OTHER_KEY)))
    assert said == ("wrong_key", "The passport was signed with a key that isn't trusted here.")


def test_a_signature_by_another_key_under_a_trusted_name_is_refused(folder: Path, trusted: Path) -> None:
    given = bundle(OTHER_KEY)
    given["passport"]["signatures"][0]["keyid"] = KEY.id
    assert refusal(lambda: check(folder, trusted, given)) == (
        "bad_signature",
        "The signature of the passport is wrong.",
    )


def test_a_status_list_by_another_key_is_refused(folder: Path, trusted: Path) -> None:
    given = bundle(KEY) | {"status": bundle(OTHER_KEY)["status"]}
    said = refusal(lambda: check(folder, trusted, given))
    assert said == ("wrong_key", "The status list was signed with a key that isn't trusted here.")


def test_during_a_rotation_both_keys_are_trusted(folder: Path, trusted: Path) -> None:
    mixed = bundle(KEY) | {"status": OTHER_KEY.sign(STATUS, payload_of(bundle(KEY)["status"]))}
    (folder.parent / "bundle.json").write_text(json.dumps(mixed))
    keys = [trusted, OTHER_KEY.save(folder.parent)]
    assert Verifier(keys, folder.parent / "bundle.json").check(folder, model="churn", version=4).warning == ""


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    rsa, text = tmp_path / "rsa.pub", tmp_path / "text.pub"
    public = generate_private_key(65537, 2048).public_key()
    rsa.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    text.write_text("-----BEGIN PUBLIC KEY-----")
    for file in (rsa, text, tmp_path / "gone.pub"):
        said = refusal(lambda file=file: Verifier([file], "bundle.json"))  # type: ignore[misc]
        assert said == ("bad_key", f"{file} isn't an Ed25519 public key in a PEM file.")


def test_without_a_key_nothing_is_verified() -> None:
    assert refusal(lambda: Verifier([], "bundle.json"))[0] == "no_keys"


# -- the file ----------------------------------------------------------------------------------------------------------


def test_it_needs_only_the_standard_library_and_cryptography() -> None:
    tree = ast.parse((ROOT / "registrar" / "verifier.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in imports for name in [getattr(node, "module", None) or node.names[0].name]}
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"cryptography"}


def test_every_reason_is_one_sentence_or_two_with_known_values() -> None:
    known = {"model", "version", "stage", "path", "more", "what", "at", "url", "why", "found"}
    for code, (exit_code, sentence) in verifier.REASONS.items():
        names = {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
        assert names <= known, code
        assert exit_code in {2, 3, 4, 6, 7, 8, 9}, code
        assert sentence.endswith((".", "{more}", "{why}")), code
